"""A view with two writers: its stream brings rows first, and a push makes the warehouse's answer of them.

Readings are a meter, minutes after noon, kWh, and for the stream partition and offset.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import timedelta

import pytest

from feature_sync import FeatureClient
from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.users import streamer, writer
from tests.support.node import NodeReader, node_folder
from tests.support.redis_server import RedisServer
from tests.support.streamed_meters import OF_STREAMS, StreamedMeters, build_streamed_meters
from tests.test_json import fits


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def built(request, tmp_path_factory):
    environment = {} if request.param == "duckdb" else dict(request.getfixturevalue(request.param).environment)
    environment["METERS_SCHEMA"] = "streamed"
    return build_streamed_meters(tmp_path_factory.mktemp(f"streams_on_{request.param}"), request.param, environment)


@pytest.fixture(scope="module")
def server():
    """A Redis that tests may restart and empty."""
    with RedisServer() as started:
        yield started


@pytest.fixture
def meters(built, server, monkeypatch):
    """One reading, pushed, of which the stream knows nothing."""
    for name, value in built.environment.items():
        monkeypatch.setenv(name, value)
    with server.client() as client:
        client.flushall()
    opened = StreamedMeters(built, server.url)
    opened.reset()
    opened.has_seen(p0=0)
    opened.read(("m0", 0, 1.0))
    opened.push(allow_removals=True)
    opened.options["redis_url"] = server.url
    yield opened
    opened.close()


def push(meters, **options):
    (pushed,) = meters.store.push(["latest_readings"], allow_removals=True, **options)
    assert pushed.held_back is None, pushed
    return pushed


def test_a_row_that_the_warehouse_has_not_seen_stays_through_pushes_until_it_has(meters):
    assert meters.stream(("m0", 5, 5.0, 0, 7)).applied == 1
    assert meters.held() == {"m0": 5.0}
    meters.read(("m0", 1, 1.5))  # older than the streamed row, and pushed before it has landed
    push(meters)
    push(meters, full_refresh=True)
    assert meters.held() == {"m0": 5.0}
    meters.read(("m0", 5, 5.0))
    meters.has_seen(p0=8)
    push(meters)
    assert meters.differences() == []
    assert meters.online.stream_record().ahead == 0


def test_of_two_rows_of_a_stream_the_newer_by_event_time_partition_and_offset_wins_in_any_order(meters):
    assert meters.stream(("m1", 5, 5.0, 0, 7), ("m1", 4, 4.0, 0, 8), ("m1", 5, 5.8, 0, 8)).applied == 2
    assert meters.stream(("m1", 5, 5.8, 0, 8), ("m1", 5, 5.7, 0, 7)).older == 2
    assert meters.stream(("m1", 5, 6.0, 1, 2), ("m1", 5, 5.9, 0, 9)).applied == 1
    assert meters.held()["m1"] == 6.0


@pytest.mark.parametrize("minutes", [-1e8, -28_401_840, -28_401_840.5, 0, 1e9], ids="{:.0f} minutes".format)
def test_moments_before_1970_and_far_ones_are_compared_as_numbers(meters, minutes):
    meters.stream(("m1", minutes, 1.0, 0, 2**60))
    assert meters.stream(("m1", minutes - 1e-6, 2.0, 0, 2**62)).older == 1
    assert meters.stream(("m1", minutes, 3.0, 0, 2**60 + 1)).applied == 1  # beyond the integers of a float
    assert meters.stream(("m1", minutes + 1e-6, 4.0, 0, 0)).applied == 1
    meters.run("update {t} set read_at = timestamp '1969-12-31 23:59:59.5'")
    push(meters)
    before, after = -28_401_840 - 1 / 60, -28_401_840
    assert meters.stream(("m0", before, 1.0, 0, 1)).older == 1
    assert meters.stream(("m0", after, 2.0, 0, 1)).applied == 1


def test_a_pushed_row_gives_way_to_a_streamed_one_that_is_not_older(meters):
    assert meters.stream(("m0", -1, 0.5, 0, 7)).older == 1
    assert meters.stream(("m0", 0, 2.0, 0, 7)).applied == 1
    assert meters.held() == {"m0": 2.0}


def test_a_newer_row_of_the_warehouse_replaces_a_streamed_one_which_returns_when_that_is_corrected(meters):
    meters.stream(("m0", 5, 5.0, 0, 7))
    meters.read(("m0", 9, 9.0))
    push(meters)
    assert meters.held() == {"m0": 9.0}
    meters.run("delete from {t} where kwh = 9")
    push(meters)
    assert meters.held() == {"m0": 1.0}
    assert meters.stream(("m0", 5, 5.0, 0, 7)).applied == 1  # as writers do after each push: they go back
    assert meters.held() == {"m0": 5.0}


def test_what_the_push_has_seen_and_the_warehouse_did_not_keep_goes(meters):
    meters.run("delete from {t}")
    meters.many(600)
    meters.run("update {t} set kwh = 1 where meter = 'm0'")
    push(meters)
    meters.stream(("m0", 5, 5.0, 0, 7), ("m700", 6, 6.0, 0, 8), ("m599", 7, 7.0, 0, 9))
    assert [meters.value(each)[0] for each in ("m0", "m700", "m599")] == [5.0, 6.0, 7.0]
    meters.has_seen(p0=9)  # both were built, and dropped by the model
    pushed = push(meters)
    assert (pushed.written, pushed.deleted) == (1, 1)
    assert [meters.value(each)[0] for each in ("m0", "m700", "m599")] == [1.0, None, 7.0]
    meters.has_seen(p0=10)
    meters.read(("m1", 1, 1.5))
    push(meters)
    assert meters.differences() == []


@pytest.mark.parametrize("full_refresh", [False, True])
def test_a_deletion_stands_against_older_rows_and_against_pushes_that_have_not_seen_it(meters, full_refresh):
    meters.stream(("m0", 5, None, 0, 7), ("m1", 5, None, 0, 8))
    assert meters.stream(("m0", 4, 4.0, 0, 6), ("m1", 4, 4.0, 0, 9)).older == 2
    meters.read(("m0", 3, 3.0), ("m1", 3, 3.0))
    push(meters, full_refresh=full_refresh)
    assert meters.held() == {}
    assert meters.stream(("m1", 6, 6.0, 0, 10)).applied == 1
    meters.has_seen(p0=11)
    meters.run("delete from {t} where meter = 'm0'", "update {t} set read_at = timestamp '2024-01-01 12:06:00'")
    push(meters, full_refresh=full_refresh)
    assert meters.held() == {"m1": 3.0}
    assert meters.differences() == []


def test_rows_below_the_watermark_are_left_to_the_warehouse(meters):
    meters.has_seen(p0=10, p2=5)
    push(meters)
    done = meters.stream(("m0", 9, 9.0, 0, 9), ("m1", 9, 9.0, 1, 0), ("m2", 9, 9.0, 2, 4), ("m3", 9, 9.0, 2, 5))
    assert (done.applied, done.seen) == (2, 2)
    assert meters.held() == {"m0": 1.0, "m1": 9.0, "m3": 9.0}


def test_a_row_that_was_still_to_come_when_the_push_began_stays(meters):
    minutes = 1e8  # in the year 2214: below the watermark, and yet not among the rows that answer now
    meters.stream(("m0", minutes, 5.0, 0, 7))
    meters.read(("m0", minutes, 5.0))
    meters.has_seen(p0=8)
    push(meters)
    assert meters.held() == {"m0": 5.0}


def test_a_watermark_may_go_back_when_the_table_was_rebuilt_from_less(meters):
    meters.read(("m1", 5, 5.0))
    meters.has_seen(p0=8)
    push(meters)
    meters.run("delete from {t} where meter = 'm1'")
    meters.has_seen(p0=3)
    push(meters)
    assert meters.held() == {"m0": 1.0}
    assert meters.writer().state().watermark == {0: 3}
    assert meters.stream(("m1", 5, 5.0, 0, 7)).applied == 1


def test_writers_go_back_after_each_push_and_when_redis_has_been_another_run(meters, server):
    writer = meters.writer()
    first = writer.state()
    assert writer.write(meters.rows(("m0", 1, 1.1, 0, 1))).epoch == first.epoch
    push(meters)
    second = writer.write(meters.rows(("m0", 2, 1.2, 0, 2))).epoch
    assert second == writer.state().epoch != first.epoch
    server.restart()
    with pytest.raises(OnlineStoreError):
        writer.write(meters.rows(("m0", 3, 1.3, 0, 3)))
    assert writer.state().epoch not in (first.epoch, second)
    with server.client() as client:
        client.flushall()
    assert writer.state() is None
    assert writer.write([]).epoch == ""
    writer.close()


def test_no_row_is_written_where_redis_was_emptied(meters, server):
    rows = meters.rows(("m0", 1, 1.1, 0, 1))
    with server.client() as client:
        client.flushall()
        assert meters.writer().write(rows).epoch == ""
        assert client.keys("*") == []
    push(meters)
    assert meters.differences() == []


@pytest.mark.parametrize("stream", [None, {"topic": "another"}], ids=["none", "another topic"])
def test_a_view_whose_stream_ends_or_reads_another_topic_forgets_the_rows_of_the_old_one(meters, stream):
    meters.stream(("m0", 5, 5.0, 0, 7), ("m1", 5, 5.0, 0, 8))
    writer, rows = meters.writer(), meters.rows(("m0", 6, 6.0, 0, 9))
    manifest = meters.project.folder / "target" / "manifest.json"
    before = manifest.read_text()
    meters.unstream(stream)
    try:
        assert push(meters).full == "its stream has ended, or reads another topic"
        assert meters.differences() == []
        assert writer.state() is None
        assert writer.write(rows).applied == 0
        assert (meters.online.stream_record() is None) == (stream is None)
        assert push(meters).full is None
    finally:
        manifest.write_text(before)
    meters.reopen()
    push(meters)
    assert meters.stream(("m0", 5, 5.0, 0, 7)).applied == 1


def forget_streamed(meters) -> None:
    """Stream a row, and forget the view: from then on no writer writes, and there is no record."""
    meters.stream(("m0", 5, 5.0, 0, 7))
    view = meters.online
    with view.hold(duration=timedelta(seconds=10), wait=False, stopped=lambda: False) as writer:
        writer.beside_stream().close_stream()
        assert meters.stream(("m1", 5, 5.0, 0, 8)).epoch == ""
        writer.forget()
    assert view.stream_record() is None


def test_pruning_and_a_full_push_leave_nothing_of_a_stream(meters, server):
    forget_streamed(meters)


def test_a_fixed_clock_an_evicting_redis_and_a_build_without_watermark_are_refused(meters, server):
    with pytest.raises(OnlineStoreError, match="streams, and a stream writes what is true now"):
        push(meters, as_of="2024-01-02", full_refresh=True)
    meters.run("drop table {s}.latest_readings__watermark")
    (pushed,) = meters.store.push(["latest_readings"])
    assert "latest_readings__watermark does not say which messages its rows have seen" in pushed.held_back
    with server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "1gb")
        try:
            with pytest.raises(OnlineStoreError, match="watermark and journal must not vanish"):
                push(meters, allow_eviction=True)
        finally:
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")


def test_verify_counts_rows_ahead_apart_and_status_shows_how_far_the_stream_is(meters):
    meters.many(5)
    push(meters)
    meters.stream(("m1", 5, 5.0, 0, 7), ("m2", 5, None, 0, 8), ("m9", 5, 9.0, 3, 1))
    (verified,) = meters.store.verify()
    assert (verified.is_equal, verified.ahead, verified.matching, verified.problems) == (True, 3, 3, ())
    meters.client.set("meters:latest_readings:{m3}", b"spoiled")
    (verified,) = meters.store.verify()
    assert (verified.is_equal, verified.ahead, verified.different) == (False, 3, 1)
    (status,) = meters.store.status()
    assert (status.stream.ahead, status.stream.messages_ahead, status.rows) == (3, 9 + 2, 5)
    assert status.stream.last.event_timestamp == 1_704_110_700_000_000
    meters.has_seen(p0=9, p3=2)
    push(meters)
    (status,), (verified,) = meters.store.status(), meters.store.verify()
    assert (status.stream.ahead, status.stream.messages_ahead, verified.ahead, verified.missing) == (0, 0, 0, 0)
    said = meters.project.feature_sync("status", "--redis-url", meters.redis_url)
    assert "rows ahead" in said.stdout, said
    said = meters.project.feature_sync("status", "--json", "--redis-url", meters.redis_url)
    stream = json.loads(said.stdout)["feature_views"][0]["stream"]
    assert [each["watermark"] for each in stream["partitions"]] == [9, 2]
    fits("status", json.loads(said.stdout))


def test_a_user_may_stream_one_view_and_nothing_else(meters, server):
    user = streamer("meters", "latest_readings")
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "streamer", *user.rules(">secret"))
        url = f"redis://streamer:secret@127.0.0.1:{server.port}/0"
        own = StreamedMeters(meters.project, url)
        try:
            assert own.stream(("m1", 5, 5.0, 0, 7), ("m0", 5, None, 0, 8)).applied == 2
            with pytest.raises(OnlineStoreError, match="does not allow it to this user"):
                push(own)
        finally:
            own.close()
            client.execute_command("ACL", "DELUSER", "streamer")
    assert meters.held() == {"m1": 5.0}


@pytest.mark.parametrize("less", ["", *OF_STREAMS])
def test_the_writer_has_the_rights_that_views_with_a_stream_need_and_each_is_needed(meters, server, less):
    meters.stream(("m0", 5, 5.0, 0, 7), ("m1", 5, 5.0, 0, 8))
    meters.has_seen(p0=8)
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "writer", *writer("meters").rules(">secret"))
        if less:
            client.execute_command("ACL", "SETUSER", "writer", f"-{less}")
        own = StreamedMeters(meters.project, f"redis://writer:secret@127.0.0.1:{server.port}/0")
        own.options["redis_url"] = own.redis_url
        try:
            with pytest.raises(OnlineStoreError, match=f"user.*{less}") if less else nullcontext():
                push(own)
                own.store.status()
        finally:
            own.close()
            client.execute_command("ACL", "DELUSER", "writer")
    if not less:
        assert meters.held() == {"m0": 1.0, "m1": 5.0}


def readings_of(vectors) -> list[tuple]:
    return [(vector["kwh"], vector["note"], str(vector.statuses["kwh"])) for vector in vectors]


EXPECTED = [
    (5.0, "streamed", "present"),
    (1.0, "note", "present"),
    (None, None, "missing"),
    (6.0, "streamed", "present"),
]


def stream_and_ask(meters) -> list[dict]:
    meters.many(3)
    push(meters)
    meters.run("delete from {t} where kwh = 1.0 and meter = 'm0'")
    return [{"meter": each} for each in ("m0", "m1", "m2", "m9")]


def test_readers_that_knew_the_view_before_its_stream_began_read_streamed_rows(meters, server):
    entities = stream_and_ask(meters)
    with FeatureClient(server.url, "meter_model", prefix="meters") as client:
        client.get_many(entities)
        meters.stream(("m0", 5, 5.0, 0, 7), ("m2", 5, None, 0, 8), ("m9", 6, 6.0, 0, 9))
        found = readings_of(client.get_many(entities))
        assert found == EXPECTED
        assert found == [readings_of([client.get(each)])[0] for each in entities]
    with FeatureClient(server.url, "meter_model", prefix="meters") as client:
        assert readings_of(client.get_many(entities)) == found
    served = meters.store.get_online_features("meter_model", entities)
    assert readings_of(served) == found


@pytest.mark.slow
def test_the_reader_in_javascript_reads_streamed_rows(meters, server, tmp_path):
    entities = stream_and_ask(meters)
    url = f"redis://127.0.0.1:{server.port}"
    with NodeReader(node_folder(tmp_path), url, "meter_model", "meters") as reader:
        reader.get(entities)
        meters.stream(("m0", 5, 5.0, 0, 7), ("m2", 5, None, 0, 8), ("m9", 6, 6.0, 0, 9))
        found = [(each["values"]["kwh"], each["statuses"]["kwh"]) for each in reader.get(entities)]
    assert found == [(5, "present"), (1, "present"), (None, "missing"), (6, "present")]


def test_a_row_that_redis_refuses_keeps_no_other_of_its_call_back_for_good(meters):
    meters.stream(("m0", 1, 1.5, 0, 7), ("m1", 1, 1.0, 0, 8))
    rows = meters.rows(("m0", 5, 5.0, 0, 9), ("m1", 5, 5.0, 0, 10))
    writer = meters.writer()
    with pytest.raises(OnlineStoreError, match="not an integer"):
        writer.write([rows[0], rows[1]._replace(expires_at=2**63)])  # no moment that Redis takes
    writer.write(rows)
    assert meters.held() == {"m0": 5.0, "m1": 5.0}
    writer.write([each._replace(expires_at=-1) for each in meters.rows(("m1", 6, 6.0, 0, 11))])  # before 1970
    writer.close()
    assert meters.held() == {"m0": 5.0}
