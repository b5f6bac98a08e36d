"""Vectors from a Redis Cluster: the same as from one Redis, while slots move, and nodes are lost and replaced."""

from __future__ import annotations

import os
import pickle
from contextlib import ExitStack, closing

import pytest

from feature_sync import FeatureClient
from feature_sync.errors import FeatureSyncError, OnlineStoreError
from feature_sync.online.codec import encode_row
from feature_sync.online.redis.users import reader as reader_of
from feature_sync.online.slots import slot_of
from feature_sync.serving.async_socket import open_async_socket
from feature_sync.serving.sockets import open_sockets
from tests.support.baskets import BASKETS, PREFIX, RIGHT, SERVICE, VIEWS, fill
from tests.support.clusters import Cluster, free_port, until
from tests.support.http_server import HttpServer
from tests.support.readers import KINDS, Reader, reading
from tests.support.redis_server import RedisServer
from tests.support.unbuilt import UnbuiltProject


@pytest.fixture(scope="module")
def standalone():
    with RedisServer() as server:
        fill(server.url)
        yield server


@pytest.fixture(scope="module")
def cluster(standalone):
    with Cluster(replicas=1) as started:
        started.copy(standalone.url)
        yield started


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def reader(cluster, kind):
    with Reader(kind, cluster.url) as started:
        yield started


SLOT = slot_of(b"{5}")
"""The rows of the fifth customer and the fifth product."""


# Answers


def test_vectors_equal_those_of_one_redis(standalone, reader, kind):
    with Reader(kind, standalone.url) as plain:
        assert reader.get_many() == plain.get_many() == RIGHT
        for keys in BASKETS:
            assert reader.get(**keys) == plain.get(**keys)
        odd = [
            {"customer_id": None, "product_id": 3}, {"customer_id": 10**9, "product_id": 3}, BASKETS[1], BASKETS[1],
        ]  # fmt: skip
        assert reader.get_many(odd) == plain.get_many(odd)
        assert reader.get_many([]) == plain.get_many([]) == []
        many = BASKETS * 50
        assert reader.get_many(many) == RIGHT * 50


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("SET", b"junk"), "the row shop:visits:{5} in Redis cannot be read"),
        (("SET", encode_row([b"\x01" * 4, 0, 5])), "Redis has no schema 01010101 that can be read"),
        (("LPUSH", b"no row"), "MISSING"),
        (("DEL",), "MISSING"),
    ],
    ids=["damaged", "of an unknown schema", "of another type", "gone"],
)
def test_a_row_that_needs_a_closer_look_is_read_as_by_one_redis(standalone, cluster, reader, kind, command, says):
    node, key = cluster.owner(SLOT), "shop:visits:{5}"
    with standalone.client() as whole, node.client() as part, Reader(kind, standalone.url) as plain:
        row = whole.dump(key)
        said = []
        for client, one in ((whole, plain), (part, reader)):
            one.warm_up()
            client.delete(key)
            client.execute_command(command[0], key, *command[1:])
            said.append(outcomes(one))
            client.restore(key, 0, row, replace=True)
        assert reader.get_many() == RIGHT
    assert said[0] == said[1]
    assert says in said[0] or says == "MISSING"


def outcomes(reader) -> str:
    """What readers say of all rows, or the vectors; so too where null answers for what cannot be read."""
    try:
        found = str(reader.get_many())
    except OnlineStoreError as failed:
        found = str(failed)
    return f"{found} {reader.statuses()}"


def test_a_key_prefix_with_braces_of_its_own_puts_all_rows_on_one_node(standalone, cluster, kind):
    fill(standalone.url, prefix="{shop}")
    cluster.copy(standalone.url)
    with Reader(kind, cluster.url, prefix="{shop}") as reader:
        assert reader.get_many() == RIGHT
        assert reader.get(**BASKETS[5]) == RIGHT[5]


@pytest.mark.parametrize("keys", [{"customer_id": 1}, {"customer_id": "x", "product_id": 1}, {"customer": 1}])
def test_keys_that_are_wrong_are_refused_as_by_one_redis(standalone, reader, kind, keys):
    with Reader(kind, standalone.url) as plain:
        said = [refusal(lambda one=one: one.get(**keys)) for one in (plain, reader)]
    assert said[0] == said[1]


