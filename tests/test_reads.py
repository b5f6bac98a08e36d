"""Reads of a PostgreSQL whose tables are swapped, truncated and locked meanwhile, as dbt and people do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from feature_sync import FeatureStore
from feature_sync.errors import WarehouseError
from tests.support.projects import PROJECTS, build_project

SECONDS = float(os.environ.get("PROOF_SECONDS", "45"))
FEATURES = {"amounts": "amount", "priced": "price"}
CUSTOMERS = [{"customer": each} for each in range(1, 501)]
SWAP = """
create table swaps.{name}__dbt_tmp as select * from swaps.{name};
alter table swaps.{name} rename to {name}__dbt_backup;
alter table swaps.{name}__dbt_tmp rename to {name};
"""
TRUNCATE = """
create temp table kept as select * from swaps.{name};
truncate swaps.{name};
insert into swaps.{name} select * from kept;
drop table kept;
"""
NEW_VIEW = """
create view swaps.priced__dbt_tmp as
    select amounts.customer, amounts.at, prices.price
    from swaps.amounts left join swaps.prices on amounts.customer = prices.customer;
alter view swaps.priced rename to priced__dbt_backup;
alter view swaps.priced__dbt_tmp rename to priced;
drop view swaps.priced__dbt_backup cascade;
"""
AS_BUILT = """
drop table if exists swaps.amounts__dbt_backup, swaps.asked__dbt_backup, swaps.prices__dbt_backup cascade;
create or replace view swaps.priced as
    select amounts.customer, amounts.at, prices.price
    from swaps.amounts left join swaps.prices on amounts.customer = prices.customer;
"""


@pytest.fixture(scope="module")
def built(postgres, tmp_path_factory):
    folder = tmp_path_factory.mktemp("swaps")
    return build_project(PROJECTS / "swaps", folder, target="postgres", environment=postgres.environment)


@pytest.fixture
def push(built, redis_url):
    """Push one view by the command line; returns the exit code and what became of the view."""

    def pushed(*options: str) -> tuple[int, str | None]:
        done = built.feature_sync("push", "amounts", "--redis-url", redis_url, "--json", *options)
        (view,) = json.loads(done.stdout)["feature_views"]
        return done.returncode, view["held_back"]

    return pushed


@contextmanager
def building(built, postgres, *options: str) -> Iterator[subprocess.Popen]:
    """Let `dbt build` wait in a test, when its models are there, until the end."""
    waiting = "select count(*) from pg_locks where not granted and locktype = 'advisory'"
    with postgres.connect() as connection:
        connection.execute("select pg_advisory_lock(4712)")
        command = [str(Path(sys.executable).with_name("dbt")), "--quiet", "build", *options]
        process = subprocess.Popen(command, cwd=built.folder, env=built.variables)
        while not connection.execute(waiting).fetchone()[0]:
            assert process.poll() is None
            time.sleep(0.05)
        yield process
    assert process.wait() in {0, -signal.SIGKILL}


@pytest.fixture
def open_store(built, redis_url, monkeypatch) -> Iterator[Callable[..., FeatureStore]]:
    for name, value in built.environment.items():
        monkeypatch.setenv(name, value)
    opened = []

    def opener(**options) -> FeatureStore:
        store = FeatureStore.open(built.folder, profiles_dir=str(built.folder), redis_url=redis_url, **options)
        opened.append(store)
        return store

    yield opener
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store) -> FeatureStore:
    return open_store()


@contextmanager
def changing(postgres, script: str) -> Iterator[Callable[[], None]]:
    """Run a script in a transaction, and lend what commits it once somebody waits for its locks."""
    waiting = "select count(*) from pg_locks where not granted and locktype = 'relation'"
    with postgres.connect() as watching, psycopg.connect(postgres.uri) as connection:
        connection.execute(script)

        def commit() -> None:
            while not watching.execute(waiting).fetchone()[0]:
                time.sleep(0.02)
            connection.commit()

        yield commit
    with postgres.connect() as connection:
        connection.execute(AS_BUILT)


def during(work: Callable, commit: Callable[[], None]):
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(work)
        commit()
        return answer.result()


def changes(*names: str) -> list:
    scripts = [(f"{name} is swapped", SWAP.format(name=name)) for name in names]
    scripts += [(f"{name} is truncated", TRUNCATE.format(name=name)) for name in names]
    return [pytest.param(script, id=words) for words, script in scripts]


@pytest.mark.parametrize("script", changes("amounts", "asked"))
def test_a_training_set_holds_no_null_because_a_table_was_swapped_while_it_was_read(store, postgres, script, tmp_path):
    with changing(postgres, script) as commit:
        path = tmp_path / "offers.parquet"
        written = during(lambda: store.get_training_set("amounts", "asked").write(path), commit)
    (view,) = written.views
    assert (written.rows, view.null_shares) == (500, {"amount": 0.0})


LATE_ROWS = """
create or replace function swaps.late_rows() returns setof swaps.amounts language plpgsql as $$
begin
    perform pg_advisory_xact_lock(4711);
    return query select * from swaps.amounts;
