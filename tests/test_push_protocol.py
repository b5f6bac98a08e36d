"""The push's protocol: whatever happens between pushes to the table, Redis or the warehouse, the next puts it right."""

from __future__ import annotations

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from threading import Event

import pytest

from feature_sync.errors import ArtifactsChanged, OnlineStoreError, ViewsFailed
from feature_sync.online.redis.store import RedisStore
from feature_sync.serving.client import answer
from feature_sync.serving.vectors import FeatureVector
from tests.support.meters import NOON, Meters, build_meters, minutes_ago
from tests.support.projects import BuiltProject, copy_project
from tests.support.redis_server import RedisServer

KEYS = "meters:latest_readings:"
ROW_COMMANDS = ("set", "unlink", "del")
_schemas = count()


@pytest.fixture(scope="module", params=["duckdb", "postgres", pytest.param("bigquery", marks=pytest.mark.slow)])
def built(request, tmp_path_factory) -> BuiltProject:
    environment = {} if request.param == "duckdb" else request.getfixturevalue(request.param).environment
    return build_meters(tmp_path_factory.mktemp(f"meters_on_{request.param}"), request.param, environment)


@pytest.fixture
def environment(built, monkeypatch):
    for name, value in built.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def meters(built, environment, redis_url):
    """No reading, no push, an empty Redis."""
    opened = Meters(built, redis_url)
    opened.reset()
    yield opened
    opened.close()