def test_a_service_without_a_card_names_those_that_there_are(standalone, cluster, kind):
    for service, prefix in (("basket_modl", PREFIX), ("x", "shopp")):
        said = []
        for url in (standalone.url, cluster.url):
            with Reader(kind, url, service=service, prefix=prefix) as one:
                said.append(refusal(one.warm_up))
        assert said[0] == said[1]
    assert "under the key prefix 'shopp'" in said[0]


def refusal(ask) -> str:
    with pytest.raises(FeatureSyncError) as refused:
        ask()
    return str(refused.value)


def test_every_command_that_clients_send_is_answered_as_by_one_redis(standalone, cluster):
    commands = [
        ("MGET", "shop:revision", "shop:orders:{5}", "shop:prices:{1}", "shop:nothing"),
        ("MGET", "shop:orders:schema", "shop:orders:{5}"),  # a hash is no row
        ("GET", f"shop:service:{SERVICE}"), ("SMEMBERS", "shop:services"), ("HGETALL", "shop:orders:schema"),
        ("EXISTS", "shop:revision"), ("EXISTS", "shop:nothing"), ("PING",), ("MGET", "shop:orders:{5}"),
    ]  # fmt: skip
    with ExitStack() as stack:
        plain, many = (
            stack.enter_context(closing(open_sockets(each.url, timeout=20))) for each in (standalone, cluster)
        )
        compare_answers(plain, many, commands)
        found, cursor = set(), b"0"
        while found == set() or cursor != b"0":
            ((cursor, keys),) = many.run([("SCAN", cursor, "MATCH", "*:{1*}", "COUNT", "5")])
            found |= {*keys}
        with standalone.client() as client:
            assert found == {*client.scan_iter(match="*:{1*}")}


def compare_answers(plain, many, commands):
    for one in (commands, *([each] for each in commands)):
        assert many.run(one) == plain.run(one)
    wrong = [("GET", "shop:orders:schema")]
    said = [refusal(lambda sockets=each: sockets.run(wrong)) for each in (plain, many)]
    assert said[0] == said[1]


def test_a_pickled_client_reads_from_the_cluster(cluster):
    client = FeatureClient(cluster.url, SERVICE, prefix=PREFIX, timeout=20)
    copied = pickle.loads(pickle.dumps(client))
    assert dict(copied.get(**BASKETS[3])) == dict(client.get(**BASKETS[3])) == RIGHT[3]
    sockets = open_async_socket(cluster.url, timeout=20)
    assert repr(pickle.loads(pickle.dumps(sockets))) == repr(sockets)
    assert "127.0.0.1" in repr(sockets)


def test_a_card_that_a_push_changes_reaches_clients(standalone, cluster, reader):
    assert reader.get(**BASKETS[1])["orders"] == RIGHT[1]["orders"]
    assert RIGHT[0]["prices"] is not None
    absent = next(at for at, right in enumerate(RIGHT) if right["orders"] is None)
    assert reader.get(**BASKETS[absent])["orders"] is None
    with RedisServer() as other:
        fill(other.url, default=-1)
        cluster.copy(other.url)
        until(lambda: reader.get(**BASKETS[absent])["orders"] == -1, "the client does not learn of the new card")
        assert reader.get_many()[absent]["orders"] == -1
        cluster.copy(standalone.url)
        until(lambda: reader.get_many()[absent]["orders"] is None, "the client does not learn of the old card")


@pytest.mark.parametrize("service", [SERVICE, None])
def test_the_server_answers_as_from_one_redis(standalone, cluster, service, tmp_path):
    named = () if service is None else ("--service", service)
    entities = {name: [each[name] for each in BASKETS] for name in BASKETS[0]}
    with HttpServer(tmp_path, cluster.url, *named) as many, HttpServer(tmp_path, standalone.url, *named) as plain:
        many.wait_until_ready()
        assert many.columns(SERVICE, **entities) == plain.columns(SERVICE, **entities)
        for path in ("/services", f"/services/{SERVICE}", "/ready", "/services/nothing"):
            assert many.client.get(path).json() == plain.client.get(path).json()
        assert many.detail(404, "basket", customer_id=[1]) == plain.detail(404, "basket", customer_id=[1])


