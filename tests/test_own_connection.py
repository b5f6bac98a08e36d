"""A connection of DuckDB that a notebook has open is used instead of opening the file again, and stays as it was."""

from __future__ import annotations

import copy
import pickle

import duckdb
import pandas
import pytest

from feature_sync import FeatureStore, RequestError, WarehouseError
from tests.support.unbuilt import UnbuiltProject

ASKED = pandas.DataFrame({"id": [1, 2], "event_timestamp": pandas.Timestamp("2024-01-01", tz="UTC")})


@pytest.fixture
def project(tmp_path):
    made = UnbuiltProject(tmp_path / "project")
    made.view("amounts", "select 1 as id, 7 as amount", features=["amount"])
    return made


@pytest.fixture
def own(project):
    with duckdb.connect(str(project.folder / "unbuilt.duckdb")) as connection:
        connection.execute("set timezone = 'Asia/Tokyo'")
        yield connection


def test_without_it_the_open_file_is_an_error_that_names_the_option(project, own, redis_url):
    with project.open(redis_url) as store, pytest.raises(WarehouseError, match=r"pass that connection: .*connection="):
        store.get_training_set("amounts", ASKED).to_arrow()


def test_training_and_pushes_go_through_it(project, own, redis_url):
    with project.open(redis_url, connection=own) as store:
        for _ in range(2):
            assert store.get_training_set("amounts", ASKED).to_arrow()["amount"].to_pylist() == [7, None]
        assert [each.written for each in store.push(gate=False)] == [1]
        own.execute("insert into amounts values (2, 8)")
        assert [each.written for each in store.push(gate=False)] == [1]
        assert store.get_feature_vector("amounts", 2)["amount"] == 8
    assert own.execute("select current_setting('timezone')").fetchall() == [("Asia/Tokyo",)]
    assert own.execute("select count(*) from duckdb_temporary_files()").fetchall() == [(0,)]
    assert own.execute("from amounts").fetchall() == [(1, 7), (2, 8)]


def test_it_may_be_of_a_database_in_memory(project, redis_url):
    with duckdb.connect() as own:
        own.execute("attach ':memory:' as unbuilt; use unbuilt; create table amounts as select 2 as id, 9 as amount")
        project.settings["path"] = ":memory:"
        with project.open(redis_url, connection=own) as store:
            assert store.get_training_set("amounts", ASKED).to_arrow()["amount"].to_pylist() == [None, 9]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda used: pickle.loads(pickle.dumps(used))])
def test_a_copy_opens_the_file_itself(project, own, redis_url, copied):
    with project.open(redis_url, connection=own) as store:
        assert store.get_training_set("amounts", ASKED).to_arrow().num_rows == 2
        other = copied(store)
        own.close()
        with other if copied is not copy.copy else FeatureStore(project.folder, profiles_dir=project.folder) as opened:
            assert opened.get_training_set("amounts", ASKED).to_arrow().num_rows == 2


def test_what_is_no_open_connection_or_for_another_warehouse_is_refused(project, own, redis_url, postgres, tmp_path):
    own.close()
    for wrong in (own, 5):
        store = project.open(redis_url, connection=wrong)
        with pytest.raises(WarehouseError, match="no open connection of DuckDB"):
            store.get_training_set("amounts", ASKED).to_arrow()
    other = UnbuiltProject(tmp_path / "other", login=postgres.environment, schema="own_connection")
    with other.open(redis_url, connection=own) as store, pytest.raises(RequestError, match="connection= is for DuckDB"):
        store.target  # noqa: B018
    other.drop()