@pytest.fixture
def own(built, environment, redis_url, tmp_path, monkeypatch):
    """The same in a project of its own, whose files a test may change."""
    if built.target == "duckdb":
        shutil.copytree(built.folder, folder := tmp_path / "meters")
        project = replace(built, folder=folder)
    else:
        schema = f"meters_{next(_schemas)}"
        monkeypatch.setenv("METERS_SCHEMA", schema)
        folder = copy_project(built.folder, tmp_path / "meters")
        project = build_meters(folder, built.target, {**built.environment, "METERS_SCHEMA": schema}, built.state)
    opened = Meters(project, redis_url)
    opened.reset()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def own_redis():
    """A Redis that tests may kill, fill and restore."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def on_own_redis(built, environment, own_redis):
    with own_redis.client() as client:
        client.flushall()
        client.config_resetstat()
    opened = Meters(built, own_redis.url)
    opened.reset()
    yield opened
    opened.close()


def calls(meters) -> dict[str, int]:
    """How often Redis has run each command that touches rows."""
    told = meters.client.info("commandstats")
    return {name: told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ROW_COMMANDS}


def edit(own, *replacements: tuple[str, str], file: str = "models/models.yml") -> None:
    """Change a file of the project."""
    path = own.project.folder / file
    text = path.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)


# Rows


def test_a_late_row_below_every_earlier_timestamp_changes_nothing_and_answers_once_the_newer_ones_are_gone(meters):
    meters.read(("m1", 10, 1.0), ("m2", 10, 2.0))
    meters.push()
    meters.read(("m1", -60, 9.0))
    assert (meters.push().written, meters.value("m1")) == (0, (1.0, "present"))
    meters.run("delete from {t} where meter = 'm1' and kwh = 1.0")
    assert (meters.push().written, meters.value("m1")) == (1, (9.0, "present"))


def test_a_late_row_of_a_new_entity_is_sent_however_old_it_is(meters):
    meters.read(("m1", 10, 1.0))
    meters.push()
    meters.read(("m2", -99999, 2.0))
    assert (meters.push().written, meters.value("m2")) == (1, (2.0, "present"))


def test_a_row_that_is_true_since_ever_answers_until_another_comes(meters):
    if meters.project.target == "bigquery":
        pytest.skip("its times are all finite")
    meters.run("insert into {t} values ('m1', timestamp '-infinity', timestamp '2024-01-01', 3, 'note')")
    (pushed,) = meters.store.push(["latest_readings"])
    assert (pushed.written, meters.value("m1")) == (1, (3.0, "present"))
    (verified,) = meters.store.verify(["latest_readings"])
    assert verified.is_equal
    meters.read(("m1", 10, 1.0))
    meters.run("delete from {t} where read_at = timestamp '-infinity'")
    assert (meters.push().written, meters.value("m1")) == (1, (1.0, "present"))


def test_a_correction_with_the_same_timestamp_wins_by_its_created_timestamp(meters):
    meters.read(("m1", 10, 1.0, 10))
    meters.push()
    meters.read(("m1", 10, 2.0, 11))
    assert (meters.push().written, meters.value("m1")) == (1, (2.0, "present"))
    meters.read(("m1", 10, 3.0, 9))
    assert (meters.push().written, meters.value("m1")) == (0, (2.0, "present"))


def test_a_correction_in_place_is_sent_although_no_timestamp_grew(meters):
    meters.read(("m1", 10, 1.0), ("m2", 10, 2.0))
    meters.push()
    meters.run("update {t} set kwh = 5.0 where meter = 'm1'")
    assert (meters.push().written, meters.value("m1")) == (1, (5.0, "present"))


def test_a_correction_is_sent_although_the_warehouse_takes_both_values_for_equal(meters):
    if meters.project.target == "bigquery":
        pytest.skip("its emulator loses the sign of zero")
    meters.read(("m1", 10, 0.0), ("m2", 10, 2.0))
    meters.push()
    meters.run("delete from {t} where meter = 'm1'")  # DuckDB updates no value to one that it takes for equal
    meters.read(("m1", 10, "cast('-0.0' as double precision)"))
    assert (meters.push().written, str(meters.value("m1")[0])) == (1, "-0.0")


def test_a_correction_is_sent_although_the_halves_of_its_bits_cancel_out(meters):
    # PostgreSQL hashes a time by its 64 bits folded into 32, and counts from 2000: both moments fold into the same.
    moment, epoch = datetime(2024, 1, 1, 12, 10), datetime(2000, 1, 1)
    folded = epoch + ((moment - epoch) // timedelta(microseconds=1) ^ (2**32 + 1)) * timedelta(microseconds=1)
    meters.read(("m1", 10, 1.0), ("m2", 10, 2.0))
    meters.push()
    meters.run(f"update {{t}} set read_at = timestamp '{folded}' where meter = 'm1'")
    assert meters.push().written == 1


def test_values_that_entities_exchange_are_sent(meters):
    """A sum of what each column contributes would not notice."""
    meters.read(*((f"m{number}", 10, float(number)) for number in range(20)))
    meters.push()
    for number in range(0, 20, 2):
        meters.run(f"update {{t}} set kwh = {2 * number + 1} - kwh where kwh in ({number}, {number + 1})")
        assert meters.push().written == 2
        assert meters.value(f"m{number}") == (number + 1, "present")


def test_a_correction_with_an_older_timestamp_replaces_a_newer_row_that_was_wrong(meters):
    meters.read(("m1", 10, 1.0))
    meters.push()
    meters.run("delete from {t} where meter = 'm1'")
    meters.read(("m1", 5, 4.0))
    assert (meters.push().written, meters.value("m1")) == (1, (4.0, "present"))


def test_a_deleted_entity_goes_and_comes_back_with_the_same_row(meters):
    meters.many(10)
    meters.push()
    meters.run("delete from {t} where meter = 'm1'")
    pushed = meters.push()
    assert (pushed.written, pushed.deleted, pushed.kept) == (0, 1, 9)
    assert meters.value("m1") == (None, "missing")
    meters.read(("m1", 0, 1.0))
    pushed = meters.push()
    assert (pushed.written, pushed.deleted, meters.value("m1")) == (1, 0, (1.0, "present"))


LONG = timedelta(minutes=10)
"""A lease that no push renews, whose commands are counted."""


def test_one_percent_changed_sends_exactly_those_rows(meters):
    meters.many(1000)
    assert meters.push().written == 1000
    meters.run("update {t} set kwh = -1 where meter in ('m1', 'm2', 'm3', 'm4', 'm5', 'm6', 'm7')")
    meters.run("delete from {t} where meter in ('m8', 'm9')")
    meters.read(("new", 0, 1.0))
    before = calls(meters)
    pushed = meters.push(lease=LONG)
    assert (pushed.written, pushed.deleted, pushed.kept, pushed.full) == (8, 2, 991, None)
    after = calls(meters)
    assert after["set"] - before["set"] == 8 + len(["lease", "fence", "this Redis's name", "sending", "done"])
    assert after["unlink"] - before["unlink"] == 1  # of both keys


def test_an_unchanged_view_sends_no_row(meters):
    meters.many(100)
    meters.push()
    mark = meters.client.get(f"{KEYS}push")
    before = calls(meters)
    pushed = meters.push(lease=LONG)
    assert (pushed.written, pushed.deleted, pushed.kept) == (0, 0, 100)
    after = calls(meters)
    assert after["set"] - before["set"] == len(["lease", "fence", "this Redis's name"])
    assert after["unlink"] - before["unlink"] == 0
    assert after["del"] - before["del"] == len(["lease"])
    assert meters.client.get(f"{KEYS}push") == mark


def test_rows_that_are_written_anew_unchanged_and_in_another_order_send_no_row(meters):
    meters.many(100)
    meters.push()
    meters.run(
        "create table {s}.shuffled as select * from {t} order by meter desc", "delete from {t}",
        "insert into {t} select meter, read_at, loaded_at, kwh, note from {s}.shuffled", "drop table {s}.shuffled",
    )  # fmt: skip
    assert meters.push().written == 0


def test_a_full_refresh_sends_every_row_and_removes_what_nobody_pushed(meters):
    meters.many(10)
    meters.push()
    meters.client.set(f"{KEYS}{{stranger}}", b"x")
    pushed = meters.push(full_refresh=True)
    assert (pushed.written, pushed.deleted, pushed.full) == (10, 1, "--full-refresh")


# Time


def test_a_row_whose_ttl_ends_between_two_pushes_is_gone_whether_or_not_redis_saw_it_end(meters):
    minutes = minutes_ago(0)
    meters.read(("m1", minutes, 1.0), ("m2", minutes + 60, 2.0))
    meters.push("brief_readings", allow_removals=True)
    while meters.client.exists("meters:brief_readings:{m1}"):
        time.sleep(0.1)
    meters.read(("m3", minutes_ago(0), 3.0))
    pushed = meters.push("brief_readings")  # what has expired is no removal
    assert (pushed.written, pushed.deleted) == (1, 0)


def test_at_fixed_clocks_rows_end_with_their_ttl_and_come_back_when_the_clock_goes_back(meters):
    meters.read(("m1", 0, 1.0), ("m2", 30, 2.0))
    keys = lambda: sorted(meters.keys("meters:hourly_readings:{*"))  # noqa: E731
    one, two = (f"meters:hourly_readings:{{m{number}}}".encode() for number in (1, 2))
    meters.push("hourly_readings", as_of="2024-01-01T13:00:00Z")
    assert keys() == [one, two]
    meters.push("hourly_readings", as_of="2024-01-01T13:00:00.000001Z")
    assert keys() == [two]
    meters.push("hourly_readings", as_of="2024-01-01T12:00:00Z", allow_removals=True)
    assert keys() == [one]


def test_nothing_but_the_clock_moved_and_no_row_is_sent(meters):
    meters.read(("m1", 0, 1.0), ("m2", 30, 2.0))
    meters.push("hourly_readings", as_of="2024-01-01T12:40:00Z")
    assert meters.push("hourly_readings", as_of="2024-01-01T12:50:00Z").written == 0
    assert meters.value("m1", "hourly_readings", as_of="2024-01-01T12:50:00Z") == (1.0, "present")


# Definitions


def test_a_changed_ttl_gives_every_row_another_expiry(own):
    own.read(("m1", minutes_ago(10), 1.0), ("m2", minutes_ago(90), 2.0))
    own.push("hourly_readings")
    edit(own, ("ttl: 1h", "ttl: 2h"))
    own.project.dbt("--quiet", "parse")
    own.reopen()
    pushed = own.push("hourly_readings")
    assert (pushed.written, pushed.full) == (2, "its definition has changed")
    edit(own, ("ttl: 2h", "ttl: 20m"))
    own.project.dbt("--quiet", "parse")
    own.reopen()
    pushed = own.push("hourly_readings")
    assert (pushed.written, pushed.deleted) == (1, 1)


def test_the_spelling_of_types_in_a_catalog_is_no_change(own):
    if own.project.target == "bigquery":
        pytest.skip("the emulator has no catalog to ask for")
    own.read(("m1", 0, 1.0), ("m2", 0, 2.0))
    own.push()
    own.project.dbt("--quiet", "docs", "generate")
    own.reopen()
    pushed = own.push(gate=False)
    assert (pushed.written, pushed.full) == (0, None)


def test_a_changed_definition_gets_a_schema_of_its_own_and_readers_of_the_old_one_are_told_what_is_gone(own):
    own.read(("m1", 0, 1.0), ("m2", 0, 2.0))
    own.push()
    (old_id,) = own.client.hkeys(f"{KEYS}schema")
    reader = own.open()
    assert reader.get_feature_vector("latest_readings", {"meter": "m1"}).to_dict() == {"kwh": 1.0, "note": "note"}
    # kwh becomes text, note is dropped, volts is new
    decimal = "numeric" if own.project.target == "bigquery" else "decimal(9, 2)"
    edit(own, ("kwh, note", f"cast(kwh as {decimal}) as kwh, 230 as volts"), file="models/latest_readings.sql")
    edit(own, ("features: [kwh, note]", "features: [kwh, volts]"))
    own.project.dbt("--quiet", "build", "-s", "latest_readings")
    assert reader.get_feature_vector("latest_readings", {"meter": "m1"}).to_dict() == {"kwh": 1.0, "note": "note"}
    own.reopen()
    own.client.hset(f"{KEYS}schema", b"left", own.client.hget(f"{KEYS}schema", old_id))
    pushed = own.push()
    assert (pushed.written, pushed.full) == (2, "its definition has changed")
    (new_id,) = own.client.hkeys(f"{KEYS}schema")
    assert new_id != old_id
    with pytest.raises(OnlineStoreError, match=r"^latest_readings in Redis has no note; push it again$"):
        reader.get_feature_vector("latest_readings", {"meter": "m1"})
    assert own.value("m1") == (Decimal(1), "present")
    assert own.value("m1", feature="volts") == (230, "present")


def test_old_and_new_rows_stand_side_by_side_while_a_changed_view_is_pushed(own):
    """What a reader meets when the push of a changed definition was cut off: rows of two schemas."""
    own.read(("m1", 0, 1.0), ("m2", 0, 2.0))
    own.push()
    old = own.client.get(f"{KEYS}{{m1}}")
    (old_id,) = own.client.hkeys(f"{KEYS}schema")
    old_schema = own.client.hget(f"{KEYS}schema", old_id)
    edit(own, ("kwh, note", "kwh, note, 230 as volts"), file="models/latest_readings.sql")
    edit(own, ("features: [kwh, note]", "features: [volts, kwh, note]"))
    own.project.dbt("--quiet", "build", "-s", "latest_readings")
    own.reopen()
    own.push()
    own.client.set(f"{KEYS}{{m1}}", old)
    own.client.hset(f"{KEYS}schema", old_id, old_schema)
    with pytest.raises(OnlineStoreError, match=r"^volts is not in the rows in Redis: latest_readings was pushed other"):
        own.value("m1")
    vector = leniently(own, "m1")
    assert vector.to_dict() == {"volts": None, "kwh": 1.0, "note": "note"}
    assert list(map(str, vector.statuses.values())) == ["gone", "present", "present"]
    assert own.value("m2", feature="volts") == (230, "present")


def leniently(own, meter: str) -> FeatureVector:
    """Read a vector with null for what its row lacks, as clients do with `on_error="null"`."""
    connections = own.store.connections
    requests = connections.requests(own.store.project.service("latest_readings"))
    return answer(requests.get({"meter": meter}, {}, lenient=True), connections.sockets(), connections.redis_timeout)


def test_a_renamed_join_key_sends_the_view_anew_and_leaves_no_old_key(own):
    own.read(("m1", 0, 1.0), ("m2", 0, 2.0))
    own.push()
    edit(own, ("select meter,", "select meter || '!' as device,"), file="models/latest_readings.sql")
    edit(own, ("entities: {meter: meter}", "entities: {meter: device}"))
    own.project.dbt("--quiet", "build", "-s", "latest_readings")
    own.reopen()
    pushed = own.push()
    assert (pushed.written, pushed.deleted, pushed.full) == (2, 2, "its definition has changed")
    assert sorted(own.keys(f"{KEYS}{{*")) == [f"{KEYS}{{m1!}}".encode(), f"{KEYS}{{m2!}}".encode()]


def test_a_definition_that_went_back_after_a_push_of_the_other_was_cut_off_is_pushed_in_full(own):
    own.read(("m1", 0, 1.0), ("m2", 0, 2.0))
    own.push()
    before = (own.project.folder / "models" / "models.yml").read_text()
    edit(own, ("entities: {meter: meter}, features: [kwh, note]", "entities: {note: note}, features: [kwh]"))
    own.project.dbt("--quiet", "parse")
    own.reopen()
    with cut_off_where_it_marks_redis(own):
        list(own.store.push(["latest_readings"], allow_removals=True))
    (own.project.folder / "models" / "models.yml").write_text(before)
    own.project.dbt("--quiet", "parse")
    own.reopen()
    assert own.push().written == 2


@contextmanager
def cut_off_where_it_marks_redis(meters):
    """A push in here ends once its changes are staged, with nothing sent."""
    meters.allow("-sadd")
    try:
        with pytest.raises(OnlineStoreError, match="does not allow it to this user"):
            yield
    finally:
        meters.allow("+@all")


@pytest.mark.parametrize("refused", ["unlink", "srem"])
def test_a_removal_that_was_cut_off_is_finished_by_the_next_and_a_view_that_comes_back_is_whole(own, refused):
    own.read(("m1", 0, 1.0))
    own.push("sourced_readings")
    own.push()
    path = own.project.folder / "models" / "models.yml"
    defined = path.read_text()
    before, _, after = defined.partition("- name: sourced_readings")
    redefine(own, f"{before}- name: sourced_readings{after.replace('loaded_at}}', 'loaded_at, online: false}}', 1)}")
    own.push()
    assert own.client.smembers("meters:views") == {b"sourced_readings", b"latest_readings"}
    cut_off_prune(own, refused)
    redefine(own, defined)
    assert own.push("sourced_readings").full == "the warehouse has no record of what Redis holds"
    redefine(own, f"{before}- name: sourced_readings{after.replace('loaded_at}}', 'loaded_at, online: false}}', 1)}")
    cut_off_prune(own, refused)
    (_, pruned) = own.store.push(["latest_readings"], prune=True)
    assert (pruned.feature_view, pruned.is_pruned) == ("sourced_readings", True)
    assert own.keys("meters:sourced_readings:*") == [b"meters:sourced_readings:fence"]
    assert not [each for each in own.sync_tables() if each.startswith("sourced")]
    assert own.client.smembers("meters:views") == {b"latest_readings"}


def redefine(own, models: str) -> None:
    (own.project.folder / "models" / "models.yml").write_text(models)
    own.project.dbt("--quiet", "parse")
    own.reopen()


def cut_off_prune(own, refused: str) -> None:
    """Let a prune end where Redis refuses a command: `unlink` deletes rows, `srem` comes last."""
    own.allow(f"-{refused}")
    try:
        with pytest.raises(OnlineStoreError, match="does not allow it to this user"):
            own.store.push(["latest_readings"], prune=True)
    finally:
        own.allow("+@all")


# Redis


def test_an_emptied_redis_is_filled_again(meters):
    meters.many(10)
    meters.push()
    meters.client.flushall()
    assert meters.push().written == 10
    meters.client.delete(*meters.keys(f"{KEYS}*"))
    assert meters.push().full == "Redis has lost what was pushed before"


def test_a_redis_restored_from_an_older_copy_is_brought_up_to_date(on_own_redis, own_redis, tmp_path):
    meters = on_own_redis
    meters.many(10)
    meters.push()
    backup = own_redis.backup(tmp_path.name)
    meters.run("delete from {t} where meter = 'm1'", "update {t} set kwh = 7 where meter = 'm2'")
    meters.push()
    own_redis.restore(backup)
    assert meters.differences() != []
    pushed = meters.push()
    assert pushed.full == "Redis or the warehouse was restored, or a full push did not end"
    assert (pushed.written, pushed.deleted) == (9, 1)


def test_a_redis_restored_from_before_the_last_commit_is_not_trusted_because_a_push_after_it_is_unfinished(
    on_own_redis, own_redis, tmp_path
):
    meters = on_own_redis
    meters.many(10)
    meters.push()
    backup = own_redis.backup(tmp_path.name)
    meters.run("update {t} set kwh = 7 where meter = 'm1'")
    meters.push()
    meters.run("update {t} set kwh = 8 where meter = 'm2'")
    with cut_off_where_it_marks_redis(meters):
        list(meters.store.push(["latest_readings"]))
    own_redis.restore(backup)  # m1 is on no list of changes
    assert meters.push().full == "Redis or the warehouse was restored, or a full push did not end"


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 0.99])
def test_a_redis_that_lost_its_unsaved_tail_is_brought_up_to_date(on_own_redis, own_redis, share):
    meters, again = on_own_redis, {"lease": timedelta(seconds=0.5), "wait": True}  # the lease may be back
    meters.many(10)
    meters.push(**again)
    before = own_redis.bytes_written
    meters.run("delete from {t} where meter = 'm1'", "update {t} set kwh = 7 where meter < 'm5'")
    meters.push(**again)
    own_redis.lose_tail(keep=before + int(share * (own_redis.bytes_written - before)))
    meters.run("update {t} set kwh = 8 where meter = 'm7'")
    meters.push(**again)


def test_two_projects_in_one_redis_whose_names_contain_each_other_leave_each_other_alone(meters):
    meters.many(10)
    stores = {prefix: meters.open(key_prefix=prefix) for prefix in ("meters", "meters:latest_readings", "met?rs", "m")}
    for store in stores.values():
        list(store.push(["latest_readings"]))
    meters.run("delete from {t} where meter = 'm1'", "update {t} set kwh = 7 where meter = 'm2'")
    for prefix in ("meters", "met?rs"):
        list(stores[prefix].push(["latest_readings"], full_refresh=True))
    held = {prefix: meters.client.exists(f"{prefix}:latest_readings:{{m1}}") for prefix in stores}
    assert held == {"meters": 0, "meters:latest_readings": 1, "met?rs": 0, "m": 1}
    for prefix in ("meters:latest_readings", "m"):
        (pushed,) = stores[prefix].push(["latest_readings"])
        assert (pushed.written, pushed.deleted, pushed.full) == (1, 1, None)


def test_keys_that_another_warehouse_pushed_are_an_error_until_they_are_taken_over(meters, own):
    meters.many(10)
    meters.push()
    own.many(5)
    with pytest.raises(OnlineStoreError, match=r"latest_readings in Redis was pushed from .*take_over=True"):
        list(own.store.push(["latest_readings"]))
    assert meters.differences() == []
    # A place of states that both share remembers the rows of the other, and so counts removals.
    pushed = own.push(take_over=True, allow_removals=True)
    assert (pushed.written, pushed.deleted, pushed.full) == (5, 5, "taken over from another warehouse")
    with pytest.raises(OnlineStoreError, match="take_over=True"):
        list(meters.store.push(["latest_readings"]))
    assert meters.push(take_over=True).written == 10
    assert meters.push().written == 0


def test_a_redis_that_may_evict_keys_is_refused_until_that_is_accepted(on_own_redis, own_redis):
    meters = on_own_redis
    meters.many(10)
    with own_redis.client() as client:
        let_evict(client)
        try:
            with pytest.raises(OnlineStoreError, match=r"may evict keys \(.*volatile-ttl\).*allow_eviction=True"):
                list(meters.store.push(["latest_readings"]))
            assert meters.push(allow_eviction=True).written == 10
            assert meters.push(allow_eviction=True).written == 0
            evict_ballast(client)
            pushed = meters.push(allow_eviction=True)
            assert (pushed.written, pushed.full) == (10, "Redis has evicted keys, or may have")
            own_redis.restart()  # which forgets how many it has evicted
            let_evict(client)
            assert meters.push(allow_eviction=True).written == 10
            evict_ballast(client)
            own_redis.restart()
            let_evict(client)
            assert meters.push(allow_eviction=True).written == 10
            assert meters.push(allow_eviction=True).written == 0
        finally:
            own_redis.restart()


def let_evict(client) -> None:
    client.config_set("maxmemory", "200mb")
    client.config_set("maxmemory-policy", "volatile-ttl")


def evict_ballast(client) -> None:
    """Make Redis evict a key of somebody else's, the only one with an end."""
    client.set("ballast", b"x" * 100_000, ex=1000)
    client.config_set("maxmemory", str(client.info("memory")["used_memory"] - 1000))
    while client.info("stats")["evicted_keys"] == 0:
        client.ping()
    client.config_set("maxmemory", "200mb")


