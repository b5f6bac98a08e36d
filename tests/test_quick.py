"""Which tests are quick is found in their code, and one that starts a process all the same fails."""

from __future__ import annotations

import pytest

pytest_plugins = "pytester"
HOOKS = "pytest_collection_modifyitems, pytest_runtest_call, pytest_runtest_setup"
SAMPLES = """
import pytest
from tests.support.projects import BuiltProject, build_project
from tests.support.redis_server import RedisServer

SERVERS = {"redis": RedisServer}

@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request):
    return None if request.param == "duckdb" else request.getfixturevalue("postgres")

@pytest.fixture
def built(tmp_path):
    return build_project(tmp_path, tmp_path, target="duckdb")

def test_of_values(tmp_path):
    assert BuiltProject(tmp_path, "duckdb").variables["DBT_TARGET"] == "duckdb"

def test_on_a_warehouse(warehouse):
    assert warehouse is None

def test_of_a_server(postgres):
    pass

def test_of_a_server_that_it_starts():
    with RedisServer():
        pass

def test_of_a_server_by_its_name():
    SERVERS["redis"]()

def test_of_a_built_project(built):
    pass

def test_of_a_command(tmp_path):
    BuiltProject(tmp_path, "duckdb").feature_sync("list")

@pytest.mark.long
def test_that_takes_long():
    pass
"""
HIDDEN = """
import pytest

def run():
    try:
        getattr(__import__("sub" + "process"), "run")(["true"])
    except BaseException:
        pass

@pytest.fixture
def started():
    run()

def test_of_a_fixture(started):
    pass

def test_of_itself():
    run()

def test_after_them():
    pass
"""


@pytest.fixture
def sample(pytester):
    """Run quick tests of a file, as `make quick` does."""
    pytester.makeconftest(f"from tests.conftest import postgres, {HOOKS}")
    pytester.makeini("[pytest]\nmarkers =\n    quick: starts no process\n    long: takes seconds\n")

    def run(text):
        pytester.makepyfile(text)
        return pytester.inline_run("-m", "quick", "-p", "no:cacheprovider")

    return run


def test_a_test_is_quick_if_nothing_that_it_refers_to_starts_a_process(sample):
    ran, skipped, failed = sample(SAMPLES).listoutcomes()
    assert [each.nodeid.rpartition("::")[2] for each in ran] == ["test_of_values", "test_on_a_warehouse[duckdb]"]
    assert (skipped, failed) == ([], [])


def test_a_quick_test_that_starts_a_process_fails_even_if_it_catches_the_error(sample):
    ran, _, failed = sample(HIDDEN).listoutcomes()
    assert [each.nodeid.rpartition("::")[2] for each in failed] == ["test_of_a_fixture", "test_of_itself"]
    assert all("a quick test starts a process, subprocess.Popen ('true'" in str(each.longrepr) for each in failed)
    assert [each.nodeid.rpartition("::")[2] for each in ran] == ["test_after_them"]
