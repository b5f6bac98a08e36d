"""The example is governed with dbt's own tools: contracts, versions, groups, access, grants, freshness."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from tests.support.projects import EXAMPLE, BuiltProject, copy_project, own_copy

VIEWS = ("aircraft_history", "aircraft_profile", "airport_weather", "carrier_delays.v1", "carrier_delays.v2")


@pytest.fixture(scope="module")
def manifest(example):
    return json.loads((example.folder / "target" / "manifest.json").read_text())


@pytest.mark.parametrize("view", VIEWS)
def test_every_feature_view_has_a_contract_a_unit_test_an_owner_and_readers(manifest, view):
    node = manifest["nodes"][f"model.feature_sync.{view}"]
    assert node["contract"]["enforced"]
    assert (node["access"], node["group"]) == ("public", "operations_research")
    assert any(name.startswith("unit_test.") for name in manifest["child_map"][node["unique_id"]])


def test_what_features_are_made_from_is_private_to_their_group(manifest):
    staging = [
        node for node in manifest["nodes"].values() if "staging" in node["fqn"] and node["resource_type"] == "model"
    ]
    assert len(staging) == 5
    assert {(node["access"], node["group"]) for node in staging} == {("private", "operations_research")}


def test_two_models_consume_two_versions(manifest):
    used = {
        name.split(".")[-1]: [each for each in exposure["depends_on"]["nodes"] if ".carrier_delays." in each]
        for name, exposure in manifest["exposures"].items()
    }
    assert used == {
        "crew_standby_model": ["model.feature_sync.carrier_delays.v1"],
        "departure_delay_model": ["model.feature_sync.carrier_delays.v2"],
    }


def test_whoever_asks_for_a_deprecated_version_is_told_until_when(example, redis_url):
    assert example.feature_sync("push", "--redis-url", redis_url).stderr == ""
    done = example.feature_sync("get", "crew_standby_model", "carrier=B6", "--redis-url", redis_url)
    assert done.returncode == 0
    assert "carrier_delays.v1 is deprecated from 2030-01-01; the latest version is carrier_delays.v2" in done.stderr
    keys = ("carrier=B6", "tailnum=N193JB", "origin=JFK")
    assert example.feature_sync("get", "departure_delay_model", *keys, "--redis-url", redis_url).stderr == ""


def test_features_are_granted_to_readers_and_to_nobody_else(postgres, tmp_path):
    environment = {**postgres.environment, "FEATURE_READERS": "analysts,models"}
    project = BuiltProject(copy_project(EXAMPLE, tmp_path / "project"), "postgres", environment)
    with closing(postgres.connect()) as connection:
        connection.execute("create role analysts")
        connection.execute("create role models")
        project.dbt("--quiet", "build", "--select", "+aircraft_profile")
        rows = connection.execute(
            "select grantee::text, table_name::text from information_schema.role_table_grants"
            " where table_schema = 'features' and privilege_type = 'SELECT' and grantee in ('analysts', 'models')"
        ).fetchall()
        connection.execute("revoke all on features.aircraft_profile from analysts, models")
        connection.execute("drop role analysts")
        connection.execute("drop role models")
    assert sorted(rows) == [("analysts", "aircraft_profile"), ("models", "aircraft_profile")]


def test_the_weather_is_fresh_by_the_clock_of_the_example(example, tmp_path):
    project = own_copy(example, tmp_path / "project")
    project.dbt("--quiet", "source", "freshness")
    assert freshness(project) == "pass"


def test_features_of_stale_weather_are_held_back(example, tmp_path, redis_url):
    project = own_copy(example, tmp_path / "project")
    done = project.try_dbt("source", "freshness", "--vars", "feature_sync_as_of: 2013-02-03T00:00:00Z")
    assert done.returncode == 1
    assert freshness(project) == "error"
    push = project.feature_sync("push", "airport_weather", "aircraft_history", "--redis-url", redis_url)
    assert push.returncode == 3
    assert "the source weather_service.weather is stale" in push.stdout
    assert "aircraft_history" in push.stdout


def freshness(project):
    (result,) = json.loads((project.folder / "target" / "sources.json").read_text())["results"]
    return result["status"]