# The warehouse


def test_a_warehouse_restored_from_an_older_copy_sends_everything_that_it_cannot_vouch_for(own):
    own.many(10)
    own.push()
    restore = backup(own)
    own.run("delete from {t} where meter = 'm1'", "update {t} set kwh = 7 where meter = 'm2'")
    own.read(("new", 0, 1.0))
    own.push()
    restore()
    pushed = own.push()
    assert pushed.full == "Redis or the warehouse was restored, or a full push did not end"
    assert (pushed.written, pushed.deleted) == (10, 1)


def backup(own):
    """Copy the whole warehouse, and where states are kept; returns what restores both."""
    restores = [copy_files(own)]
    if own.project.target != "duckdb":
        restores.append(copy_tables(own, own.run, [f"{own.schema}.readings"], own.schema))
    if own.keeper != "duckdb":
        names = [f"{own.sync_schema}.{name}" for name in own.sync_tables()]
        restores.append(copy_tables(own, own.run_state, names, "public" if own.project.state else own.schema))

    def restore() -> None:
        for each in restores:
            each()

    return restore


def copy_files(own):
    copies = {shutil.copy(each, each.with_suffix(".copy")): each for each in own.project.folder.glob("*.duckdb")}

    def restore() -> None:
        for copy, file in copies.items():
            shutil.copy(copy, file)

    return restore


