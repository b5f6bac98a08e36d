"""OpenLineage events of pushes and extracts: what they hold, and that nobody waits for them or fails by them."""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime
from uuid import UUID

import pytest
import yaml
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState

from feature_sync.definitions import Target
from feature_sync.monitor import datasets
from tests.support.projects import PROJECTS, BuiltProject, copy_project
from tests.test_alerts import LATER, NOW, SECRET, webhook
from tests.test_skew import EXPOSURE

SPINE = "select 'a' as shop, 1 as item, timestamp '2024-01-01 12:10:00' as event_timestamp"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = copy_project(PROJECTS / "stock", tmp_path_factory.mktemp("lineage_of_stock"))
    with (folder / "models" / "models.yml").open("a") as models:
        models.write(EXPOSURE)
    project = BuiltProject(folder, "duckdb")
    project.dbt("--quiet", "build")
    return project


@pytest.fixture
def run(built, redis_url):
    """Run a command with a setting of the profile; returns what it did, and the events in the file of the profile."""

    def ran(lineage, *arguments: str, exits: int = 0, **environment: str):
        path = built.folder / "profiles.yml"
        profiles = yaml.safe_load(path.read_text())
        profiles["stock"]["feature_sync"] = {"lineage": lineage}
        path.write_text(yaml.safe_dump(profiles))
        (built.folder / "events.jsonl").unlink(missing_ok=True)
        done = built.feature_sync(*arguments, **{"FEATURE_SYNC_REDIS_URL": redis_url, **environment})
        assert done.returncode == exits, done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
        return done

    return ran


@pytest.fixture
def events(built):
    """Read the events of the last command, each of which the library's own classes accept."""

    def read() -> list[dict]:
        found = [json.loads(line) for line in (built.folder / "events.jsonl").read_text().splitlines()]
        for each in found:
            RunEvent(
                eventType=RunState(each["eventType"]),
                eventTime=each["eventTime"],
                producer=each["producer"],
                run=Run(each["run"]["runId"]),
                job=Job(each["job"]["namespace"], each["job"]["name"]),
                inputs=[InputDataset(one["namespace"], one["name"]) for one in each["inputs"]],
                outputs=[OutputDataset(one["namespace"], one["name"]) for one in each["outputs"]],
            )
            assert each["schemaURL"].endswith("/OpenLineage.json#/$defs/RunEvent")
            assert UUID(each["run"]["runId"])
            assert datetime.fromisoformat(each["eventTime"]).tzinfo is not None
        return found

    return read


def test_a_push_is_a_run_from_the_table_to_redis(run, events, redis_url):
    run("events.jsonl", "push", "--as-of", NOW)
    start, complete = events()
    assert [each["eventType"] for each in (start, complete)] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert complete["job"]["name"] == "stock.push.shelves"
    assert complete["job"]["namespace"] == "stock"
    (source,), (output,) = complete["inputs"], complete["outputs"]
    assert (source["namespace"], source["name"]) == ("duckdb://stock.duckdb", "stock.main.shelves")
    assert (output["namespace"], output["name"]) == (redis_url, "0.stock:shelves")
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 1
    columns = output["facets"]["columnLineage"]["fields"]
    assert {*columns} == {"amount", "pieces", "label"}
    (field,) = columns["amount"]["inputFields"]
    assert (field["namespace"], field["name"], field["field"]) == (source["namespace"], source["name"], "amount")


def test_a_view_that_is_held_back_and_a_push_that_fails_are_failed_runs(run, events):
    run("events.jsonl", "push", "--as-of", LATER, exits=3)
    start, failed = events()
    assert (start["eventType"], failed["eventType"]) == ("START", "FAIL")
    assert "no row" in failed["run"]["facets"]["errorMessage"]["message"]


def test_a_dry_run_sends_nothing(run, built):
    run("events.jsonl", "push", "--dry-run", "--as-of", NOW)
    assert not (built.folder / "events.jsonl").exists()


def test_an_extract_is_a_run_from_the_views_to_the_file(run, events, tmp_path):
    output = tmp_path / "training.parquet"
    run("events.jsonl", "extract", "stock_model", "--spine-sql", SPINE, "-o", str(output))
    start, complete = events()
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert complete["job"]["name"] == "stock.extract.stock_model"
    assert [each["name"] for each in complete["inputs"]] == ["stock.main.shelves"]
    (written,) = complete["outputs"]
    assert (written["namespace"], written["name"]) == ("file", str(output))
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 1
    run("events.jsonl", "extract", "stock_model", "--spine-sql", "select 1 as nothing", "-o", str(output), exits=1)
    start, failed = events()
    assert (start["eventType"], failed["eventType"]) == ("START", "FAIL")


