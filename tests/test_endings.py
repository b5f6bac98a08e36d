"""Commands that are ended from outside: one line, the exit code of the signal, and nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from random import Random

import pyarrow
import pytest
import redis

from feature_sync.warehouses.postgres.warehouse import PostgresWarehouse
from tests.support.projects import PROJECTS, build_project

ENDLESS = "select 'UA' as carrier, 'N1' as tailnum, 'JFK' as origin, timestamp '2013-01-09' as event_timestamp, "
ENDLESS += "sum(i % 7) as i from range(1000000000000) as numbers (i)"
KEYS = "swaps:amounts:"


@pytest.fixture(scope="module", autouse=True)
def _hears_signals():
    """Start commands as a terminal does, although who started the tests may have made them deaf to SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@contextmanager
def command(project, *arguments: str):
    """Start a command, in a process of its own."""
    started = [sys.executable, "-m", "feature_sync", *arguments]
    with subprocess.Popen(
        started, cwd=project.folder, env=project.variables, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(condition) -> None:
    while not condition():
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "seconds", "said"),
    [
        pytest.param(signal.SIGINT, 0.5, "Error: interrupted\n", id="by Ctrl-C"),
        pytest.param(signal.SIGINT, 3, "Error: interrupted\n", id="after DuckDB would show its progress"),
        pytest.param(signal.SIGTERM, 1.5, "Error: ended by SIGTERM\n", id="by a scheduler"),
        pytest.param(signal.SIGHUP, 2, "Error: ended by SIGHUP\n", id="by a terminal that is closed"),
    ],
)
def test_an_extract_that_is_ended_leaves_no_file(example, tmp_path, number, seconds, said):
    folder = tmp_path / "out"
    asked = ("--spine-sql", ENDLESS, "-o", str(folder / "set.parquet"))
    with command(example, "extract", "departure_delay_model", *asked) as process:
        until(lambda: folder.exists() and any(folder.iterdir()))
        time.sleep(seconds)  # by then DuckDB is counting
        process.send_signal(number)
        assert process.communicate(timeout=30) == ("", said)
        assert process.returncode == 128 + number
    assert list(folder.iterdir()) == []


def test_what_nohup_started_goes_on_after_the_terminal_is_closed(example, tmp_path):
    done = tmp_path / "done"
    program = f"""
import os, signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from feature_sync.cli import cli
import click
@cli.command()
def wait():
    os.kill(os.getpid(), signal.SIGHUP)
    open({str(done)!r}, "w").close()
cli(["wait"])
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert done.exists()


def test_one_ctrl_c_ends_a_push_that_waits_for_the_file(example, redis_url):
    file = str(example.folder / "flights.duckdb")
    holding = f"import duckdb, sys; opened = duckdb.connect({file!r}); print(1, flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{holding}; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "1\n"
        with command(example, "push", "airport_weather", "--wait", "--redis-url", redis_url) as process:
            with redis.Redis.from_url(redis_url) as client:
                until(lambda: client.info("clients")["connected_clients"] > 1)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=30)[1] == "Error: interrupted\n"
            assert process.returncode == 130
        holder.communicate("")


@pytest.fixture(scope="module")
def swaps(postgres, tmp_path_factory):
    folder = tmp_path_factory.mktemp("swaps")
    return build_project(PROJECTS / "swaps", folder, target="postgres", environment=postgres.environment)


@pytest.mark.parametrize(("options", "number"), [((), signal.SIGINT), (("--wait",), signal.SIGTERM)])
def test_a_push_that_waits_for_a_locked_table_says_so_and_gives_its_lease_back_when_it_is_ended(
    swaps, postgres, redis_url, options, number
):
    with postgres.connect() as connection, redis.Redis.from_url(redis_url) as client, connection.transaction():
        connection.execute("lock table swaps.amounts")
        with command(swaps, "push", "amounts", "--redis-url", redis_url, *options) as process:
            said = process.stderr.readline()
            assert said.startswith("PostgreSQL: waiting for a table that is locked (swaps.amounts by process ")
            assert client.exists(f"{KEYS}lease")
            process.send_signal(number)
            said = process.communicate(timeout=30)[1]
            assert said == ("Error: interrupted\n" if number == signal.SIGINT else "Error: ended by SIGTERM\n")
            assert process.returncode == 128 + number
        assert not client.exists(f"{KEYS}lease")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("push", "amounts"), id="push"),
        pytest.param(("verify", "amounts"), id="verify"),
        pytest.param(("extract", "amounts", "--spine", "asked", "-o", "set.parquet"), id="extract"),
        pytest.param(("check", "--warehouse"), id="check"),
    ],
)
def test_a_table_that_stays_locked_ends_a_command(swaps, postgres, redis_url, arguments):
    assert swaps.feature_sync("push", "amounts", "--no-gate", "--redis-url", redis_url).returncode == 0
    with postgres.connect() as connection, postgres.connect() as other:
        connection.execute("alter role postgres set lock_timeout = '300ms'")
        try:
            with other.transaction():
                other.execute("lock table swaps.amounts")
                done = swaps.feature_sync(*arguments, "--redis-url", redis_url)
        finally:
            connection.execute("alter role postgres reset lock_timeout")
    assert (done.returncode, "a table has been locked for" in done.stdout + done.stderr) == (1, True), done.stderr
    assert "swaps.amounts by process" in done.stdout + done.stderr


def interrupt(warehouse):
    """Do what Python does to a driver that has just sent a command."""
    warehouse._session.pgconn.send_query(b"select pg_sleep(600)")  # noqa: SLF001
    raise KeyboardInterrupt


def test_a_signal_between_a_command_and_its_answer_ends_the_query_and_says_nothing(postgres, caplog):
    warehouse = PostgresWarehouse.connect(postgres.target)
    ((process,),) = warehouse.fetch("select pg_backend_pid()")
    with pytest.raises(KeyboardInterrupt), warehouse, warehouse.transaction():
        interrupt(warehouse)
    assert caplog.messages == []
    with postgres.connect() as connection:
        until(lambda: connection.execute("select from pg_stat_activity where pid = %s", [process]).fetchone() is None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python drops a Ctrl-C in a finalizer
def test_a_signal_at_any_moment_ends_postgres_as_itself_and_says_nothing(postgres, caplog):
    """Also between two commands, before a transaction has begun and while it is committed."""
    chance, rows = Random(7), pyarrow.table({"a": range(20_000)})
    before = signal.signal(signal.SIGALRM, press_ctrl_c)
    interrupted = 0
    try:
        for _ in range(80):
            with closing(PostgresWarehouse.connect(postgres.target)) as warehouse:
                try:
                    signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.001, 0.08))
                    warehouse.load("spine", rows.to_reader(), {})
                    warehouse.fetch("select count(*) from spine")
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except KeyboardInterrupt:
                    interrupted += 1
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 10
    assert caplog.messages == []


def press_ctrl_c(*_):
    raise KeyboardInterrupt