def copy_tables(own, run, names: list[str], schema: str):
    originals = {name: f"{schema}.copy_of_{name.replace('.', '_')}" for name in names}
    run(*(f"create table {copy} as select * from {name}" for name, copy in originals.items()))

    def restore() -> None:
        for name, copy in originals.items():
            if own.project.target == "bigquery":  # the emulator inserts no `*`, and no view there hinders a drop
                run(f"drop table if exists {name}", f"create table {name} as select * from {copy}")
                continue
            run(f"create table if not exists {name} as select * from {copy}", f"delete from {name} where true")
            run(f"insert into {name} select * from {copy}")

    return restore


def test_a_warehouse_that_lost_its_states_sends_everything(meters):
    meters.many(10)
    meters.push()
    meters.run_state("delete from {s}.state where feature_view <> ''")
    meters.run("delete from {t} where meter = 'm1'")
    pushed = meters.push()
    assert (pushed.written, pushed.deleted) == (9, 1)
    assert pushed.full == "the warehouse has no record of what Redis holds"
    assert meters.push().written == 0


def test_another_warehouse_at_the_same_address_is_told_from_the_one_before(meters):
    """Nothing but the id that the one before had chosen in its schema sets them apart."""
    meters.many(10)
    meters.push()
    meters.run_state("drop schema {s} cascade")
    meters.run("delete from {t} where meter < 'm5'")
    for options in ({"dry_run": True}, {}, {"full_refresh": True}, {"allow_removals": True}):
        with pytest.raises(OnlineStoreError, match=r"another warehouse at the same address.*take_over=True"):
            list(meters.store.push(["latest_readings"], **options))
    assert len(meters.keys(f"{KEYS}{{*")) == 10
    pushed = meters.push(take_over=True, allow_removals=True)
    assert (pushed.written, pushed.deleted, pushed.full) == (5, 5, "taken over from another warehouse")
    assert meters.push().written == 0