end $$
"""


def test_a_spine_query_loses_no_row_to_a_swap_behind_a_function(store, postgres):
    """No plan tells what a function reads: only when it has read can that be proven."""
    query = "select customer, at as event_timestamp from swaps.late_rows()"
    waiting = "select count(*) from pg_locks where not granted and locktype = 'advisory'"
    with postgres.connect() as connection, ThreadPoolExecutor(1) as pool:
        connection.execute(LATE_ROWS)
        try:
            connection.execute("select pg_advisory_lock(4711)")
            answer = pool.submit(lambda: store.get_training_set("amounts", spine_sql=query).to_arrow())
            while not connection.execute(waiting).fetchone()[0]:
                time.sleep(0.02)
            connection.execute(SWAP.format(name="amounts"))
            connection.execute("select pg_advisory_unlock(4711)")
            table = answer.result()
        finally:
            connection.execute("drop function swaps.late_rows")
            connection.execute(AS_BUILT)
    assert (table.num_rows, table.column("amount").null_count) == (500, 0)


@pytest.mark.parametrize(
    "script", [*changes("prices")[1:], pytest.param(SWAP.format(name="prices") + NEW_VIEW, id="both are rebuilt")]
)
def test_a_view_is_pushed_as_it_was_or_as_it_is_but_never_with_a_table_behind_it_empty(store, postgres, script):
    with changing(postgres, script) as commit:
        (pushed,) = during(lambda: list(store.push(["priced"], full_refresh=True)), commit)
    assert (pushed.held_back, pushed.written) == (None, 500)
    assert store.get_feature_vector("priced", {"customer": 3}).to_dict() == {"price": 21}
    with changing(postgres, script) as commit:
        (verified,) = during(lambda: list(store.verify(["priced"])), commit)
    assert (verified.is_equal, verified.matching) == (True, 500)
    with changing(postgres, script) as commit:
        table = during(lambda: store.get_training_set("priced", "asked").to_arrow(), commit)
    assert table.column("price").null_count == 0


@pytest.mark.parametrize("script", changes("amounts"))
def test_no_entity_is_removed_because_its_table_was_swapped(store, postgres, script):
    assert [each.written for each in store.push(["amounts"], full_refresh=True)] == [500]
    for options in ({"allow_removals": True}, {"allow_removals": True, "dry_run": True}):
        with changing(postgres, script) as commit:
            (pushed,) = during(lambda options=options: list(store.push(["amounts"], **options)), commit)
        assert (pushed.held_back, pushed.deleted) == (None, 0)


def test_what_dbt_is_still_testing_is_held_back(built, postgres, push):
    with building(built, postgres):
        code, reason = push()
        assert (code, "it is still building or testing" in reason, "dbt build -s amounts" in reason) == (3, True, True)
        assert push("--select", "amounts")[0] == 3  # dbt is asked for the selection, and leaves another trace of a plan
        assert push("--no-gate") == (0, None)
    assert push() == (0, None)


def rebuilding(built, until: threading.Event) -> int:
    """Let dbt build again and again; returns how often it did."""
    times = 0
    while not until.is_set():
        built.dbt("--quiet", "run")
        times += 1
    return times


@pytest.mark.slow
def test_whatever_is_read_while_dbt_builds_again_and_again_is_right_or_an_error(built, open_store):
    """`PROOF_SECONDS` is how long. The gate is off, so that pushes meet builds."""
    store, over, done, errors = open_store(), threading.Event(), Counter(), []
    assert [each.written for each in store.push([*FEATURES], full_refresh=True, gate=False)] == [500, 500]
    wanted = answers(store)
    assert all(None not in values for values in wanted.values())
    with ThreadPoolExecutor(1) as pool:
        builds = pool.submit(rebuilding, built, over)
        try:
            ends = time.monotonic() + SECONDS
            while time.monotonic() < ends:
                for what in (read, push_all, verify_all):
                    try:
                        what(store, wanted)
                        done[what.__name__] += 1
                    except WarehouseError as error:
                        errors.append(str(error))
                    assert answers(store) == wanted
        finally:
            over.set()
        done["builds"] = builds.result()
    assert not [error for error in errors if "\n" in error]
    assert min(done[each] for each in ("read", "push_all", "verify_all", "builds")) > 0


def answers(store) -> dict[str, list[int | None]]:
    """All that Redis holds, by feature."""
    return {
        feature: [vector.to_dict()[feature] for vector in store.get_online_features(view, CUSTOMERS)]
        for view, feature in FEATURES.items()
    }


def read(store, wanted) -> None:
    table = store.get_training_set("offers", "asked").to_arrow()
    assert table.num_rows >= len(CUSTOMERS)
    for feature, values in wanted.items():
        shown = zip(table["customer"].to_pylist(), table[feature].to_pylist(), strict=True)
        assert all(value == values[customer - 1] for customer, value in shown)


def push_all(store, wanted) -> None:
    for pushed in store.push([*FEATURES], full_refresh=True, allow_removals=True, gate=False):
        assert (pushed.held_back, pushed.written, pushed.deleted) == (None, 500, 0)


def verify_all(store, wanted) -> None:
    for verified in store.verify([*FEATURES]):
        assert verified.is_equal


@pytest.mark.slow
def test_a_build_that_was_killed_holds_back_until_there_is_another(built, postgres, push):
    with building(built, postgres, "-s", "amounts") as process:
        process.kill()
    assert push()[0] == 3
    built.dbt("--quiet", "parse")
    assert push()[0] == 3
    built.dbt("--quiet", "build", "-s", "amounts")
    assert push() == (0, None)
    built.dbt("--quiet", "parse")
    assert push() == (0, None)


@pytest.fixture
def role(built, postgres):
    """Make a role without any right, and run commands as it; it is gone afterwards, with all that it owns."""
    with postgres.connect() as connection:
        connection.execute("drop schema if exists swaps_feature_sync cascade")
        connection.execute("create role limited login")

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return built.feature_sync(*arguments, SWAPS_USER="limited")

        yield run
        connection.execute("drop owned by limited cascade")
        connection.execute("drop role limited")


def grants_in(said: str) -> list[str]:
    (line,) = [line for line in said.splitlines() if "rights are missing" in line]
    return [each.partition(" (or ")[0] for each in line.partition("have their owner run: ")[2].split("; ")]


@pytest.mark.parametrize("has_schema", [True, False])
def test_all_grants_that_a_push_lacks_are_named_at_once_and_are_all_that_it_needs(
    role, postgres, redis_url, has_schema
):
    pushing = ("push", "--no-gate", "--redis-url", redis_url)
    with postgres.connect() as connection:
        if has_schema:  # the administrator has made one, and gives the right to make others to nobody
            connection.execute("create schema swaps_feature_sync authorization limited")
        refused = role(*pushing)
        wanted = [f'grant select on "swaps"."{name}" to "limited"' for name in ("amounts", "priced")]
        wanted += ['grant usage on schema "swaps" to "limited"']
        wanted += [] if has_schema else ['create schema "swaps_feature_sync" authorization "limited"']
        assert (refused.returncode, sorted(grants_in(refused.stderr))) == (1, sorted(wanted))
        for grant in grants_in(refused.stderr):
            connection.execute(grant)
    for _ in range(2):
        pushed = role(*pushing)
        assert pushed.returncode == 0, pushed.stderr
    verified = role("verify", "--redis-url", redis_url)
    assert verified.returncode == 0, verified.stderr


def test_who_only_reads_needs_no_right_to_write(role, built, postgres, redis_url, tmp_path):
    pushed = built.feature_sync("push", "amounts", "--no-gate", "--redis-url", redis_url)
    assert pushed.returncode == 0, pushed.stderr
    reading = [
        ("extract", "amounts", "--spine", "asked", "-o", str(tmp_path / "set.parquet")),
        ("verify", "amounts", "--redis-url", redis_url),
        ("get", "amounts", "customer=3", "--redis-url", redis_url),
        ("push", "amounts", "--dry-run", "--take-over", "--redis-url", redis_url),
    ]
    with postgres.connect() as connection:
        refused = role(*reading[0])
        assert sorted(grants_in(refused.stderr)) == [
            'grant select on "swaps"."amounts" to "limited"',
            'grant select on "swaps"."asked" to "limited"',
            'grant usage on schema "swaps" to "limited"',
        ]
        for grant in grants_in(refused.stderr):
            connection.execute(grant)
        told = role("status", "amounts", "--json", "--redis-url", redis_url)
        assert (
            "permission denied for schema swaps_feature_sync; have their owner run: grant usage on schema"
            in told.stdout
        )
        connection.execute("grant usage on schema swaps_feature_sync to limited")
        told = role("status", "amounts", "--json", "--redis-url", redis_url)
        assert "permission denied for table state; have their owner run: grant select on" in told.stdout
        connection.execute("grant select on all tables in schema swaps_feature_sync to limited")
    for command in [*reading, ("status", "amounts", "--json", "--redis-url", redis_url)]:
        done = role(*command)
        assert done.returncode == 0, (command, done.stderr)
    assert json.loads(done.stdout)["feature_views"][0]["rows"] == 500
