"""Verify: proves that Redis equals the warehouse, or tells row by row how it does not."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import msgpack
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_sync import FeatureStore
from feature_sync.online.redis.store import RedisStore
from feature_sync.verify.checksums import Checksums
from tests.support.naive import differences
from tests.support.projects import PROJECTS, build_project
from tests.support.shelves import fill, rewrite

NOW = "2024-01-01T12:30:00Z"
NOON = datetime(2024, 1, 1, 12)
EPOCH = datetime(1970, 1, 1)
ROWS = [
    ("a", 1, NOON, 1.5, 3, "crimson"),
    ("b|{%}", -1, NOON, math.nan, None, ""),
    ("Zürich", 2**63 - 1, NOON, -0.0, -(2**63), "it's"),
    ("", 0, NOON, None, 0, None),
]
KEYS = ["1|a", "-1|b%7C%7B%25%7D", "9223372036854775807|Zürich", "0|"]
FIRST, NAN, ZERO, EMPTY = (f"stock:shelves:{{{key}}}".encode() for key in KEYS)
COUNTS = ("matching", "different", "missing", "extra", "expired")


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def target(request):
    environment = {} if request.param == "duckdb" else request.getfixturevalue(request.param).environment
    return request.param, environment


@pytest.fixture(scope="module")
def histories(target, tmp_path_factory):
    """A project with a view of every kind."""
    name, environment = target
    folder = tmp_path_factory.mktemp(f"verified_histories_on_{name}")
    return build_project(PROJECTS / "histories", folder, target=name, environment=environment)


@pytest.fixture(scope="module")
def stock(target, tmp_path_factory):
    """A project with one view, whose rows the tests write."""
    name, environment = target
    folder = tmp_path_factory.mktemp(f"verified_stock_on_{name}")
    return build_project(PROJECTS / "stock", folder, target=name, environment=environment)


@pytest.fixture(scope="module")
def types(target, tmp_path_factory):
    """A project with a feature and a key of every type."""
    name, environment = target
    folder = tmp_path_factory.mktemp(f"verified_types_on_{name}")
    return build_project(PROJECTS / "types", folder, target=name, environment=environment)


@pytest.fixture
def opened(target, redis_url, monkeypatch):
    """Opens projects, and closes them after the test."""
    for name, value in target[1].items():
        monkeypatch.setenv(name, value)
    stores = []

    def opens(project, **options) -> FeatureStore:
        options = {"profiles_dir": str(project.folder), "target": project.target, "redis_url": redis_url, **options}
        stores.append(FeatureStore.open(project.folder, **options))
        return stores[-1]

    yield opens
    for store in stores:
        store.close()


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture
def store(opened, stock):
    """The stock project, its four rows pushed."""
    opened_store = opened(stock)
    rewrite(opened_store, ROWS)
    pushed(opened_store, as_of=NOW)
    return opened_store


def pushed(store, *names, **options):
    done = list(store.push(names, **options))
    assert [each.held_back for each in done] == [None] * len(done)


def verified(store, *names, **options):
    (found,) = store.verify(names, **options)
    return found


def counts(found) -> dict[str, int]:
    """The counts that are not 0."""
    return {name: getattr(found, name) for name in COUNTS if getattr(found, name)}


def of_features(found) -> dict[str, dict[str, int]]:
    """The same for each feature, but for what matches."""
    each = {name: counts(feature) for name, feature in found.features.items()}
    return {name: {kind: count for kind, count in some.items() if kind != "matching"} for name, some in each.items()}


def overwrite(client, key, **changes):
    """Write other values into a row, in the order of its schema."""
    names = ["schema", "event_timestamp", "amount", "pieces", "label"]
    row = dict(zip(names, msgpack.unpackb(client.get(key)), strict=True)) | changes
    client.set(key, msgpack.packb([*row.values()]))


def test_redis_equals_the_warehouse_after_a_push(opened, histories, types, store):
    everything = opened(histories)
    pushed(everything, as_of=NOW)
    found = {each.feature_view: (each.is_equal, each.matching) for each in everything.verify()}
    assert found == {
        "batteries": (True, 3),
        "corrected_temperatures": (True, 2),
        "owner_history": (True, 2),
        "places": (True, 3),
        "temperatures": (True, 1),
        "tenant_history": (True, 2),
    }
    of_all_types = opened(types)
    pushed(of_all_types)
    found = {each.feature_view: (each.is_equal, each.matching) for each in of_all_types.verify()}
    assert found == {"everything": (True, 3), "keys": (True, 2), "names": (True, 2)}
    assert counts(verified(store)) == {"matching": 4}
    assert verified(store).as_of == NOON.replace(minute=30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "changes", "feature"),
    [
        pytest.param(FIRST, {"amount": 1.5000000000000002}, "amount", id="the last bit of a number"),
        pytest.param(FIRST, {"amount": None}, "amount", id="null in place of a number"),
        pytest.param(NAN, {"amount": 0.0}, "amount", id="a number in place of NaN"),
        pytest.param(ZERO, {"amount": 0.0}, "amount", id="the sign of zero"),
        pytest.param(EMPTY, {"amount": math.nan}, "amount", id="NaN in place of null"),
        pytest.param(FIRST, {"pieces": 3.0}, "pieces", id="a number of another type"),
        pytest.param(EMPTY, {"pieces": False}, "pieces", id="false in place of 0"),
        pytest.param(ZERO, {"pieces": 1 - 2**63}, "pieces", id="the smallest integers"),
        pytest.param(NAN, {"label": None}, "label", id="null in place of empty text"),
        pytest.param(EMPTY, {"label": ""}, "label", id="empty text in place of null"),
        pytest.param(FIRST, {"label": b"crimson"}, "label", id="bytes in place of text"),
        pytest.param(FIRST, {"label": "réd"}, "label", id="another text"),
    ],
)
def test_each_value_that_differs_is_found_in_its_feature(store, client, key, changes, feature):
    overwrite(client, key, **changes)
    found = verified(store)
    assert not found.is_equal
    assert counts(found) == {"matching": 3, "different": 1}
    assert of_features(found) == {"amount": {}, "pieces": {}, "label": {}} | {feature: {"different": 1}}
    (example,) = found.examples
    assert (example.key, example.feature) == (key.decode(), feature)


def test_a_value_that_differs_is_shown_as_both_sides_have_it(store, client):
    overwrite(client, FIRST, amount=2.5, label="blue")
    examples = [(each.feature, each.warehouse, each.redis) for each in verified(store).examples]
    assert examples == [("amount", 1.5, 2.5), ("label", "crimson", "blue")]


def test_another_event_timestamp_is_a_difference_although_all_features_match(store, client):
    overwrite(client, FIRST, event_timestamp=0)
    found = verified(store)
    assert (counts(found), found.event_timestamps) == ({"matching": 3, "different": 1}, 1)
    assert of_features(found) == {"amount": {}, "pieces": {}, "label": {}}


def test_another_expiry_is_a_difference(store, client):
    client.expire(FIRST, 1000)
    found = verified(store)
    assert (counts(found), found.expiries) == ({"matching": 3, "different": 1}, 1)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"junk", id="no MessagePack"),
        pytest.param(msgpack.packb([1, 2, 3]), id="no schema id"),
        pytest.param(msgpack.packb([b"????", None, 1.5, 3, "crimson"]), id="a schema that nobody knows"),
        pytest.param(msgpack.packb([b"", "noon", 1.5, 3, "crimson"]), id="an event timestamp in words"),
    ],
)
def test_a_row_that_no_reader_understands_is_different(store, client, content):
    client.set(FIRST, content)
    found = verified(store)
    assert counts(found) == {"matching": 3, "different": 1}
    assert of_features(found) == {name: {"missing": 1} for name in ("amount", "pieces", "label")}


def test_a_row_with_too_few_values_is_different(store, client):
    client.set(FIRST, msgpack.packb(msgpack.unpackb(client.get(FIRST))[:-1]))
    assert counts(verified(store)) == {"matching": 3, "different": 1}


def test_the_same_values_in_other_bytes_are_equal(store, client):
    quiet = struct.pack(">d", math.nan)
    other = struct.pack(">Q", struct.unpack(">Q", quiet)[0] ^ 1 ^ 1 << 63)  # another NaN, of the other sign
    assert quiet in client.get(NAN)
    client.set(NAN, client.get(NAN).replace(quiet, other))
    assert counts(verified(store)) == {"matching": 4}


def test_missing_and_extra_rows_are_found_and_keys_that_are_no_keys_too(store, client):
    client.delete(FIRST, EMPTY)
    client.set("stock:shelves:{7|elsewhere}", client.get(NAN))
    client.set(b"stock:shelves:{\xff}}", "?")
    client.hset("stock:shelves:{1|hash}", "no", "string")
    client.set("stock:shelves2:{1|a}", "another view's")
    found = verified(store)
    assert counts(found) == {"matching": 2, "missing": 2, "extra": 3}
    assert of_features(found)["amount"] == {"missing": 2, "extra": 3}
    assert sorted((str(each.kind), each.key) for each in found.examples) == [
        ("extra", "stock:shelves:{1|hash}"),
        ("extra", "stock:shelves:{7|elsewhere}"),
        ("extra", "stock:shelves:{\\xff}}"),
        ("missing", EMPTY.decode()),
        ("missing", FIRST.decode()),
    ]


def test_a_table_that_changed_since_the_push_differs_until_it_is_pushed(store):
    _, *others = ROWS
    rewrite(store, [("a", 1, NOON, 1.5, 4, "crimson"), *others[1:], ("new", 1, NOON, 0.0, 0, "")])
    assert counts(verified(store)) == {"matching": 2, "different": 1, "missing": 1, "extra": 1}
    pushed(store, as_of=NOW, allow_removals=True)
    assert counts(verified(store)) == {"matching": 4}


def test_many_rows_that_differ_are_all_counted_and_a_few_are_shown(store, client):
    fill(store, 1500)
    pushed(store, as_of=NOW, allow_removals=True)
    for item in range(2, 1501, 2):
        overwrite(client, f"stock:shelves:{{{item}|shop}}", pieces=-1)
    for item in range(1, 1501, 6):
        client.rename(f"stock:shelves:{{{item}|shop}}", f"stock:shelves:{{{item}|extra}}")
    found = verified(store)
    assert counts(found) == {"matching": 500, "different": 750, "missing": 250, "extra": 250}
    assert found.features["pieces"].different == 750
    assert {str(each.kind) for each in found.examples} == {"different", "missing", "extra"}
    assert len(found.examples) == 9


def test_a_swap_within_one_bucket_does_not_hide():
    first = b"key 0"
    ours = Checksums()
    ours.add([first])
    others = (b"key %d" % number for number in range(1, 1_000_000))
    second = next(key for key in others if ours.differing(_checksums(key)).of([first, key]) == [first, key])
    assert ours.differing(_checksums(second)).of([first, second]) == [first, second]
    two = _checksums(first, second)
    assert not two.differing(_checksums(second, first))
    assert two.differing(_checksums(first, first))


def _checksums(*keys):
    checksums = Checksums()
    checksums.add(keys)
    return checksums


def other_schema(client, **changes):
    """Publish another schema for rows of the view, as an older push would have; returns its id."""
    (newest,) = client.hgetall("stock:shelves:schema").values()
    client.hset("stock:shelves:schema", b"old!", json.dumps(json.loads(newest) | {"fence": 0} | changes))
    return b"old!"


def test_a_row_of_another_schema_is_equal_only_if_it_agrees_feature_by_feature(store, client):
    _, event_timestamp, amount, pieces, label = msgpack.unpackb(client.get(FIRST))
    features = [["label", "string"], ["amount", "float64"], ["pieces", "decimal(4,0)"]]
    old = other_schema(client, features=features)
    client.set(FIRST, msgpack.packb([old, event_timestamp, label, amount, pieces]))
    assert counts(verified(store)) == {"matching": 4}
    client.set(FIRST, msgpack.packb([old, event_timestamp, label, amount, str(pieces)]))
    assert of_features(verified(store)) == {"amount": {}, "pieces": {"different": 1}, "label": {}}


def test_a_row_of_another_schema_lacks_new_features_and_has_dropped_ones(store, client):
    _, event_timestamp, amount, pieces, _ = msgpack.unpackb(client.get(FIRST))
    old = other_schema(client, features=[["amount", "float64"], ["pieces", "int64"], ["colour", "string"]])
    client.set(FIRST, msgpack.packb([old, event_timestamp, amount, pieces, "crimson"]))
    found = verified(store)
    assert counts(found) == {"matching": 3, "different": 1}
    assert of_features(found) == {"amount": {}, "pieces": {}, "label": {"missing": 1}, "colour": {"extra": 1}}


def test_rows_whose_schema_is_not_in_redis_are_different_for_no_reader_finds_them(store, client):
    old = other_schema(client)
    (ours,) = {each for each in client.hkeys("stock:shelves:schema") if each != old}
    client.hdel("stock:shelves:schema", ours)
    assert counts(verified(store)) == {"different": 4}
    client.delete("stock:shelves:schema")
    assert verified(store).problems == ("Redis has lost its schemas, so no reader finds it",)


def test_a_schema_whose_ttl_or_defaults_are_not_the_definitions_is_a_problem(store, client):
    ((schema_id, newest),) = client.hgetall("stock:shelves:schema").items()
    changed = json.loads(newest) | {"ttl": 3_600_000_000, "defaults": {"pieces": 1}}
    client.hset("stock:shelves:schema", schema_id, json.dumps(changed))
    found = verified(store)
    assert not found.is_equal
    assert found.problems == (
        "readers use a TTL of 1h, the definition says 2h",
        "readers use other defaults than the definition's",
    )


def test_a_row_that_the_push_should_have_removed_is_expired_and_overdue(store, client):
    row = msgpack.unpackb(client.get(FIRST))
    two_hours_ago = int((NOON - EPOCH - timedelta(minutes=90)).total_seconds()) * 1_000_000
    exactly_ttl = msgpack.packb([row[0], two_hours_ago, *row[2:]])
    too_old = msgpack.packb([row[0], two_hours_ago - 1, *row[2:]])
    client.set("stock:shelves:{1|exactly}", exactly_ttl)
    client.set("stock:shelves:{1|too old}", too_old)
    found = verified(store)
    assert not found.is_equal
    assert (counts(found), found.overdue) == ({"matching": 4, "extra": 1, "expired": 1}, 1)


def test_rows_whose_ttl_ended_after_the_fixed_clock_are_expired_and_no_difference(store):
    found = verified(store, as_of="2024-01-01T14:00:00Z")
    assert counts(found) == {"matching": 4}
    found = verified(store, as_of="2024-01-01T14:00:00.000001Z")
    assert (found.is_equal, counts(found), found.overdue) == (True, {"expired": 4}, 0)


def test_a_row_whose_ttl_ends_during_the_verification_is_expired_and_no_difference(opened, stock, client):
    """Redis drops the row after the moment for which the warehouse is asked, and before Redis is."""
    store = opened(stock)
    now = datetime.now(UTC).replace(tzinfo=None)
    rewrite(
        store, [("soon", 1, now - timedelta(hours=2) + timedelta(seconds=4), 1.0, 1, ""), ("a", 1, now, 1.0, 1, "")]
    )
    asked_at = datetime.now(UTC)
    pushed(store)
    assert client.exists("stock:shelves:{1|soon}")
    while client.exists("stock:shelves:{1|soon}"):
        time.sleep(0.05)
    found = verified(store, as_of=asked_at)
    assert (found.is_equal, counts(found), found.overdue) == (True, {"matching": 1, "expired": 1}, 0)
    assert counts(verified(store)) == {"matching": 1}


def test_at_the_real_clock_a_row_that_redis_should_have_dropped_is_overdue(opened, stock, client):
    store = opened(stock)
    now = datetime.now(UTC).replace(tzinfo=None)
    rewrite(store, [("a", 1, now, 1.0, 1, "")])
    pushed(store)
    row = msgpack.unpackb(client.get("stock:shelves:{1|a}"))
    client.set("stock:shelves:{1|late}", msgpack.packb([row[0], row[1] - 7_200_000_000 - 1_000_000, *row[2:]]))
    found = verified(store)
    assert (found.is_equal, counts(found), found.overdue) == (False, {"matching": 1, "expired": 1}, 1)
    client.persist("stock:shelves:{1|a}")
    assert verified(store).expiries == 1


def test_a_sample_compares_the_same_entities_every_time_and_looks_for_no_extra_rows(store, client):
    client.set("stock:shelves:{7|extra}", client.get(FIRST))
    for key in (FIRST, NAN, ZERO, EMPTY):
        overwrite(client, key, label="other")
    first, second = verified(store, sample=2), verified(store, sample=2)
    assert counts(first) == counts(second) == {"different": 2}
    assert [each.key for each in first.examples] == [each.key for each in second.examples]
    assert counts(verified(store, sample=100)) == {"different": 4}


def test_redaction_hides_every_value_and_no_key(stock, store, client, redis_url):
    overwrite(client, FIRST, amount=4711.25, label="tell nobody", event_timestamp=1)
    client.set("stock:shelves:{1|junk}", "tell nobody")
    client.set(NAN, "tell nobody")
    client.expire(ZERO, 1000)
    values = ("1.5", "4711.25", "crimson", "tell nobody", "12:00:00", "1970")
    for options in ([], ["--json"]):
        shown = stock.feature_sync("verify", *options, FEATURE_SYNC_REDIS_URL=redis_url)
        assert {value for value in values if value in shown.stdout} > {"4711.25", "tell nobody"}
        hidden = stock.feature_sync("verify", "--redact", *options, FEATURE_SYNC_REDIS_URL=redis_url)
        assert shown.returncode == hidden.returncode == 3
        assert not [value for value in values if value in hidden.stdout + hidden.stderr]
        assert {key for key in (FIRST, NAN, ZERO) if key.decode() in hidden.stdout} == {FIRST, NAN, ZERO}


def test_the_command_prints_tables_and_exits_3_where_anything_differs(stock, store, client, redis_url):
    done = stock.feature_sync("verify", FEATURE_SYNC_REDIS_URL=redis_url)
    assert (done.returncode, done.stderr) == (0, "")
    header, line, *_ = done.stdout.splitlines()
    assert header.split()[:8] == ["feature", "view", "Redis", "is", "matching", "different", "missing", "extra"]
    assert line.split()[:7] == ["shelves", "equal", "4", "0", "0", "0", "0"]
    sampled = stock.feature_sync("verify", "--sample", "2", FEATURE_SYNC_REDIS_URL=redis_url)
    assert sampled.returncode == 0
    assert "equal so far" in sampled.stdout
    assert "without a search for extra rows" in sampled.stderr
    client.delete(FIRST)
    done = stock.feature_sync("verify", "shelves", FEATURE_SYNC_REDIS_URL=redis_url)
    assert done.returncode == 3
    assert "stock:shelves:{1|a}   missing" in done.stdout
    assert "To put it right: feature-sync push shelves" in done.stderr
    document = json.loads(stock.feature_sync("verify", "--json", FEATURE_SYNC_REDIS_URL=redis_url).stdout)
    (found,) = document["feature_views"]
    missing = {each["name"]: each["missing"] for each in found["features"]}
    assert (document["is_equal"], found["is_equal"], found["missing"], missing["amount"]) == (False, False, 1, 1)


def test_a_view_that_was_never_pushed_is_said_to_be_so_and_a_wrong_name_is_an_error(stock, client, redis_url):
    never = stock.feature_sync("verify", FEATURE_SYNC_REDIS_URL=redis_url)
    assert never.returncode == 3
    assert "shelves: never pushed" in never.stderr
    wrong = stock.feature_sync("verify", "shelfs", FEATURE_SYNC_REDIS_URL=redis_url)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "did you mean 'shelves'" in wrong.stderr
    assert client.keys("*") == []


def test_a_push_under_way_or_one_that_came_between_is_told(store, client, redis_url):
    online = RedisStore(redis_url, key_prefix="stock")
    with online.view("shelves").hold(duration=timedelta(seconds=30), wait=False, stopped=lambda: False):
        (note,) = verified(store).notes
    online.close()
    assert "has been pushing it since" in note
    assert "differences are to be expected" in note
    overwrite(client, FIRST, pieces=0)
    (found,) = store.verify(progress=lambda view, rows: pushed(store, as_of=NOW, full_refresh=True))
    assert ["was pushed during the verification" in note for note in found.notes] == [True]


def test_a_user_who_may_not_ask_for_expiries_is_told_that_they_were_not_compared(
    opened, stock, store, client, redis_url
):
    client.expire(FIRST, 1000)
    client.acl_setuser("guest", enabled=True, passwords=["+guest"], keys=["*"], commands=["+@all", "-pexpiretime"])
    try:
        as_guest = opened(stock, redis_url=redis_url.replace("unix://", "unix://guest:guest@"))
        found = verified(as_guest)
    finally:
        client.acl_deluser("guest")
    assert counts(found) == {"matching": 4}
    assert found.notes == ("this user may not ask Redis when keys expire, so expiries were not compared",)


VERIFIES = ("ping", "get", "mget", "hgetall", "scan", "exists", "time", "multi", "exec", "pexpiretime")


@pytest.mark.parametrize(
    "rights", [["+@read", "+@write", "+@connection", "+@transaction", "+eval", "+info", "+time"], VERIFIES]
)
def test_a_user_with_the_rights_of_the_pages_has_every_expiry_compared(opened, stock, store, client, redis_url, rights):
    client.expire(FIRST, 1000)
    client.set("stock:shelves:{1|extra}", "")
    commands = [each if each.startswith("+") else f"+{each}" for each in rights]
    client.execute_command("ACL", "SETUSER", "guest", "reset", "on", ">guest", "~stock:*", *commands)
    try:
        found = verified(opened(stock, redis_url=redis_url.replace("unix://", "unix://guest:guest@")))
    finally:
        client.acl_deluser("guest")
    assert (counts(found), found.expiries, found.notes) == ({"matching": 3, "different": 1, "extra": 1}, 1, ())


def test_a_row_that_ends_at_another_moment_is_different(store, client):
    client.set(FIRST, msgpack.packb([*msgpack.unpackb(client.get(FIRST)), 1_704_110_400_000_000]))
    found = verified(store)
    assert counts(found) == {"matching": 3, "different": 1}
    (example,) = found.examples
    assert (example.about, example.warehouse, example.redis) == ("ends", None, NOON.replace(tzinfo=UTC))


def test_a_connection_that_breaks_does_not_end_a_verification(store, client):
    fill(store, 5000)
    pushed(store, as_of=NOW, allow_removals=True)
    cut = []

    def cut_connections_once(view, rows):
        cut.append(0 if cut else client.client_kill_filter(_type="normal", skipme=True))

    assert counts(verified(store, progress=cut_connections_once)) == {"matching": 5000}
    assert cut[0] == 1  # the one that compares


def test_others_may_write_to_a_duckdb_file_while_redis_is_read(stock, store):
    written = []

    def write(view, rows):
        rewrite(store, [])
        written.append(rows)

    found = verified(store, progress=write)
    assert (found.matching, written[-1]) == (4, 4)
    assert counts(verified(store)) == {"extra": 4}


MEASURED = """
import sys, tracemalloc
from feature_sync import FeatureStore
with FeatureStore.open(sys.argv[1], redis_url=sys.argv[2]) as store:
    list(store.verify(sample=1))
    tracemalloc.start()
    (found,) = store.verify()