def test_a_mark_of_an_older_version_is_of_the_warehouse_that_remembers_its_push(meters):
    meters.many(10)
    meters.push()
    mark = json.loads(meters.client.get(f"{KEYS}push"))
    older = json.dumps({name: value for name, value in mark.items() if name != "warehouse_id"})
    meters.client.set(f"{KEYS}push", older)
    meters.run_state("delete from {s}.state where feature_view = ''")
    pushed = meters.push()
    assert (pushed.written, pushed.full) == (0, None)
    named = json.loads(meters.client.get(f"{KEYS}push"))["warehouse_id"]
    assert named not in {"", mark["warehouse_id"]}
    meters.client.set(f"{KEYS}push", older.replace(mark["push"], "another"))
    with pytest.raises(OnlineStoreError, match=r"by an older version, in a push that this warehouse has no record of"):
        list(meters.store.push(["latest_readings"]))
    assert meters.push(take_over=True).written == 10


def test_without_a_table_that_it_keeps_a_push_sends_everything(meters):
    meters.many(10)
    kept = {"rows", "digests"} if meters.keeper == "duckdb" else {"rows"}
    for kind in sorted(kept):
        meters.push()
        names = set(meters.sync_tables()) - {"state"}
        assert {name.split("_")[-2] for name in names} == kept
        meters.run_state(f"drop table {{s}}.{next(name for name in names if f'_{kind}_' in name)}")
        assert meters.push().written == 10