def test_a_server_gets_the_events_by_the_profile_or_by_the_librarys_own_variables(run):
    for lineage, variables in (("{url}", {}), (None, {"OPENLINEAGE_URL": "{url}", "OPENLINEAGE_NAMESPACE": "prod"})):
        with webhook() as (url, got):
            base = url.partition("/services")[0]
            done = run(
                lineage and lineage.format(url=base),
                "push",
                "--as-of",
                NOW,
                **{name: value.format(url=base) for name, value in variables.items()},
            )
        assert "Warning: lineage" not in done.stderr
        assert [(path, event["eventType"]) for path, event in got] == [
            ("/api/v1/lineage", "START"), ("/api/v1/lineage", "COMPLETE")
        ]  # fmt: skip
        assert got[0][1]["job"]["namespace"] == variables.get("OPENLINEAGE_NAMESPACE", "stock")


@pytest.mark.parametrize(
    ("lineage", "words"),
    [
        pytest.param("http://127.0.0.1:1", "lineage: events are not sent: ConnectionError", id="no server"),
        pytest.param("no/such/folder/events.jsonl", "lineage: events are not sent: ", id="no folder"),
        pytest.param(7, "stock.feature_sync.lineage: must be a URL or a file", id="neither"),
    ],
)
def test_what_cannot_be_sent_is_one_warning(run, lineage, words):
    done = run(lineage, "push", "--as-of", NOW)
    assert len([line for line in done.stderr.splitlines() if words in line]) == 1, done.stderr


@pytest.mark.parametrize("options", [{"status": 500}, {"silent": True}])
def test_a_server_that_refuses_or_is_silent_is_one_warning(run, options):
    with webhook(**options) as (url, got):
        done = run(url, "push", "--as-of", NOW)
        assert len(re.findall(r"^Warning: lineage: ", done.stderr, re.MULTILINE)) == 1, done.stderr
        assert len(got) == 1  # the other event is not tried


def test_without_the_library_a_push_warns_and_goes_on(run, built, tmp_path):
    hidden = tmp_path / "openlineage"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('none', name='openlineage')\n")
    done = run("events.jsonl", "push", "--as-of", NOW, PYTHONPATH=f"{tmp_path}:{':'.join(sys.path)}")
    assert "no lineage is sent: lineage needs openlineage: pip install 'feature-sync[openlineage]'" in done.stderr


def test_nothing_of_the_library_is_imported_unless_it_is_asked_for(run, built, redis_url):
    run(None, "status")
    code = (
        "import sys; from feature_sync import FeatureStore;"
        "FeatureStore('.', redis_url=sys.argv[1]).push(as_of=sys.argv[2]);"
        "assert 'feature_sync.store.lineage' in sys.modules; assert 'openlineage' not in sys.modules"
    )
    done = built.run(sys.executable, "-c", code, redis_url, NOW)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("target", "namespace"),
    [
        (("duckdb", {"path": "shop.duckdb"}), "duckdb://shop.duckdb"),
        (("postgres", {"host": "db", "port": 5433, "password": SECRET}), "postgres://db:5433"),
        (("bigquery", {"project": "shop"}), "bigquery"),
    ],
)
def test_tables_are_named_as_dbts_integration_names_them(target, namespace):
    adapter, settings = target
    made = Target(profile="shop", name="prod", adapter=adapter, settings=settings, project_dir=".")
    assert datasets.of_relation(made, ("a", "b", "c"), {})[:2] == (namespace, "a.b.c")


@pytest.mark.parametrize(
    ("where", "namespace", "name"),
    [
        ("redis://cache:6380/2", "redis://cache:6380", "2.shop:orders"),
        ("rediss://cache", "redis://cache:6379", "0.shop:orders"),
        ("redis://[::1]:6379", "redis://[::1]:6379", "0.shop:orders"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock", "0.shop:orders"),
    ],
)
def test_a_view_in_redis_is_named_by_server_database_and_key(where, namespace, name):
    assert datasets.of_online_view(where, "shop:orders", {})[:2] == (namespace, name)


@pytest.mark.parametrize(
    ("path", "namespace", "name"),
    [
        ("/data/a.parquet", "file", "/data/a.parquet"),
        ("s3://bucket/sets/a.parquet", "s3://bucket", "sets/a.parquet"),
        ("gs://bucket/a", "gs://bucket", "a"),
    ],
)
def test_files_are_named_by_their_store(path, namespace, name):
    assert datasets.of_file(path, {})[:2] == (namespace, name)