print(found.matching, found.different, found.missing, found.extra, tracemalloc.get_traced_memory()[1])
"""


@pytest.mark.parametrize("are_spoiled", [False, True], ids=["equal", "all different"])
def test_memory_does_not_grow_with_the_rows(stock, store, client, redis_url, are_spoiled):
    """The keys of 90,000 rows alone would take more than 5 MB."""
    peaks = []
    for rows in (10_000, 100_000):
        fill(store, rows)
        client.flushall()
        pushed(store, as_of=NOW)
        if are_spoiled:
            spoil(client)
        command = [sys.executable, "-c", MEASURED, str(stock.folder), redis_url]
        done = subprocess.run(command, env=stock.variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        *found, peak = map(int, done.stdout.split())
        third = rows // 3
        assert found == ([0, rows - third, third, third] if are_spoiled else [rows, 0, 0, 0])
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 1_500_000


def spoil(client):
    """Move a third of the rows to other keys, and give all another value."""
    with client.pipeline(transaction=False) as pipeline:
        for key in client.scan_iter("stock:shelves:{*", count=10_000):
            item = int(key.partition(b"{")[2].partition(b"|")[0])
            pipeline.append(key, b"!") if item % 3 else pipeline.rename(key, key.replace(b"shop", b"pohs"))
        pipeline.execute()


shops = st.sampled_from(["a", "", "é", "a|b", "{%}", "\r\n", "日本"])
rows = st.tuples(
    shops,
    st.sampled_from([-1, 0, 2**63 - 1]),
    st.integers(-3, 0).map(lambda hours: NOON + timedelta(minutes=30, hours=hours)),
    st.sampled_from([None, 0.0, -0.0, 1.5, math.nan, math.inf]),
    st.sampled_from([None, 0, 1, -(2**63)]),
    st.sampled_from([None, "", "crimson", "it's"]),
)
tables = st.lists(rows, max_size=12, unique_by=lambda row: row[:3])
edits = st.lists(
    st.tuples(st.integers(0, 99), st.sampled_from(["delete", "junk", "swap", "copy", "expire", "age", "add"])),
    max_size=4,
)


@settings(max_examples=20)
@given(before=tables, after=st.none() | tables, edits=edits)
def test_the_verdict_is_that_of_a_naive_comparison(store, client, before, after, edits):
    rewrite(store, [ROWS[0], *(row for row in before if row[:2] != ("a", 1))])
    pushed(store, as_of=NOW, full_refresh=True, allow_removals=True)
    if after is not None:
        rewrite(store, after)
    for place, kind in edits:
        spoil_one(client, place, kind)
    lines = [line.removeprefix("stock:shelves:").rpartition("}: ") for line in differences(store, "shelves")]
    naive = {key: reason if reason in ("missing", "extra") else "different" for key, _, reason in lines}
    found = verified(store)
    assert found.is_equal == (not naive)
    kinds = list(naive.values())
    assert (found.different, found.missing) == (kinds.count("different"), kinds.count("missing"))
    assert (found.extra + found.expired, found.expired) == (kinds.count("extra"), found.overdue)


def spoil_one(client, place, kind):
    keys = sorted(client.keys("stock:shelves:{*"))
    if not keys:
        return
    key, other = keys[place % len(keys)], keys[(place // 2 + 1) % len(keys)]
    row = msgpack.unpackb(client.get(key))
    match kind:
        case "delete":
            client.delete(key)
        case "junk":
            client.set(key, b"\x00")
        case "swap" if key != other:
            client.copy(other, key, replace=True)
        case "copy":
            client.copy(key, key.replace(b"{", b"{9"), replace=True)
        case "expire":
            client.expire(key, 1000)
        case "age" if isinstance(row, list):
            client.set(key, msgpack.packb([row[0], row[1] - 10_000_000_000, *row[2:]]))
        case "add":
            client.set(b"stock:shelves:{%d|added}" % place, client.get(key))


def test_the_naive_comparison_finds_nothing_after_a_push(opened, histories, types):
    store = opened(histories)
    pushed(store, as_of=NOW)
    assert [line for name in store.registry.feature_views for line in differences(store, name)] == []
    pushed(store, "places", "batteries", "owner_history", "corrected_temperatures", full_refresh=True)
    for name in ("places", "batteries", "owner_history", "corrected_temperatures"):
        assert differences(store, name) == []
    of_all_types = opened(types)
    pushed(of_all_types)
    for name in ("everything", "keys", "names"):
        assert differences(of_all_types, name) == []


def test_the_naive_comparison_finds_each_kind_of_difference(opened, histories, client):
    store = opened(histories)
    pushed(store, as_of=NOW)
    client.delete("histories:places:{attic}")
    client.set("histories:places:{nowhere}", b"")
    schema_id, event_timestamp, _ = msgpack.unpackb(client.get("histories:batteries:{attic}"))
    client.set("histories:batteries:{attic}", msgpack.packb([schema_id, event_timestamp, -0.0]))
    client.expire("histories:temperatures:{attic}", 1000)
    assert differences(store, "places") == ["histories:places:{attic}: missing", "histories:places:{nowhere}: extra"]
    assert differences(store, "batteries") == ["histories:batteries:{attic}: battery is not 22.5"]
    assert len(differences(store, "temperatures")) == 1
    assert "not at None" in differences(store, "temperatures")[0]