def test_pushes_leave_no_table_behind_but_the_newest_rows(meters):
    meters.many(10)
    for change in (1, 2, 3):
        meters.run(f"update {{t}} set kwh = -{change} where meter = 'm{change}'")
        meters.push(full_refresh=change == 2)
    meters.push()  # nothing changed
    meters.read(("m5", -60, 1.0))  # a row that does not answer
    assert meters.push().written == 0
    assert len(meters.sync_tables()) == (3 if meters.keeper == "duckdb" else 2)


# Buckets of entities


MANY = 20_000
"""More entities than buckets: most share one with others."""


def test_of_entities_that_share_a_bucket_only_those_that_changed_are_sent(meters):
    if meters.project.target == "bigquery":
        pytest.skip("its emulator takes minutes for so many rows; it has no buckets")
    meters.many(MANY)
    assert push_unchecked(meters).written == MANY
    meters.run(
        "update {t} set kwh = -1 where meter in ('m1', 'm19000')",
        "delete from {t} where meter in ('m2', 'm19001')",
    )
    meters.read(("new", 0, 5.0))
    pushed = meters.push()
    assert (pushed.written, pushed.deleted, pushed.kept) == (3, 2, MANY - 4)
    # Most of the buckets, and then all of them:
    meters.run("update {t} set kwh = -2 where meter like 'm1%'")
    assert push_unchecked(meters).written == meters.run("select count(*) from {t} where kwh = -2")[0][0]
    meters.run("update {t} set kwh = -3")
    assert push_unchecked(meters).written == MANY - 1
    assert meters.push().written == 0


def push_unchecked(meters):
    """Push without the comparison of all rows, which takes seconds for so many."""
    (pushed,) = meters.store.push(["latest_readings"])
    return pushed


def test_what_an_unfinished_push_touched_is_sent_again_though_the_rows_are_as_before(meters):
    """Its digests say that nothing changed since the last push that was completed."""
    meters.many(20)
    meters.push()
    meters.run("update {t} set kwh = 77 where meter = 'm7'")
    with cut_off_where_it_marks_redis(meters):
        list(meters.store.push(["latest_readings"]))
    meters.run("update {t} set kwh = 7 where meter = 'm7'")
    assert meters.push().written == 1
    assert meters.value("m7") == (7.0, "present")


# Long histories, whose newest rows are compared without a digest


@pytest.mark.parametrize("name", ["kept_readings", "indexed_readings"])
def test_every_kind_of_change_in_a_long_history_arrives(meters, name):
    fill(meters, name)
    assert meters.push(name).full == "first push"
    assert {each.split("_")[-2] for each in set(meters.sync_tables()) - {"state"}} == kept_of_a_history(meters)
    assert meters.push(name).written == 0
    table = f"{{s}}.{name}"
    meters.run(
        f"insert into {table} values ('m0', timestamp '2023-01-01', timestamp '2023-01-01', 9, 'late')",
        f"update {table} set kwh = 100 where meter = 'm0' and read_at < (select max(read_at) from {table})",
    )
    assert meters.push(name).written == 0
    newest = f"read_at = (select max(read_at) from {table})"
    meters.run(
        f"update {table} set kwh = -1 where meter = 'm1' and {newest}",
        f"delete from {table} where meter = 'm2' and {newest}",
        f"delete from {table} where meter = 'm3'",
        f"insert into {table} values ('new', timestamp '2024-01-01', timestamp '2024-01-01', 5, 'one row')",
    )
    pushed = meters.push(name)
    assert (pushed.written, pushed.deleted, pushed.kept) == (3, 1, 3)
    assert [meters.value(meter, name)[0] for meter in ("m1", "m2", "new")] == [-1.0, 126.0, 5.0]
    meters.run(f"update {table} set kwh = 77 where meter = 'm1' and {newest}")
    with cut_off_where_it_marks_redis(meters):
        list(meters.store.push([name]))
    meters.run(f"update {table} set kwh = -1 where meter = 'm1' and {newest}")
    assert meters.push(name).written == 1
    assert meters.value("m1", name) == (-1.0, "present")


