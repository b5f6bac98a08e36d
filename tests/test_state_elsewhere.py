"""Pushes from engines that are only read, whose states are kept in another place; test_state_protocol has the rest."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import psycopg
import pyarrow
import pytest
import redis

from feature_sync import FeatureStore
from feature_sync.errors import FeatureSyncError, LeaseLost, ProfileError, RequestError, WarehouseError
from tests.support.clusters import until
from tests.support.spark import SparkProject
from tests.support.unbuilt import UnbuiltProject

STATE = {"type": "duckdb", "path": "state.duckdb"}
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
VIEW = {"feature_view": {"entities": {"shop": "id"}, "features": ["amount", "tags", "place", "payload", "day", "ok"]}}


def pushed(store, **options):
    """Push the one view; afterwards `verify`, which reads the rows themselves, finds every value the same."""
    (done,) = store.push(gate=False, **options)
    assert (done.held_back, done.failed) == (None, None)
    (verified,) = store.verify()
    assert (verified.is_equal, verified.problems) == (True, ())
    return done.written, done.deleted


@pytest.fixture
def on_sail(sail, tmp_path, redis_url):
    """A view on Spark, of which a function changes the rows; nothing can be written there."""
    made = SparkProject(tmp_path, sail.url, state=STATE)

    @contextmanager
    def opened(rows: list[tuple]):
        ids, amounts = zip(*rows, strict=True)
        columns = {
            "id": pyarrow.array(ids),
            "at": pyarrow.array([NOON] * len(ids), pyarrow.timestamp("us", tz="UTC")),
            "amount": pyarrow.array([Decimal(each) for each in amounts], pyarrow.decimal128(20, 3)),
            "tags": pyarrow.array([["x", None]] * len(ids)),
            "place": pyarrow.array([{"Lat lon": 0.1, "n": 1}] * len(ids)),
            "payload": pyarrow.array([b"\x00\xff"] * len(ids)),
            "day": pyarrow.array([date(1960, 2, 29)] * len(ids)),
            "ok": pyarrow.array([True] * len(ids)),
        }
        made.model("spend", pyarrow.table(columns), event_time="at", meta=VIEW)
        with closing(made.open(redis_url=redis_url)) as store:
            yield store

    return opened


def test_a_push_from_spark_sends_what_changed_and_every_type_arrives(on_sail, tmp_path):
    rows = [("a", "1.250"), ("b", "2.000"), ("c", "3.000"), ("d", "4.000")]
    with on_sail(rows) as store:
        (previewed,) = store.push(gate=False, dry_run=True)
        assert (previewed.written, previewed.full) == (4, "first push")
        assert pushed(store) == (4, 0)
        assert pushed(store) == (0, 0)
        vector = store.get_feature_vector("spend", {"id": "a"}).to_dict()
        assert vector["amount"] == Decimal("1.250")
        assert (vector["tags"], vector["place"]) == (["x", None], {"Lat lon": 0.1, "n": 1})
        assert (vector["payload"], vector["day"], vector["ok"]) == (b"\x00\xff", date(1960, 2, 29), True)
    with on_sail([*rows[:2], ("c", "3.001"), ("e", "5.000")]) as store:
        (previewed,) = store.push(gate=False, dry_run=True)
        assert (previewed.written, previewed.deleted, previewed.full) == (2, 1, None)
        assert pushed(store) == (2, 1)
        (status,) = store.status()
        assert (status.state, status.rows, status.newest) == ("pushed", 4, NOON)
        places = {each.place.name for each in store.forget("shop", "e").traces}
        assert {"REDIS", "MODEL", "PUSH_TABLE"} <= places
    (tmp_path / "state.duckdb").unlink()
    with on_sail(rows) as store:
        with pytest.raises(FeatureSyncError, match="take_over=True"):
            store.push(gate=False)
        assert pushed(store, take_over=True) == (4, 1)


def test_a_view_that_is_gone_is_removed_with_its_state(on_sail, tmp_path, redis_url):
    with on_sail([("a", "1.000")]) as store:
        assert pushed(store) == (1, 0)
    manifest = tmp_path / "target" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"name": "spend"', '"name": "spent"'))
    options = {"profiles_dir": str(tmp_path), "redis_url": redis_url}
    with closing(FeatureStore.open(tmp_path, **options)) as store:
        renamed, pruned = store.push(gate=False, prune=True)
    assert (renamed.feature_view, renamed.written) == ("spent", 1)
    assert (pruned.feature_view, pruned.is_pruned, pruned.deleted) == ("spend", True, 1)
    with closing(duckdb.connect(str(tmp_path / "state.duckdb"))) as state:
        tables = state.execute("select table_name from information_schema.tables").fetchall()
        assert not [name for (name,) in tables if name.startswith("spend")]


@pytest.fixture
def reader(postgres):
    """A role of PostgreSQL that may only read one schema."""
    login = postgres.environment
    with psycopg.connect(
        host=login["PGHOST"], port=login["PGPORT"], user=login["PGUSER"], password=login["PGPASSWORD"],
        dbname=login["PGDATABASE"], autocommit=True,
    ) as connection:  # fmt: skip
        connection.execute("create role only_reads login password 'only reads'")
        connection.execute("create schema read_only")
        connection.execute("grant usage on schema read_only to only_reads")
        connection.execute("alter default privileges in schema read_only grant select on tables to only_reads")
        yield {**login, "PGUSER": "only_reads", "PGPASSWORD": "only reads"}
        connection.execute("drop schema read_only cascade")
        connection.execute("drop owned by only_reads")
        connection.execute("drop role only_reads")


ROWS = """
select 'a' as id, timestamp '2024-01-01' as at, cast(1.5 as numeric(10, 2)) as amount, array[1.5::real, 'nan'] as point
"""


def test_a_role_that_may_only_read_is_enough(postgres, reader, tmp_path, redis_url):
    project = UnbuiltProject(tmp_path, login=postgres.environment, schema="read_only")
    project.view("spend", ROWS, event_time="at", entity="shop", features=["amount", "point"])
    login = {"user": reader["PGUSER"], "password": reader["PGPASSWORD"]}
    project.write_profile(**{**project.settings, **login, "state": STATE})
    with closing(project.open(redis_url)) as store:
        assert pushed(store) == (1, 0)
        project.run(
            "update {schema}.spend set amount = 2",
            "insert into {schema}.spend select 'b', at, 3, point from {schema}.spend",
        )
        assert pushed(store) == (2, 0)
        assert pushed(store) == (0, 0)
        grants = store.grants(pusher="p", reader="r", builder="b")
    assert "create schema" not in grants
    assert 'grant select on "read_only"."spend" to "p"' in grants


def test_states_of_a_file_that_may_only_be_read_are_kept_in_postgres(postgres, tmp_path, redis_url):
    project = UnbuiltProject(tmp_path, state=of_postgres(postgres, "kept"))
    project.view(
        "spend", "select 'a' as id, timestamp '2024-01-01' as at, 2.5 as amount", event_time="at", features=["amount"]
    )
    (tmp_path / "unbuilt.duckdb").chmod(0o444)
    with closing(project.open(redis_url)) as store:
        assert store.project.state_schema == "kept_feature_sync"
        assert [pushed(store), pushed(store)] == [(1, 0), (0, 0)]


def of_postgres(postgres, schema: str) -> dict:
    login = postgres.environment
    return {
        "type": "postgres", "host": login["PGHOST"], "port": int(login["PGPORT"]), "user": login["PGUSER"],
        "password": login["PGPASSWORD"], "dbname": login["PGDATABASE"], "schema": schema,
    }  # fmt: skip


def test_what_postgres_cannot_hold_is_named_and_nothing_is_sent(postgres, tmp_path, redis_url):
    project = UnbuiltProject(tmp_path, state=of_postgres(postgres, "kept_for_arrays"))
    project.view("spend", "select 'a' as id, [1.5] as point", features=["point"])
    with closing(project.open(redis_url)) as store:
        with pytest.raises(RequestError, match=r"spend cannot keep its state at postgres .*'point' is list.*in DuckDB"):
            store.push(gate=False)
        assert not store.connections.online().view("spend").schemas()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            "select 'a' as id, 1 as ctid",
            r"spend cannot keep its state at postgres .*'ctid'.*every table; .*DuckDB",
        ),
        (
            "select 'a' as id, chr(0) || 'x' as note",
            r"spend cannot be copied to postgres .*, where its state is: .*0x00",
        ),
        (
            "select 'a' as id, timestamp '2024-01-01' as at, timestamp '40000-01-01' as ends, 1 as amount",
            r"spend cannot keep its state at postgres .*moment more than 30,000 years from 1970.*in DuckDB",
        ),
    ],
    ids=["a system column", "a zero byte", "an end that CSV cannot hold"],
)
def test_what_postgres_refuses_while_rows_are_loaded_is_said_of_the_place(postgres, tmp_path, redis_url, query, words):
    project = UnbuiltProject(tmp_path, state=of_postgres(postgres, "kept_for_values"))
    has_ends = "ends" in query
    settings = {"event_time": "at", "valid_from": "at", "valid_to": "ends"} if has_ends else {}
    project.view("spend", query, features=[query.split()[-1]], **settings)
    with closing(project.open(redis_url)) as store, pytest.raises(FeatureSyncError, match=words):
        store.push(gate=False)


def test_a_full_folder_for_temporary_files_fails_the_push_of_its_view_alone(postgres, tmp_path, redis_url):
    project = UnbuiltProject(tmp_path, state=of_postgres(postgres, "kept_for_many"))
    project.view("many", "select i as id, repeat('x', 50) as amount from range(20_000) t(i)", features=["amount"])
    project.view("spend", "select 1 as id, 1 as amount", features=["amount"])
    project.open(redis_url).close()  # writes the manifest
    code = LIMITED + "from feature_sync.cli import main; main()"
    command = [sys.executable, "-c", code, "push", "--no-gate", "--redis-url", redis_url]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Error: many cannot be copied to postgres" in done.stderr
    assert "is: temporary files cannot be written: File too large; name a folder with room in TMPDIR" in done.stderr
    assert "spend" in done.stdout


LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)); "


@pytest.mark.parametrize("place", ["duckdb", "postgres"])
def test_a_push_that_lost_its_lease_while_it_copied_changes_no_state(postgres, tmp_path, redis_url, place):
    """The one that has taken over commits, and the next one finds nothing to do."""
    project = UnbuiltProject(tmp_path, login=postgres.environment, schema=f"slow_{place}", state=STATE)
    if place == "postgres":
        project.run("create database kept")
        project.write_profile(**{**project.settings, "state": {**of_postgres(postgres, "kept"), "dbname": "kept"}})
    project.run("create table {schema}.pauses (seconds float)", "create table {schema}.rows (id text, amount int)")
    project.run("insert into {schema}.rows select 'k' || i, i from generate_series(0, 9) i")
    paused = "(select pg_sleep(coalesce(max(seconds), 0)) from {schema}.pauses) as paused"
    project.run("create view {schema}.spend as select id, amount from {schema}.rows, " + paused)
    block = {"entities": {"thing": "id"}, "timeless": True, "features": ["amount"]}
    project.describe("spend", meta={"feature_view": block}, materialized="view")
    with (
        closing(project.open(redis_url)) as slow,
        closing(project.open(redis_url)) as quick,
        ThreadPoolExecutor(1) as pool,
    ):
        assert pushed(slow) == (10, 0)
        project.run("update {schema}.rows set amount = 100 where id in ('k1', 'k2')")
        project.run("insert into {schema}.pauses values (3)")
        stalled = pool.submit(slow.push, gate=False)
        until(lambda: project.fetch(ASLEEP)[0][0], "the push did not read")
        project.run("delete from {schema}.pauses")
        with closing(redis.Redis.from_url(redis_url)) as client:
            assert client.delete("unbuilt:spend:lease")
        assert pushed(quick) == (2, 0)
        with pytest.raises(LeaseLost):
            stalled.result()
        (status,) = quick.status()
        assert (status.state, status.unfinished) == ("pushed", ())
        assert pushed(quick) == (0, 0)
    project.drop()
    if place == "postgres":
        project.run("drop database kept")


ASLEEP = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
NO_SERVER = {"type": "postgres", "host": "127.0.0.1", "port": 1, "user": "u", "password": "p", "dbname": "d"}


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ("state.duckdb", ProfileError, r"target unbuilt: state must be a mapping such as \{type: duckdb"),
        ({"type": "spark"}, ProfileError, r"state\.type is 'spark', not duckdb or postgres"),
        ({"type": "postgre"}, ProfileError, r"state\.type is 'postgre'.*did you mean 'postgres'"),
        ({"type": "duckdb"}, ProfileError, r"target unbuilt\.state: path is :memory:, which is gone"),
        ({"type": "duckdb", "path": "unbuilt.duckdb"}, ProfileError, "state is the warehouse of the target itself"),
        ({"type": "duckdb", "path": "no/folder/state.duckdb"}, WarehouseError, r"no/folder/state\.duckdb"),
        (NO_SERVER, WarehouseError, "127.0.0.1:1"),
    ],
    ids=["text", "an engine without transactions", "mistyped", "in memory", "the same", "no folder", "no server"],
)  # fmt: skip
def test_a_place_that_cannot_keep_states_is_said_before_redis_is_touched(tmp_path, redis_url, state, error, message):
    project = UnbuiltProject(tmp_path, state=state)
    project.view("spend", "select 'a' as id, 1 as amount", features=["amount"])
    with closing(project.open(redis_url)) as store:
        with pytest.raises(error, match=message):
            store.push(gate=False)
        assert not store.connections.online().references()


def test_a_file_of_states_that_another_process_writes_is_said(tmp_path, redis_url):
    project = UnbuiltProject(tmp_path, state=STATE)
    project.view("spend", "select 'a' as id, 1 as amount", features=["amount"])
    duckdb.connect(str(tmp_path / "state.duckdb")).close()
    hold = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(tmp_path / "state.duckdb")]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder,
        closing(project.open(redis_url)) as store,
    ):
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(WarehouseError, match=r"state\.duckdb"):
            store.push(gate=False)
        holder.stdin.close()
        holder.wait()
        assert pushed(store) == (1, 0)


def test_what_no_reader_could_read_is_refused_on_spark_as_elsewhere(sail, tmp_path, redis_url):
    made = SparkProject(tmp_path, sail.url, state=STATE)
    table = pyarrow.table({"id": ["a"], "day": pyarrow.array([5_000_000], pyarrow.int32()).cast(pyarrow.date32())})
    made.model(
        "spend", table, meta={"feature_view": {"entities": {"shop": "id"}, "features": ["day"], "timeless": True}}
    )
    with closing(made.open(redis_url=redis_url)) as store:
        with pytest.raises(
            FeatureSyncError, match=r"'?day'? ?holds a time outside the years 1 to 9999|day.*years 1 to 9999"
        ):
            store.push(gate=False)
        assert not store.connections.online().view("spend").schemas()


def test_a_file_of_states_is_made_by_a_push_for_its_owner_alone_and_by_nobody_who_only_reads(tmp_path, redis_url):
    project = UnbuiltProject(tmp_path, state=STATE)
    project.view("spend", "select 'a' as id, 1 as amount", features=["amount"])
    file = tmp_path / "state.duckdb"
    with closing(project.open(redis_url)) as store:
        (status,) = store.status()
        assert "state.duckdb does not exist" in status.problem
        assert not file.exists()
        assert pushed(store) == (1, 0)
        assert [each.name for each in tmp_path.glob("*state*")] == ["state.duckdb"]
        assert file.stat().st_mode & 0o777 == 0o600


def test_names_that_differ_only_in_case_are_refused_since_duckdb_folds_them(postgres, tmp_path, redis_url):
    project = UnbuiltProject(tmp_path, login=postgres.environment, schema="folded", state=STATE)
    project.view("spend", 'select 1 as id, 2 as "Amount", 3 as amount', features=["Amount", "amount"])
    with closing(project.open(redis_url)) as store, pytest.raises(RequestError, match="differ only in case"):
        store.push(gate=False)
    project.drop()