def test_a_project_reads_services_and_views_from_a_cluster(standalone, cluster, tmp_path):
    project = UnbuiltProject(tmp_path / "project")
    project.view("orders", "select id, id * 2 as amount from range(20) made(id)", features=["amount"])
    project.service("spending", {"orders": ["amount"]}, ["orders"])
    with RedisServer() as pushed:
        with closing(project.open(pushed.url)) as store:
            assert all(each.held_back is None for each in store.push(gate=False))
        cluster.copy(pushed.url)
        answers = []
        for url in (pushed.url, cluster.url):
            with closing(project.open(url)) as store:
                rows = store.get_online_features("spending", [{"id": each} for each in range(25)])
                answers.append([store.get_feature_vector(name, {"id": 7}) for name in ("spending", "orders")] + [rows])
    assert [*answers[0][0].values()] == [14]
    assert [list(map(str, each)) for each in zip(*answers, strict=True)] == [[str(each)] * 2 for each in answers[0]]


def test_a_user_with_the_rights_of_a_reader_reads_from_all_nodes(cluster, kind):
    user = reader_of(PREFIX, SERVICE, [*VIEWS])
    rules = user.rules(">secret")
    for node in cluster.processes:
        cluster.run(node, "ACL", "SETUSER", user.name, *rules)
    with Reader(kind, cluster.url.replace("//", f"//{user.name}:secret@")) as reader:
        assert reader.get_many() == RIGHT
        target = next(each for each in cluster.primaries if each is not cluster.owner(SLOT))
        source = cluster.begin_move(SLOT, target)
        assert cluster.move_keys(source, target, SLOT) > 1
        assert reader.get(**BASKETS[5]) == RIGHT[5]
        cluster.end_move(SLOT, target)
        cluster.move(SLOT, source)
    for node in cluster.processes:
        cluster.run(node, "ACL", "DELUSER", user.name)


# Slots that move


def test_a_slot_that_is_moving_is_read_from_both_of_its_nodes(cluster, reader):
    assert reader.get_many() == RIGHT
    target = next(each for each in cluster.primaries if each is not cluster.owner(SLOT))
    source = cluster.begin_move(SLOT, target)
    assert reader.get(**BASKETS[5]) == RIGHT[5]
    assert cluster.move_keys(source, target, SLOT, 1) == 1  # one view of the entity there, and another here
    assert reader.get(**BASKETS[5]) == RIGHT[5]
    assert reader.get_many() == RIGHT
    while cluster.move_keys(source, target, SLOT):
        pass
    assert reader.get(**BASKETS[5]) == RIGHT[5]
    cluster.end_move(SLOT, target)
    assert reader.get(**BASKETS[5]) == RIGHT[5]
    assert reader.get_many() == RIGHT
    cluster.move(SLOT, source)
    assert reader.get_many() == RIGHT


def test_no_request_fails_or_is_wrong_while_slots_move(cluster):
    slots = sorted({slot_of(b"{%d}" % each) for each in range(0, 60, 4)})
    homes = {slot: cluster.owner(slot) for slot in slots}
    with reading(cluster.url, timeout=30) as watch:
        for turn in (1, 2, 0):
            for slot, home in homes.items():
                cluster.move(slot, cluster.primaries[(cluster.primaries.index(home) + turn) % 3])
        seen = watch.answers
        until(lambda: watch.answers > seen + 20, "the readers do not read")
    assert (watch.wrong, [str(each) for each in watch.failures]) == ([], [])


# Nodes that are lost


def test_a_primary_that_is_replaced_costs_errors_and_never_a_wrong_vector(standalone):
    with Cluster(replicas=1) as cluster:
        cluster.copy(standalone.url)
        until(cluster.is_whole, "the replicas do not follow")
        with reading(cluster.url, timeout=0.5) as watch:
            until(lambda: watch.answers > 40, "the readers do not read")
            lost = cluster.primaries[1]
            lost.kill()
            until(lambda: replaced(cluster, lost), "no replica takes the place of the primary")
            with Reader("threads", cluster.url, timeout=30) as patient:
                assert patient.get_many() == RIGHT
            before = watch.answers
            until(lambda: watch.answers > before + 200, "the readers do not read again")
            failures = len(watch.failures)
            before = watch.answers
            until(lambda: watch.answers > before + 200, "the readers do not read again")
            assert len(watch.failures) == failures  # they have ended
            cluster.processes.remove(lost)
    assert watch.wrong == []
    assert {reason(each) for each in watch.failures} <= {"reached", "time", "slots"}