def kept_of_a_history(meters) -> set[str]:
    """Of a copy, which has one row an entity, digests are kept where they are of all others."""
    return {"rows", "digests"} if meters.project.state == "duckdb" else {"rows"}


def test_a_history_that_has_become_short_is_counted_anew_when_all_is_sent(meters):
    fill(meters, "kept_readings")
    meters.push("kept_readings")
    meters.run("delete from {s}.kept_readings where kwh < 127")
    assert meters.push("kept_readings").written == 0
    assert meters.push("kept_readings", full_refresh=True).written == 6
    assert ("_digests_" in "".join(meters.sync_tables())) is (meters.keeper == "duckdb")
    meters.run("update {s}.kept_readings set kwh = 1 where meter = 'm1'")
    assert meters.push("kept_readings").written == 1
    assert meters.push("kept_readings").written == 0


def test_a_history_that_has_become_long_leaves_no_digests_behind(meters):
    fill(meters, "kept_readings", rows=8)
    meters.push("kept_readings")
    fill(meters, "kept_readings")
    assert meters.push("kept_readings").written == 6  # which counts the rows
    for kwh in (1000, 1001):
        meters.run(f"update {{s}}.kept_readings set kwh = {kwh} where meter = 'm1'")
        assert meters.push("kept_readings").written == 1
    assert meters.push("kept_readings").written == 0
    assert {each.split("_")[-2] for each in set(meters.sync_tables()) - {"state"}} == kept_of_a_history(meters)


def test_a_push_walks_along_an_index_that_dbt_does_not_know(meters):
    if meters.project.target != "postgres":
        pytest.skip("only PostgreSQL has indexes that help")
    fill(meters, "kept_readings")
    meters.run("create index unknown_to_dbt on {s}.kept_readings (meter, read_at)")
    if meters.project.state:  # then it goes by statistics alone
        meters.run("analyze {s}.kept_readings")
    try:
        meters.push("kept_readings")
        before = index_scans(meters)
        meters.run("insert into {s}.kept_readings values ('m1', '2024-01-02', '2024-01-02', 5, 'newer')")
        assert meters.push("kept_readings").written == 1
        until(lambda: index_scans(meters) > before)
    finally:
        meters.run("drop index {s}.unknown_to_dbt")


def index_scans(meters) -> int:
    return meters.run("select idx_scan from pg_stat_user_indexes where indexrelname = 'unknown_to_dbt'")[0][0]


