"""Pushes to a Redis Cluster: fence, mark and trust of each hash slot."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest

from feature_sync.errors import LeaseHeld, LeaseLost, OnlineStoreError
from feature_sync.online.redis.opening import open_online_store
from feature_sync.online.slots import slot_of, tags
from feature_sync.push.publishing import publish_cards
from tests.support.clusters import Cluster, Servers, until
from tests.support.meters import Meters, build_meters

PREFIX = "meters"
VIEW = "latest_readings"
MANY = 3_000


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_meters(tmp_path_factory.mktemp("meters_on_a_cluster"), "duckdb", {})


@pytest.fixture(scope="module")
def cluster():
    """Three primaries without replicas, whose slots tests move and empty."""
    with Cluster() as started:
        yield started


@pytest.fixture
def meters(built, cluster):
    cluster.empty()
    opened = Meters(built, cluster.url)
    opened.reset()
    yield opened
    opened.close()


@contextmanager
def online(cluster, prefix: str = PREFIX):
    store = open_online_store(cluster.url, key_prefix=prefix, timeout=10)
    try:
        yield store
    finally:
        store.close()


def lose(cluster, slot: int) -> int:
    """Let a slot lose all that it holds, as a node does that was replaced by an empty one; returns how many keys."""
    owner = cluster.owner(slot)
    keys = cluster.run(owner, "CLUSTER", "GETKEYSINSLOT", slot, 1_000)
    for key in keys:
        cluster.run(owner, "DEL", key)
    return len(keys)


def row_key(meter: str) -> bytes:
    return f"{PREFIX}:{VIEW}:{{{meter}}}".encode()


def hash_of(slot: int) -> bytes:
    return b"%b:slot:{%b}" % (PREFIX.encode(), tags()[slot])


def test_a_push_sends_all_rows_first_and_then_changes(meters):
    meters.many(MANY)
    first = meters.push()
    assert (first.written, first.full) == (MANY, "first push")
    meters.read(("m1", 10, 1.0), ("new", 10, 2.0))
    meters.run("delete from {t} where meter = 'm2'")
    second = meters.push()
    assert (second.written, second.deleted, second.full) == (2, 1, None)
    assert meters.push().written == 0
    assert (meters.value("m1"), meters.value("m2")[1]) == ((1.0, "present"), "missing")


@pytest.mark.parametrize("changes", [False, True], ids=["nothing else changed", "beside changes"])
def test_only_a_slot_that_lost_its_rows_is_sent_in_full(meters, cluster, changes):
    meters.many(MANY)
    meters.push()
    slot = slot_of(row_key("m7"))
    assert lose(cluster, slot) > 1  # the row, and the slot's fence and mark
    of_slot = sum(slot_of(row_key(f"m{number}")) == slot for number in range(MANY))
    if changes:
        meters.read(("m7", 10, 70.0), ("m8", 10, 80.0))
    pushed = meters.push()
    assert (pushed.full, pushed.written) == (None, of_slot + (2 if changes else 0))
    assert meters.value("m7")[0] == (70.0 if changes else 7.0)
    assert meters.push().written == 0


def test_a_slot_that_went_back_to_an_earlier_push_is_put_right(meters, cluster):
    meters.read(("m7", 1, 1.0), ("m8", 1, 1.0))
    meters.push()
    slot = slot_of(row_key("m7"))
    owner = cluster.owner(slot)
    earlier = {key: cluster.run(owner, "DUMP", key) for key in (row_key("m7"), hash_of(slot))}
    meters.read(("m7", 2, 2.0))
    meters.push()
    for key, content in earlier.items():  # as a replica does that had not yet got the newest writes
        cluster.run(owner, "RESTORE", key, 0, content, "REPLACE")
    assert meters.value("m7")[0] == 1.0
    assert (meters.push().written, meters.value("m7")[0]) == (1, 2.0)


def test_a_lost_slot_is_freed_of_rows_that_the_warehouse_no_longer_has(meters, cluster):
    meters.many(MANY)
    meters.push()
    slot = slot_of(row_key("m7"))
    with online(cluster) as store:
        (content,) = store.view(VIEW).read([row_key("m7")])
    stale = f"{PREFIX}:{VIEW}:{{{tags()[slot].decode()}}}"
    cluster.run(cluster.owner(slot), "SET", stale, content)
    cluster.run(cluster.owner(slot), "HDEL", hash_of(slot), f"m:{VIEW}")
    assert meters.push().deleted == 1


def test_a_writer_whose_lease_was_taken_over_writes_to_no_slot(cluster, meters):
    with online(cluster) as store, ExitStack() as stack:
        view = store.view(VIEW)
        hold = {"duration": timedelta(seconds=30), "wait": False, "stopped": lambda: False}
        late = stack.enter_context(view.hold(**hold))
        with pytest.raises(LeaseHeld), view.hold(**hold):
            pass
        lease = f"{PREFIX}:{VIEW}:lease"
        cluster.run(cluster.owner(slot_of(lease.encode())), "DEL", lease)  # as when it expires
        with view.hold(**hold) as newer:
            assert newer.fence > late.fence
            rows = [(row_key(f"m{number}"), b"late", None) for number in range(100)]
            with pytest.raises(LeaseLost):
                late.write([rows])
            with pytest.raises(LeaseLost):
                late.delete([key for key, _, _ in rows])
            assert view.exist([key for key, _, _ in rows]) == [False] * len(rows)
            newer.write([rows])
            assert view.read([rows[0][0]]) == [b"late"]


def test_rows_follow_a_slot_that_moves_during_the_push(cluster, meters):
    with online(cluster) as store:
        view = store.view(VIEW)
        rows = [(row_key(f"m{number}"), b"%d" % number, None) for number in range(MANY)]
        slot = slot_of(rows[5][0])
        source = cluster.owner(slot)
        target = next(each for each in cluster.primaries if each is not source)
        hold = {"duration": timedelta(seconds=30), "wait": False, "stopped": lambda: False}
        with view.hold(**hold) as writer:
            cluster.move(slot, target)
            writer.write([rows])
            assert view.read([rows[5][0]]) == [b"5"]
            cluster.move(slot, source)
            assert writer.delete(key for key, _, _ in rows) == MANY


def test_the_urls_of_a_cluster_and_of_one_server_are_not_mixed_up(built, cluster):
    not_one = "is not a node of a Redis Cluster: begin the URL with redis://"
    with Servers() as servers, pytest.raises(OnlineStoreError, match=not_one):
        open_online_store(f"redis+cluster://127.0.0.1:{servers.start().port}", key_prefix=PREFIX, timeout=10)
    opened = Meters(built, f"redis://127.0.0.1:{cluster.primaries[0].port}")
    opened.reset()
    opened.read(("m1", 1, 1.0))
    with pytest.raises(OnlineStoreError, match=r"begin the URL with redis\+cluster://"):
        list(opened.store.push([VIEW]))
    opened.close()


def test_status_and_a_dry_run_name_the_nodes_with_their_shares(meters, cluster):
    meters.many(MANY)
    (planned,) = meters.store.push([VIEW], dry_run=True)
    places = {f"127.0.0.1:{each.port}" for each in cluster.primaries}
    assert planned.shard_bytes.keys() == places
    assert sum(planned.shard_bytes.values()) == planned.memory_bytes
    meters.push()
    (status,) = (each for each in meters.store.status([VIEW]))
    assert {each.address for each in status.nodes} == places
    assert sum(each.slots for each in status.nodes) == 16_384
    assert (status.rows, status.sampled_keys) == (MANY, 200)


def test_verify_and_prune_reach_the_rows_of_all_nodes(meters, cluster):
    meters.many(MANY)
    meters.push()
    gone, key = row_key("m7"), row_key("m8")
    cluster.run(cluster.owner(slot_of(gone)), "DEL", gone)
    cluster.run(cluster.owner(slot_of(key)), "PEXPIRE", key, 10**12)
    (verified,) = meters.store.verify([VIEW])
    assert (verified.missing, verified.different, verified.matching) == (1, 1, MANY - 2)
    with online(cluster) as store:
        hold = {"duration": timedelta(seconds=30), "wait": False, "stopped": lambda: False}
        with store.view(VIEW).hold(**hold) as writer:
            assert sum(writer.delete(keys) for keys in store.view(VIEW).row_keys()) == MANY - 1
            writer.forget()
        assert (store.references(), store.view(VIEW).mark(), [*store.view(VIEW).row_keys()]) == (set(), None, [])
        assert set(store.view(VIEW).slot_marks()) == {None}


def test_all_slots_of_a_node_that_came_back_empty_are_sent_and_what_it_held_beside_rows(meters, cluster):
    meters.many(MANY)
    meters.push()
    for node in cluster.primaries:
        rest = [each for each in cluster.primaries if each is not node]
        before = sum(cluster.run(each, "DBSIZE") for each in rest)
        cluster.run(node, "FLUSHALL")
        meters.push()
        assert sum(cluster.run(each, "DBSIZE") for each in rest) == before
        with online(cluster) as store:
            assert (store.references(), store.view(VIEW).mark().status) == ({VIEW}, "done")
        assert meters.push().written == 0


def test_a_write_to_a_half_moved_slot_waits_until_the_slot_has_moved(cluster, meters):
    slot = slot_of(b"0")
    keys = (row_key(str(number)) for number in range(500_000))
    rows = [(key, b"new", None) for key in keys if slot_of(key) == slot]
    assert len(rows) > 20
    with online(cluster) as store:
        view = store.view(VIEW)
        hold = {"duration": timedelta(seconds=30), "wait": False, "stopped": lambda: False}
        with view.hold(**hold) as writer:
            writer.write([rows])
            target = next(each for each in cluster.primaries if each is not cluster.owner(slot))
            source = cluster.begin_move(slot, target)
            assert cluster.move_keys(source, target, slot, 10) == 10

            def finish() -> None:
                while cluster.move_keys(source, target, slot, 5):
                    pass
                cluster.end_move(slot, target)

            with ThreadPoolExecutor() as pool:
                moving = pool.submit(finish)
                writer.write([rows])
                moving.result()
            assert view.read([key for key, _, _ in rows]) == [b"new"] * len(rows)


def test_a_push_counts_only_when_as_many_replicas_as_asked_for_have_it(meters, cluster):
    meters.read(("m1", 1, 1.0))
    with pytest.raises(OnlineStoreError, match=r"only 0 of 1 replicas .* --replicas-acknowledge"):
        list(meters.store.push([VIEW], replicas_acknowledge=1))
    assert meters.push().written == 1


# Cards and schemas are in other slots than the revision, by which readers notice that they have changed


PUBLISHER = """
import sys
from feature_sync.online.redis.opening import open_online_store
store = open_online_store(sys.argv[1], key_prefix=sys.argv[2], timeout=60)
if sys.argv[3]:
    store.publish("bills", lambda held, schemas_of: (sys.argv[3].encode(), True))
