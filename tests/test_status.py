"""Status: of each view what Redis holds, how old it is, and how its last push went; nothing is written or created."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import redis

from feature_sync import FeatureStore
from feature_sync.errors import UnknownName
from feature_sync.online.redis.store import RedisStore
from tests.support.projects import PROJECTS, build_project
from tests.support.shelves import fetch, fill, rewrite, run

NOW = "2024-01-01T12:30:00Z"
NOON = datetime(2024, 1, 1, 12)
ROWS = [("a", 1, NOON, 1.5, 3, "red"), ("b", 2, NOON - timedelta(hours=1), None, None, None)]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def stock(request, tmp_path_factory):
    environment = {} if request.param == "duckdb" else request.getfixturevalue(request.param).environment
    folder = tmp_path_factory.mktemp(f"status_of_stock_on_{request.param}")
    return build_project(PROJECTS / "stock", folder, target=request.param, environment=environment)


@pytest.fixture
def store(stock, redis_url, monkeypatch):
    """The stock project, nothing of it pushed."""
    for name, value in stock.environment.items():
        monkeypatch.setenv(name, value)
    with FeatureStore.open(
        stock.folder, profiles_dir=str(stock.folder), target=stock.target, redis_url=redis_url
    ) as opened:
        rewrite(opened, ROWS)
        yield opened


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


def pushed(store, **options):
    (done,) = store.push(**options)
    assert done.held_back is None
    return done


def words(line: str) -> str:
    return " ".join(line.split())


def status_of(store, *names):
    (found,) = store.status(names)
    return found


def test_a_view_that_was_never_pushed_is_said_to_be_so_and_nothing_is_created(store, client):
    run(store, "drop schema if exists {schema}_feature_sync cascade")
    found = status_of(store)
    assert (found.state, found.rows, found.last, found.schemas, found.problem) == ("never pushed", None, None, (), None)
    assert client.keys("*") == []
    schemas = "select schema_name from information_schema.schemata where schema_name = '{schema}_feature_sync'"
    assert fetch(store, schemas) == []
    pushed(store, as_of=NOW)
    assert len(fetch(store, schemas)) == 1


def test_after_a_push_all_of_it_is_told(store, client):
    done = pushed(store, as_of=NOW)
    found = status_of(store, "shelves")
    (schema_id,) = client.hkeys("stock:shelves:schema")
    assert (found.state, found.is_defined, found.rows) == ("pushed", True, 2)
    assert (found.oldest, found.newest) == (NOON.replace(hour=11, tzinfo=UTC), NOON.replace(tzinfo=UTC))
    assert (found.age, found.ttl) == (timedelta(minutes=30), timedelta(hours=2))
    assert found.schemas == (schema_id.hex(),)
    assert (found.mark.push, found.mark.status, found.unfinished, found.holder) == (done.push, "done", (), None)
    assert found.memory_bytes == sum(client.memory_usage(key) for key in client.keys("stock:shelves:{*"))
    assert found.sampled_keys == 2
    assert (found.last.written, found.last.deleted, found.last.as_of) == (2, 0, NOON.replace(minute=30, tzinfo=UTC))
    assert found.last.relation == store.registry.feature_view("shelves").relation.name
    assert found.last.invocation_id == store.manifest.metadata.invocation_id
    assert found.last.seconds == pytest.approx(done.phase_seconds["stage"] + done.phase_seconds["send"])
    rewrite(store, ROWS[:1])
    pushed(store, as_of=NOW, allow_removals=True)
    found = status_of(store)
    assert (found.rows, found.last.written, found.last.deleted) == (1, 0, 1)


def test_memory_is_estimated_from_some_keys(store, client):
    fill(store, 2000)
    pushed(store, as_of=NOW, allow_removals=True)
    found = status_of(store)
    exact = sum(client.memory_usage(key) for key in client.keys("stock:shelves:{*"))
    assert found.sampled_keys == 200
    assert found.memory_bytes == pytest.approx(exact, rel=0.1)


def test_rows_that_ended_since_the_push_do_not_count_but_their_age_is_told(store):
    now = datetime.now(UTC).replace(tzinfo=None)
    rewrite(store, [("a", 1, now, 1.0, 1, ""), ("b", 1, now - timedelta(hours=2) + timedelta(seconds=5), 1.0, 1, "")])
    pushed(store, allow_removals=True)
    until = now + timedelta(seconds=5)
    while datetime.now(UTC).replace(tzinfo=None) <= until:
        found = status_of(store)
    found = status_of(store)
    assert (found.rows, found.newest) == (1, now.replace(tzinfo=UTC))
    assert found.oldest == now.replace(tzinfo=UTC) - timedelta(hours=2) + timedelta(seconds=5)


def test_a_push_that_did_not_end_is_told_until_the_next_one_does(store):
    class Stop(Exception):
        pass

    def stop(view, rows):
        raise Stop

    pushed(store, as_of=NOW)
    rewrite(store, [*ROWS, ("c", 1, NOON, 1.0, 1, "")])
    with pytest.raises(Stop):
        list(store.push(as_of=NOW, progress=stop))
    found = status_of(store)
    assert (found.state, found.mark.status, found.unfinished) == ("a push did not end", "sending", (found.mark.push,))
    assert found.rows == 2
    pushed(store, as_of=NOW)
    assert (status_of(store).state, status_of(store).rows) == ("pushed", 3)


def test_who_holds_the_lease_is_told(store, redis_url):
    pushed(store, as_of=NOW)
    online = RedisStore(redis_url, key_prefix="stock")
    with online.view("shelves").hold(duration=timedelta(seconds=30), wait=False, stopped=lambda: False):
        found = status_of(store)
    online.close()
    assert found.state == "being pushed"
    assert abs(found.holder.since - datetime.now(UTC)) < timedelta(minutes=5)
    assert "process" in found.holder.who
    assert status_of(store).holder is None


def test_views_that_the_project_no_longer_defines_are_told(stock, store, client, redis_url):
    pushed(store, as_of=NOW)
    client.sadd("stock:views", "shelves.v0")
    client.copy("stock:shelves:schema", "stock:shelves.v0:schema")
    client.copy("stock:shelves:push", "stock:shelves.v0:push")
    found = {each.feature_view: (each.state, each.is_defined) for each in store.status()}
    assert found == {"shelves": ("pushed", True), "shelves.v0": ("no longer defined", False)}
    assert [each.feature_view for each in store.status(["shelves"])] == ["shelves"]
    shown = stock.feature_sync("status", FEATURE_SYNC_REDIS_URL=redis_url)
    assert "shelves.v0: is in Redis, but the project no longer defines it" in shown.stderr


def test_the_command_prints_tables_or_json_and_refuses_a_wrong_name(stock, store, redis_url):
    pushed(store, as_of=NOW)
    shown = stock.feature_sync("status", FEATURE_SYNC_REDIS_URL=redis_url)
    assert (shown.returncode, shown.stderr) == (0, "")
    header, line, _, pushes, last, *_ = shown.stdout.splitlines()
    assert words(header) == "feature view state rows memory oldest event newest event age of ttl schemas"
    assert line.split()[:3] == ["shelves", "pushed", "2"]
    assert "2024-01-01 11:00:00Z" in line
    assert "30 min of 2 h" in line
    assert words(pushes) == "last push ended took written deleted from dbt invocation clock"
    assert last.split()[0] == "shelves"
    (facts,) = json.loads(stock.feature_sync("status", "--json", FEATURE_SYNC_REDIS_URL=redis_url).stdout)[
        "feature_views"
    ]
    assert (facts["rows"], facts["age_seconds"], facts["ttl_seconds"]) == (2, 1800.0, 7200.0)
    assert (facts["last_push"]["written"], facts["mark"]["status"], facts["lease"]) == (2, "done", None)
    with pytest.raises(UnknownName, match="did you mean 'shelves'"):
        store.status(["shelfs"])


def test_what_redis_knows_is_told_although_the_warehouse_cannot_be_read(stock, store, redis_url):
    pushed(store, as_of=NOW)
    if stock.target == "postgres":
        shown = stock.feature_sync("status", "--json", FEATURE_SYNC_REDIS_URL=redis_url, PGPORT="1")
        reason = "PostgreSQL at"
    else:
        lock = "import duckdb, sys; c = duckdb.connect('stock.duckdb'); print('locked', flush=True); sys.stdin.read()"
        command = [sys.executable, "-c", lock]
        with subprocess.Popen(command, cwd=stock.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout.readline() == b"locked\n"
            shown = stock.feature_sync("status", "--json", FEATURE_SYNC_REDIS_URL=redis_url)
            holder.stdin.close()
        reason = "is locked by process"
    assert shown.returncode == 0, shown.stderr
    (facts,) = json.loads(shown.stdout)["feature_views"]
    assert (facts["state"], facts["rows"], facts["mark"]["status"]) == ("pushed", None, "done")
    assert reason in facts["problem"]


def test_neither_status_nor_verify_makes_an_embedded_redis(stock):
    for command in ("status", "verify"):
        done = stock.feature_sync(command)
        assert (done.returncode, done.stdout) == (1, "")
        assert ("no embedded Redis yet" if stock.target == "duckdb" else "say where Redis is") in done.stderr
    assert not (stock.folder / ".feature_sync").exists()