def until(holds, seconds: float = 10) -> None:
    """Wait for what a server does a little later."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def fill(meters, name: str, rows: int = 128) -> None:
    """Give each of six meters as many readings, a minute apart; the newest is of the most kWh."""
    meters.run(f"delete from {{s}}.{name}")
    moments = [f"timestamp '{NOON + timedelta(minutes=minute)}'" for minute in range(rows)]
    readings = [f"('m{meter}', {at}, {at}, {kwh}, 'note')" for meter in range(6) for kwh, at in enumerate(moments)]
    meters.run(f"insert into {{s}}.{name} values {', '.join(readings)}")


# What holds a push back


def test_a_push_that_would_remove_many_entities_is_held_back_until_that_is_allowed(meters):
    meters.many(10)
    meters.push()
    meters.run("delete from {t} where meter in ('m1', 'm2', 'm3')")
    assert meters.push().deleted == 3  # 30% pass
    meters.run("delete from {t} where meter in ('m4', 'm5', 'm6')")
    for options in ({}, {"full_refresh": True}):
        (held,) = meters.store.push(["latest_readings"], **options)
        assert held.held_back == "it would remove 3 of 7 entities; if they are gone on purpose, add allow_removals=True"
    assert meters.value("m4") == (4.0, "present")
    done = meters.project.feature_sync("push", "latest_readings", "--redis-url", meters.redis_url)
    assert (done.returncode, "3 of 7 entities" in done.stdout + done.stderr) == (3, True)
    assert meters.push(allow_removals=True).deleted == 3


def test_a_view_without_a_row_is_held_back_and_emptied_only_when_that_is_allowed(meters):
    (held,) = meters.store.push(["latest_readings"], allow_removals=True)
    assert held.held_back == "the table holds no row with a key and an event timestamp"
    meters.many(3)
    meters.push()
    meters.run("delete from {t}")
    (held,) = meters.store.push(["latest_readings"])
    assert "3 of 3 entities" in held.held_back
    assert meters.value("m1") == (1.0, "present")
    assert meters.push(allow_removals=True).deleted == 3
    meters.many(3)
    assert meters.push().written == 3


def test_an_empty_build_holds_everything_back(own):
    own.many(3)
    own.push()
    own.project.dbt("--quiet", "build", "--empty", "--exclude", "readings", "--threads", "1")  # several may collide
    own.reopen()
    done = own.project.feature_sync("push", "latest_readings", "hourly_readings", "--redis-url", own.redis_url)
    assert (done.returncode, done.stdout.count("ran with --empty")) == (3, 2)
    assert own.client.exists(f"{KEYS}{{m1}}")


def test_a_stale_source_holds_back_the_views_that_read_it_and_no_others(own):
    own.many(3)  # of 2024
    assert source_freshness(own) == 1
    done = {each.feature_view: each.held_back for each in own.store.push(["latest_readings", "sourced_readings"])}
    assert done == {
        "latest_readings": None,
        "sourced_readings": "the source raw.readings is stale; load it, and run dbt source freshness and dbt build -s "
        "sourced_readings",
    }
    assert own.push("sourced_readings", gate=False).written == 3
    own.run(f"update {{t}} set loaded_at = timestamp '{datetime.now(UTC).replace(tzinfo=None)}'")
    assert source_freshness(own) == 0
    assert own.push("sourced_readings").held_back is None


def test_a_dry_run_counts_what_the_push_then_does(meters):
    meters.many(5)
    counts = ("written", "deleted", "kept", "sent_bytes", "full")
    for changed in (["update {t} set kwh = kwh"], ["update {t} set kwh = 9 where meter in ('m1', 'm2')"]):
        meters.run(*changed)
        (foreseen,) = meters.store.push(["latest_readings"], dry_run=True)
        pushed = meters.push()
        assert [getattr(foreseen, each) for each in counts] == [getattr(pushed, each) for each in counts]
    assert (pushed.written, pushed.deleted, pushed.kept, pushed.full) == (2, 0, 3, None)


def source_freshness(own) -> int:
    return own.project.try_dbt("--quiet", "source", "freshness").returncode


def test_artifacts_that_dbt_writes_while_a_view_is_staged_are_read_again(meters):
    meters.many(3)
    path = meters.project.folder / "target" / "run_results.json"
    content = path.read_text()
    other = RedisStore(meters.redis_url, key_prefix="meters")
    with ThreadPoolExecutor(1) as pool:
        try:
            with other.view("latest_readings").hold(duration=timedelta(minutes=1), wait=False, stopped=lambda: False):
                push = pool.submit(lambda: list(meters.store.push(["latest_readings"], wait=True)))
                tries = meters.client.info("commandstats")["cmdstat_eval"]["calls"]
                while meters.client.info("commandstats")["cmdstat_eval"]["calls"] == tries:
                    time.sleep(0.01)  # once it waits for the lease, it has read the artifacts
                path.write_text(content.replace('"status": "success"', '"status": "error"'))
            (held,) = push.result()
            assert held.held_back.startswith("its model ended with error")
        finally:
            path.write_text(content)
            other.close()


def test_artifacts_that_change_all_the_time_end_a_push_that_has_sent_nothing(meters):
    meters.many(3)
    path = meters.project.folder / "target" / "run_results.json"
    ended = Event()

    def touch() -> None:
        for moment in count(1_700_000_000):
            if ended.is_set():
                return
            os.utime(path, (moment, moment))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(touch)
        try:
            with pytest.raises(ArtifactsChanged, match="was rewritten by dbt during the push"):
                list(meters.store.push(["latest_readings"]))
        finally:
            ended.set()
    assert meters.keys(f"{KEYS}{{*") == []
    assert meters.push().written == 3


# Many views, and which


def test_views_are_pushed_side_by_side(meters):
    meters.many(500)
    minutes = minutes_ago(0)
    meters.read(("now", minutes, 1.0))
    names = ["latest_readings", "hourly_readings", "sourced_readings"]
    for change in range(5):
        meters.run(f"update {{t}} set kwh = kwh + 1 where meter < 'm{change}'")
        done = {each.feature_view: each for each in meters.store.push(names, threads=3)}
        assert sorted(done) == sorted(names)
        assert [(each.held_back, each.failed) for each in done.values()] == [(None, None)] * 3
        assert [meters.differences(name) for name in names] == [[], [], []]


def test_a_view_that_fails_leaves_the_others_pushed_and_exits_with_an_error(meters):
    meters.many(5)
    meters.client.hset("meters:sourced_readings:schema", b"1234", b"no json")
    done = meters.project.feature_sync(
        "push", "latest_readings", "sourced_readings", "hourly_readings", "--redis-url", meters.redis_url
    )
    assert done.returncode == 1
    assert "a schema in Redis cannot be read" in done.stderr
    assert meters.differences() == []
    assert meters.keys("meters:sourced_readings:{*") == []


def test_all_views_that_fail_are_told_each_with_its_reason(meters):
    meters.many(5)
    broken = ["hourly_readings", "sourced_readings"]
    for name in broken:
        meters.client.hset(f"meters:{name}:schema", b"1234", b"no json")
    done = meters.project.feature_sync("push", *broken, "latest_readings", "--redis-url", meters.redis_url)
    assert done.returncode == 1
    assert done.stdout.count("failed, see below") == 2
    *reasons, summary = done.stderr.splitlines()
    assert [line.split(": ")[:2] for line in reasons] == [["Error", name] for name in broken]
    assert all("a schema in Redis cannot be read" in line for line in reasons)
    assert summary == "Error: 2 feature views could not be pushed: hourly_readings, sourced_readings"
    with pytest.raises(ViewsFailed, match="2 feature views") as raised:
        list(meters.store.push([*reversed(broken), "latest_readings"]))
    assert list(raised.value.failures) == broken
    assert {type(each) for each in raised.value.failures.values()} == {OnlineStoreError}


def test_views_can_be_left_out(meters):
    meters.many(5)
    done = meters.store.push(exclude=["hourly_readings", "brief_readings", "config.materialized:table"])
    assert sorted(each.feature_view for each in done) == ["latest_readings", "sourced_readings"]
