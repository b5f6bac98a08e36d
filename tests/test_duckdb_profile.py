"""Profiles of dbt-duckdb with settings, attached databases, extensions and secrets: what dbt builds, we read."""

from __future__ import annotations

import json
import shutil

import duckdb
import pytest
import yaml

from feature_sync.definitions import Target
from feature_sync.errors import ProfileError, WarehouseError
from feature_sync.warehouses.duckdb import DuckDBWarehouse
from tests.support.projects import PROJECTS, build_project, copy_project

SECRET = "s3cr3t'; drop"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop whose features dbt builds in an attached database, named in other letters than its columns are."""
    folder = copy_project(PROJECTS / "plain", tmp_path_factory.mktemp("shop"))
    models = yaml.safe_load((PROJECTS / "plain" / "features.yml").read_text())
    config = models["models"][0]["config"]
    config |= {"database": "warehouse", "event_time": "Ordered_At"}
    config["meta"]["feature_view"] |= {"entities": {"customer": "CUSTOMER_ID"}, "features": ["Order_Count"]}
    (folder / "models" / "models.yml").write_text(yaml.safe_dump(models))
    duckdb.connect(str(folder / "other file.duckdb")).close()
    profile = yaml.safe_load((folder / "profiles.yml").read_text())
    profile["shop"]["outputs"]["duckdb"] |= {
        "attach": [{"path": "other file.duckdb", "alias": "warehouse"}],
        "settings": {"TimeZone": "America/New_York", "preserve_insertion_order": False},
        "config_options": {"threads": 2},
    }
    (folder / "profiles.yml").write_text(yaml.safe_dump(profile))
    return build_project(folder, folder, target="duckdb")


def test_a_model_in_an_attached_database_is_pushed_under_the_profile_s_settings(shop, redis_url):
    done = shop.feature_sync("push", "--redis-url", redis_url, "--as-of", "2024-04-01")
    assert done.returncode == 0, done.stderr
    done = shop.feature_sync("get", "customer_orders", "CUSTOMER_ID=7", "--redis-url", redis_url, "--json")
    assert done.returncode == 0, done.stderr
    (feature,) = json.loads(done.stdout)["features"]
    assert (feature["name"], feature["value"]) == ("Order_Count", 2)
    assert feature["event_timestamp"] == "2024-03-04T10:30:00Z"


def test_a_model_in_an_attached_database_answers_a_spine(shop):
    spine = "select 7 as \"CUSTOMER_ID\", timestamp '2024-03-02' as event_timestamp"
    done = shop.feature_sync("extract", "customer_orders", "--spine-sql", spine, "-o", "set.csv")
    assert done.returncode == 0, done.stderr
    assert (shop.folder / "set.csv").read_text().splitlines()[1].endswith(",1")


def connect(folder, **settings):
    target = Target(
        profile="shop",
        name="duckdb",
        adapter="duckdb",
        settings={"path": "shop.duckdb", **settings},
        project_dir=str(folder),
    )
    return DuckDBWarehouse.connect(target)


@pytest.fixture
def folder(tmp_path):
    for name in ("shop", "other"):
        with duckdb.connect(str(tmp_path / f"{name}.duckdb")) as connection:
            connection.execute(f"create table {name}_rows as select 1 as id")
    return tmp_path


def test_an_attached_database_is_only_read_and_named_by_its_alias_or_its_file(folder):
    with connect(folder, attach=[{"path": "other.duckdb"}]) as warehouse:
        assert warehouse.fetch("select * from other.other_rows") == [(1,)]
        assert warehouse.tables("main") == {"shop_rows"}  # not those of the same schema elsewhere
        with pytest.raises(WarehouseError, match="read-only"):
            warehouse.execute("create table other.main.more as select 1")
    with (
        duckdb.connect(str(folder / "other.duckdb"), read_only=True),
        connect(folder, attach=[{"path": str(folder / "other.duckdb"), "alias": "my db", "type": "duckdb"}]) as again,
    ):
        assert again.fetch('select * from "my db".other_rows') == [(1,)]


def test_settings_are_set_as_dbt_sets_them_and_what_answers_depend_on_is_pinned_after_them(folder):
    settings = {"TimeZone": "America/New_York", "threads": 1, "search_path": "it's, main"}
    with pytest.raises(ProfileError, match=r"the profile's settings.search_path: "):
        connect(folder, settings=settings)
    del settings["search_path"]
    with connect(folder, settings=settings) as warehouse:
        assert warehouse.fetch("select current_setting('timezone'), current_setting('threads')") == [("UTC", 1)]


def test_a_profile_may_lock_the_configuration_as_long_as_it_leaves_alone_what_answers_depend_on(folder):
    with connect(folder, settings={"lock_configuration": True}) as warehouse:
        assert warehouse.fetch("select current_setting('enable_progress_bar')") == [(False,)]
    with pytest.raises(WarehouseError, match="configuration"):
        connect(folder, settings={"TimeZone": "Asia/Kolkata", "lock_configuration": True})


@pytest.mark.parametrize("extension", ["json", {"name": "json", "repo": "core"}], ids=str)
def test_an_extension_that_is_there_is_loaded_without_a_network(folder, extension):
    """dbt installs it first, which we leave to where it is missing: a container may have no way out."""
    loaded = "select loaded from duckdb_extensions() where extension_name = 'json'"
    with connect(folder, extensions=[extension]) as warehouse:
        assert warehouse.fetch(loaded) == [(True,)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"attach": [{"path": "gone.duckdb"}]}, r"profile's attach\[0\] \(gone.duckdb\): ", id="no file"),
        pytest.param({"settings": {"no_such": 1}}, r"the profile's settings.no_such: ", id="an unknown setting"),
        pytest.param({"settings": {"a; b": 1}}, "the profile's settings holds what is not a name", id="no name"),
        pytest.param({"secrets": [{"type": "s3", "nonsense": SECRET}]}, r"the profile's secrets\[0\]: ", id="a secret"),
        pytest.param({"settings": {"threads": SECRET}}, r"the profile's settings.threads: ", id="a setting's value"),
        pytest.param({"config_options": {"threads": SECRET}}, r"convert string '\.\.\.' to", id="an option's value"),
        pytest.param({"attach": [{"path": f"/no.duckdb?password={SECRET}"}]}, r"profile's attach\[0\]: ", id="a query"),
        pytest.param(
            {"attach": [{"path": f"postgres:password={SECRET}", "alias": "z"}]}, r"attach\[0\] \(z\): ", id="a login"
        ),
        pytest.param({"path": f"md:db?motherduck_token={SECRET}"}, "path names no file", id="a service"),
    ],
)
def test_what_duckdb_refuses_of_a_profile_is_named_by_its_key(folder, settings, message):
    error = WarehouseError if "config_options" in settings else ProfileError
    with pytest.raises(error, match=message) as refused:
        connect(folder, **settings)
    assert SECRET not in str(refused.value)
    shutil.copy(folder / "shop.duckdb", folder / "copy.duckdb")
    duckdb.connect(str(folder / "shop.duckdb")).close()  # the file is not left open