@pytest.mark.slow
def test_no_request_fails_or_is_wrong_while_replicas_take_over_in_order(standalone):
    with Cluster(replicas=1) as cluster:
        cluster.copy(standalone.url)
        with reading(cluster.url, timeout=60) as watch:
            for turn in range(int(os.environ.get("PROOF_TIMES", "10"))):
                until(cluster.is_whole, "the cluster is not whole")
                pair = cluster.primaries[turn % 3], cluster.replicas[turn % 3]
                follower = next(each for each in pair if cluster.role(each) == "slave")
                cluster.run(follower, "CLUSTER", "FAILOVER")
                until(lambda node=follower: cluster.role(node) == "master", "the replica does not take over")
                before = watch.answers
                until(lambda least=before: watch.answers > least + 40, "the readers do not read")
    assert (watch.wrong, [str(each) for each in watch.failures]) == ([], [])


def replaced(cluster, lost) -> bool:
    said = cluster.run(cluster.primaries[0], "CLUSTER", "INFO").decode()
    owners = {port for *_, (_, port, *_), _ in with_replica(cluster)}
    return "cluster_state:ok" in said and lost.port not in owners


def with_replica(cluster):
    """The ranges of slots as the first node tells them, each with its primary last but one."""
    return [(*each[:3], None) for each in cluster.run(cluster.primaries[0], "CLUSTER", "SLOTS")]


def reason(failed: OnlineStoreError) -> str:
    words = {"cannot be reached": "reached", "did not answer in time": "time", "does not serve all slots": "slots"}
    return next((kind for text, kind in words.items() if text in str(failed)), str(failed))


def test_a_primary_that_hangs_holds_no_request_longer_than_its_timeout_nor_others(cluster, kind):
    owner = cluster.owner(SLOT)
    elsewhere = next(
        each for each in BASKETS if all(cluster.owner(slot_of(b"{%d}" % key)) is not owner for key in each.values())
    )
    with Reader(kind, cluster.url, timeout=0.3) as reader:
        assert reader.get_many() == RIGHT
        owner.pause()
        try:
            said = refusal(lambda: reader.get(**BASKETS[5]))
            assert f"127.0.0.1:{owner.port}" in said
            assert "did not answer in time (0.3 s)" in said
            assert reader.get(**elsewhere) == RIGHT[elsewhere["customer_id"]]
        finally:
            owner.resume()
        until(lambda: answers(reader), "the reader does not read again")
    until(cluster.is_whole, "the cluster is not whole again")


def answers(reader) -> bool:
    try:
        return reader.get_many() == RIGHT
    except OnlineStoreError:
        return False


# What is wrong


def test_what_is_no_cluster_says_what_it_is(standalone, kind):
    url = f"redis+cluster://127.0.0.1:{standalone.port}"
    with Reader(kind, url) as reader:
        said = refusal(reader.warm_up)
    assert f"redis://127.0.0.1:{standalone.port} is not a node of a Redis Cluster: begin the URL with redis://" in said


def test_a_node_that_is_asked_as_if_it_were_alone_says_what_it_is(cluster, kind):
    said = set()
    for node in cluster.primaries:
        with Reader(kind, f"redis://127.0.0.1:{node.port}") as reader:
            said.add(refusal(reader.warm_up))
    assert all("is a node of a Redis Cluster: begin the URL with redis+cluster://" in each for each in said)


def test_nodes_that_are_not_there_are_passed_over_and_named_when_all_are(cluster, kind):
    closed = free_port()
    with Reader(kind, f"redis+cluster://127.0.0.1:{closed},127.0.0.1:{cluster.primaries[2].port}") as reader:
        assert reader.get_many() == RIGHT
    with Reader(kind, f"redis+cluster://127.0.0.1:{closed}", timeout=30) as reader:
        said = refusal(reader.warm_up)
    assert said == f"Redis at redis://127.0.0.1:{closed} cannot be reached; is it running?"


def test_a_replica_tells_the_cluster_as_well_as_a_primary(cluster, kind):
    with Reader(kind, f"redis+cluster://127.0.0.1:{cluster.replicas[0].port}") as reader:
        assert reader.get_many() == RIGHT


def test_slots_that_nobody_serves_are_told(kind):
    settings = ("--cluster-require-full-coverage", "no")
    with Cluster(settings=settings) as cluster:
        owner = cluster.owner(slot_of(b"shop:revision"))
        cluster.run(owner, "CLUSTER", "DELSLOTS", slot_of(b"shop:revision"))
        with Reader(kind, f"redis+cluster://127.0.0.1:{owner.port}", timeout=1) as reader:
            said = refusal(reader.warm_up)
    assert "does not serve all slots (" in said
    assert "CLUSTER NODES" in said
