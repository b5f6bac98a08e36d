"""Fixtures: real servers, started on free ports in temporary folders, and dbt projects built once."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import nullcontext
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, Phase, settings

from feature_sync.online.redis.server import EmbeddedServer
from tests.support.emulator import BigQueryServer
from tests.support.postgres import PostgresServer
from tests.support.projects import EXAMPLE, BuiltProject, build_project, own_copy
from tests.support.quick import is_quick, starting_nothing

settings.register_profile(
    "databases", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.register_profile(  # where it counts that a case fails, not which is the smallest
    "mutants", settings.get_profile("databases"), phases=[Phase.explicit, Phase.generate], database=None
)
settings.load_profile("databases")
_FROM_OUTSIDE = ("DBT_", "FEATURE_SYNC_", "PG")
_LONGEST_FILES = ("test_point_in_time.py", "test_push_protocol.py")


def pytest_collection_modifyitems(items):
    """Mark the quick tests; begin with the files that take longest, so that no process is left alone with them."""
    for item in items:
        if is_quick(item):
            item.add_marker("quick")
    items.sort(key=lambda item: item.path.name not in _LONGEST_FILES)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Fail a quick test whose fixtures start a process."""
    with starting_nothing() if item.get_closest_marker("quick") else nullcontext():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Fail a quick test that starts a process."""
    with starting_nothing() if item.get_closest_marker("quick") else nullcontext():
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _nothing_from_outside():
    """Keep the developer's own settings out of the tests; and a shell that started them deaf to Ctrl-C."""
    for name in [name for name in os.environ if name.startswith(_FROM_OUTSIDE)]:
        del os.environ[name]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of this test run's own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def bigquery():
    """A BigQuery emulator of this test run's own."""
    with BigQueryServer() as server:
        yield server


@pytest.fixture(scope="session")
def sail():
    """Sail, a server of Spark Connect, of this test run's own."""
    from tests.support.spark import SailServer

    with SailServer() as server:
        yield server


@pytest.fixture(scope="session")
def spark():
    """Spark itself with its Spark Connect, of this test run's own; for slow tests."""
    from tests.support.spark import SparkServer

    with SparkServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server():
    """A Redis server of this test run's own; the folder is short, for the path of a unix socket is limited."""
    folder = Path(tempfile.mkdtemp(prefix="redis"))
    server = EmbeddedServer(folder)
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture
def redis_url(redis_server):
    """An empty Redis."""
    import redis

    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id):
    """A folder that all processes of this test run share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def example(shared_folder, tmp_path_factory) -> BuiltProject:
    """The repository's own project, built on DuckDB once; each process has a copy, since a push has its file alone."""
    built = BuiltProject(shared_folder / "example", target="duckdb")
    with FileLock(f"{built.folder}.lock"):
        if not (built.folder / "target" / "run_results.json").exists():
            build_project(EXAMPLE, built.folder, target="duckdb")
    return own_copy(built, tmp_path_factory.mktemp("example_on_duckdb"))


@pytest.fixture(scope="session")
def example_on_postgres(tmp_path_factory, postgres) -> BuiltProject:
    """The repository's own project, built on PostgreSQL."""
    return build_project(
        EXAMPLE, tmp_path_factory.mktemp("example_on_postgres"), target="postgres", environment=postgres.environment
    )


@pytest.fixture(scope="session")
def example_on_bigquery(tmp_path_factory, bigquery) -> BuiltProject:
    """The repository's own project, built on a BigQuery emulator."""
    return build_project(
        EXAMPLE, tmp_path_factory.mktemp("example_on_bigquery"), target="emulator", environment=bigquery.environment
    )


@pytest.fixture(scope="session")
def example_on_sail(tmp_path_factory, sail) -> BuiltProject:
    """The repository's own project, built on Sail."""
    return build_project(
        EXAMPLE, tmp_path_factory.mktemp("example_on_sail"), target="spark", environment=sail.environment
    )


@pytest.fixture(scope="session")
def example_on_spark(tmp_path_factory, spark) -> BuiltProject:
    """The repository's own project, built on Spark; for slow tests."""
    return build_project(
        EXAMPLE, tmp_path_factory.mktemp("example_on_spark"), target="spark", environment=spark.environment
    )