else:
    store.withdraw(["bills"])
"""


def held(cluster, key: str) -> bytes | None:
    return cluster.run(cluster.owner(slot_of(key.encode())), "GET", key)


def settled(cluster, store) -> bytes:
    """Do what every push does with cards; returns the revision, which must stay as it is from then on."""
    assert [*publish_cards(store, (), lambda service: None)] == []
    revision = held(cluster, f"{store.key_prefix}:revision")
    assert [*publish_cards(store, (), lambda service: None)] == []
    assert held(cluster, f"{store.key_prefix}:revision") == revision
    return revision


def alone_with_its_revision(cluster) -> str:
    """Return a key prefix whose revision is on another node than all else that a publisher writes."""
    for number in range(1_000):
        keys = [f"bills{number}:{each}".encode() for each in ("revision", "services", "service:bills")]
        revision, *others = (cluster.owner(slot_of(key)) for key in keys)
        if revision not in others:
            return f"bills{number}"
    raise AssertionError("one node serves all slots")


def test_a_publisher_killed_between_card_and_revision_leaves_the_revision_to_the_next_push(cluster):
    prefix = alone_with_its_revision(cluster)
    revision, card = f"{prefix}:revision", f"{prefix}:service:bills"
    node = cluster.owner(slot_of(revision.encode()))
    with online(cluster, prefix) as store:
        store.publish("bills", lambda held, schemas_of: (b"first", True))
        before = held(cluster, revision)
        assert settled(cluster, store) == before
        for content in ("second", ""):
            cluster.run(node, "CLIENT", "PAUSE", 60_000, "WRITE")
            process = subprocess.Popen([sys.executable, "-c", PUBLISHER, cluster.url, prefix, content])
            until(lambda text=content: (held(cluster, card) or b"").decode() == text, "the card is not changed")
            process.kill()
            process.wait()
            cluster.run(node, "CLIENT", "UNPAUSE")
            assert held(cluster, revision) == before
            after = settled(cluster, store)
            assert after != before
            before = after


def test_a_push_cut_off_between_schema_and_revision_leaves_the_revision_to_the_next(meters, cluster):
    meters.many(10)
    revision = f"{PREFIX}:revision"
    node = cluster.owner(slot_of(revision.encode()))
    cluster.run(node, "ACL", "SETUSER", "default", "resetkeys", "%R~*", *(f"~{PREFIX}:{each}*" for each in "lsv"))
    try:
        with pytest.raises(OnlineStoreError, match="does not allow it to this user"):
            meters.push()
    finally:
        cluster.run(node, "ACL", "SETUSER", "default", "allkeys")
    with online(cluster) as store:
        assert [*store.view(VIEW).schemas()] != []
    assert held(cluster, revision) is None
    meters.push()
    assert held(cluster, revision) is not None
    before = held(cluster, revision)
    meters.push(full_refresh=True)
    assert held(cluster, revision) == before
