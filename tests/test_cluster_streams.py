"""A view with a stream on a Redis Cluster: what holds on one server holds there, and what happens in single slots."""

from __future__ import annotations

from contextlib import closing

import pytest

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.users import streamer
from feature_sync.online.slots import slot_of, tags
from tests import test_streamed_push
from tests.support.clusters import Cluster
from tests.support.same import same_test
from tests.support.streamed_meters import StreamedMeters, build_streamed_meters
from tests.test_cluster_push import lose, row_key
from tests.test_streamed_push import forget_streamed, push

QUICK = (
    "test_a_row_that_the_warehouse_has_not_seen_stays_through_pushes_until_it_has",
    "test_of_two_rows_of_a_stream_the_newer_by_event_time_partition_and_offset_wins_in_any_order",
    "test_a_newer_row_of_the_warehouse_replaces_a_streamed_one_which_returns_when_that_is_corrected",
    "test_a_view_whose_stream_ends_or_reads_another_topic_forgets_the_rows_of_the_old_one",
)
SLOW = (
    "test_a_pushed_row_gives_way_to_a_streamed_one_that_is_not_older",
    "test_what_the_push_has_seen_and_the_warehouse_did_not_keep_goes",
    "test_a_deletion_stands_against_older_rows_and_against_pushes_that_have_not_seen_it",
    "test_rows_below_the_watermark_are_left_to_the_warehouse",
    "test_a_row_that_was_still_to_come_when_the_push_began_stays",
    "test_a_watermark_may_go_back_when_the_table_was_rebuilt_from_less",
    "test_a_row_that_redis_refuses_keeps_no_other_of_its_call_back_for_good",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_streamed_meters(tmp_path_factory.mktemp("streams_on_a_cluster"), "duckdb", {"METERS_SCHEMA": "main"})


@pytest.fixture(scope="module")
def cluster():
    with Cluster() as started:
        yield started


@pytest.fixture
def meters(built, cluster):
    """One reading, pushed, of which the stream knows nothing."""
    cluster.empty()
    opened = StreamedMeters(built, cluster.url)
    opened.reset()
    opened.has_seen(p0=0)
    opened.read(("m0", 0, 1.0))
    opened.push(allow_removals=True)
    yield opened
    opened.close()


globals().update(
    {name: same_test(test_streamed_push, name) for name in QUICK}
    | {name: pytest.mark.slow(same_test(test_streamed_push, name)) for name in SLOW}
)


def test_the_record_is_that_of_all_slots(meters):
    meters.stream(*((f"m{at}", 5, 5.0, 0, 7 + at) for at in range(20)))
    record = meters.online.stream_record()
    assert (record.ahead, record.messages_ahead, record.is_closed) == (20, 27, False)
    assert record.last.offset == 26
    assert len([key for keys in meters.online.journal_keys() for key in keys]) == 20
    (verified,) = meters.store.verify(["latest_readings"])
    assert (verified.is_equal, verified.ahead) == (True, 20)
    (status,) = meters.store.status(["latest_readings"])
    assert status.stream.messages_ahead == 27


def test_a_slot_that_was_lost_stops_the_stream_until_a_push_has_repaired_it_and_the_rows_return(meters, cluster):
    meters.many(200)
    push(meters)
    streamed = [("m1", 5, 5.0, 0, 7), ("m2", 5, 6.0, 0, 8)]
    writer = meters.writer()
    epoch = writer.state().epoch
    assert writer.write(meters.rows(*streamed)).epoch == epoch
    lose(cluster, slot_of(row_key("m1")))
    assert writer.write(meters.rows(*streamed)).epoch != epoch  # so that it asks for the state
    assert writer.state() is None
    assert meters.value("m2")[0] == 6.0
    pushed = push(meters)
    assert (pushed.full, pushed.written >= 1) == (None, True)
    assert (meters.value("m1")[0], meters.value("m2")[0]) == (1.0, 6.0)  # what the warehouse has, and what is ahead
    assert writer.state().watermark == {0: 0}
    assert writer.write(meters.rows(*streamed)).applied == 1
    assert (meters.value("m1")[0], meters.value("m2")[0]) == (5.0, 6.0)
    writer.close()


def test_a_lost_slot_is_repaired_beside_what_the_stream_wrote_there_since(meters, cluster):
    """Its mark is lost and its stream is not, as where a push was cut off before it marked the slot."""
    meters.many(50)
    push(meters)
    slot = slot_of(row_key("m1"))
    meters.stream(("m1", 5, 5.0, 0, 7))
    cluster.run(cluster.owner(slot), "HDEL", f"meters:slot:{{{tag(slot)}}}", "m:latest_readings")
    meters.read(("m3", 9, 9.0))
    push(meters)
    assert (meters.value("m1")[0], meters.value("m3")[0]) == (5.0, 9.0)
    assert meters.online.stream_record().ahead == 1


def tag(slot: int) -> str:
    return tags()[slot].decode()


def test_a_slot_that_moves_takes_its_stream_with_it(meters, cluster):
    writer = meters.writer()
    epoch = writer.state().epoch
    assert writer.write(meters.rows(("m1", 5, 5.0, 0, 7))).applied == 1
    slot = slot_of(row_key("m1"))
    target = next(each for each in cluster.primaries if each is not cluster.owner(slot))
    cluster.move(slot, target)
    done = writer.write(meters.rows(("m1", 6, 6.0, 0, 8)))
    assert (done.applied, done.epoch) == (1, epoch)
    assert meters.held()["m1"] == 6.0
    writer.close()


def half_move(cluster, slot: int):
    """Begin to move a slot; returns what gives it up."""
    source = cluster.owner(slot)
    cluster.begin_move(slot, next(each for each in cluster.primaries if each is not source))

    def give_up():
        for each in cluster.primaries:
            cluster.run(each, "CLUSTER", "SETSLOT", str(slot), "STABLE")

    return give_up


def test_a_slot_that_hangs_between_two_nodes_stops_no_stream_and_no_push_that_writes_nothing_there(meters, cluster):
    """Its stream is there, and a journal is not: no call may name both."""
    with closing(meters.writer()) as writer:
        epoch = writer.state().epoch
        give_up = half_move(cluster, next(iter(writer._probes.values())))  # noqa: SLF001
        try:
            assert writer.write(()).epoch == epoch
            meters.has_seen(p0=5)
            assert push(meters).written == 0
            assert writer.write(()).epoch == ""
        finally:
            give_up()


def test_a_journal_of_several_requests_is_read_again_where_slots_move(meters, cluster):
    """A cursor means nothing to another node; what took one request may be believed."""
    slot = slot_of(row_key("m0"))
    meters.stream(("m0", 5, 5.0, 0, 7))
    (entry,) = (each for each in meters.online.journal_keys())
    name = f"meters:latest_readings:journal:{{{tag(slot)}}}"
    (position,) = cluster.run(cluster.owner(slot), "HVALS", name)
    give_up = half_move(cluster, slot)
    try:
        assert [*meters.online.journal_keys()] == [entry]
        many = [part for at in range(3_000) for part in (b"%d" % at, position)]
        cluster.run(cluster.owner(slot), "HSET", name, *many)
        with pytest.raises(OnlineStoreError, match="slots of the Redis Cluster are moving"):
            list(meters.online.journal_keys())
    finally:
        give_up()
    assert len({key for keys in meters.online.journal_keys() for key in keys}) == 3_001


def test_a_view_that_is_forgotten_leaves_nothing_of_its_stream(meters, cluster):
    forget_streamed(meters)
    keys = [key.decode() for each in cluster.primaries for key in cluster.run(each, "KEYS", "meters:latest_readings:*")]
    assert [key for key in keys if "stream" in key or "journal" in key] == []


def test_the_user_of_one_stream_has_the_rights_that_a_cluster_needs(meters, cluster):
    user = streamer("meters", "latest_readings")
    rules = user.rules(">secret")
    for each in cluster.processes:
        cluster.run(each, "ACL", "SETUSER", "streamer", *rules)
    store = meters.open(redis_url=cluster.url.replace("://", "://streamer:secret@"))
    writer = store.connections.online().view("latest_readings").stream_writer("readings")
    epoch = writer.state().epoch
    done = writer.write(meters.rows(("m1", 5, 5.0, 0, 7), ("m0", 6, None, 0, 8)))
    assert (done.applied, done.epoch) == (2, epoch)
    assert writer.write(()).epoch == epoch
    writer.close()
    refused = {each["object"] for node in cluster.processes for each in acl_log(cluster, node)}
    assert refused == set()


def acl_log(cluster, node) -> list[dict]:
    with node.client() as client:
        return client.acl_log()


def test_a_node_that_is_another_run_is_noticed_though_no_row_is_for_it(meters, cluster):
    writer = meters.writer()
    epoch = writer.state().epoch
    assert writer.write(()).epoch == epoch
    rows = meters.rows(("m1", 5, 5.0, 0, 7))
    slot = slot_of(row_key("m1"))
    away = next(each for each in cluster.primaries if each is not cluster.owner(slot))
    away.kill()
    away.start()
    said = ""
    for _ in range(100):  # until the cluster is whole again
        with pytest.raises(OnlineStoreError) as refused:
            writer.write(rows)
        if "the stream goes back to the watermark" in (said := str(refused.value)):
            break
    assert "restarted, or has failed over" in said
    writer.close()
