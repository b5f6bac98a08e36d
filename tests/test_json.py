"""The JSON of every command on the example is what docs/json.schema.json says, to the key."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import click
import pytest
from jsonschema import Draft202012Validator

from feature_sync.cli import cli
from feature_sync.json_text import FORMAT_VERSION, write_document
from tests.support.projects import EXAMPLE, own_copy

SCHEMA = json.loads((EXAMPLE / "docs" / "json.schema.json").read_text())
DEFINITIONS = SCHEMA["$defs"]
DOCUMENTS = [name for name, each in DEFINITIONS.items() if "title" in each]
SERVICE = "departure_delay_model"
KEYS = ("carrier=B6", "tailnum=N10156", "origin=JFK")


@pytest.fixture(scope="module")
def project(example, tmp_path_factory):
    return own_copy(example, tmp_path_factory.mktemp("json") / "project")


@pytest.fixture
def run(project, redis_url):
    """Run a command with --json; returns the document, which fits its schema."""

    def printed(command: str, *arguments: str, exits: int = 0) -> dict:
        done = project.feature_sync(command, *arguments, "--json", FEATURE_SYNC_REDIS_URL=redis_url)
        assert done.returncode == exits, done.stderr
        return fits(command, json.loads(done.stdout))

    return printed


def fits(name: str, document: dict) -> dict:
    Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": DEFINITIONS}).validate(document)
    return document


def properties(schema: object, path: str = "") -> list[tuple[str, str, dict]]:
    """List the properties of all objects in a schema: where they stand, their names and what they say."""
    found = []
    if isinstance(schema, dict):
        if "properties" in schema:
            found = [(path, name, each) for name, each in schema["properties"].items()]
        for name, each in schema.items():
            found += properties(each, f"{path}/{name}")
    if isinstance(schema, list):
        for each in schema:
            found += properties(each, path)
    return found


def resolved(schema: dict) -> dict:
    if "$ref" not in schema:
        return schema
    return resolved(DEFINITIONS[schema["$ref"].rpartition("/")[2]]) | {
        name: each for name, each in schema.items() if name != "$ref"
    }


def test_list_and_describe(run):
    listed = run("list")
    assert {each["ttl_seconds"] for each in listed["feature_views"]} >= {None, 3 * 3600, 30 * 86_400}
    for each in (*listed["feature_views"], *listed["feature_services"]):
        described = run("describe", each["name"])
        assert {name: described[name] for name in each} == each


def test_check(run, project, tmp_path):
    assert run("check")["error_count"] == 0
    broken = own_copy(project, tmp_path / "broken")
    path = broken.folder / "target" / "manifest.json"
    manifest = json.loads(path.read_text())
    view = manifest["nodes"]["model.feature_sync.airport_weather"]["config"]["meta"]["feature_view"]
    view |= {"ttl": "soon", "lag": "later"}
    path.write_text(json.dumps(manifest))
    done = broken.feature_sync("check", "--json")
    document = fits("check", json.loads(done.stdout))
    assert (done.returncode, document["error_count"]) == (1, 2)
    assert [each["severity"] for each in document["findings"]].count("error") == 2


def test_acl(run):
    users = run("acl")["users"]
    assert [each["name"] for each in users[:2]] == ["feature_sync-writer", "feature_sync-auditor"]
    assert not any(each["has_password"] for each in users)


def test_forget(run):
    assert run("forget", "airport", "XXX")["is_forgotten"] is True
    run("push")
    document = run("forget", "airport", "JFK", exits=3)
    assert {each["place"] for each in document["traces"]} >= {"redis", "model", "push table", "upstream"}


def test_plan(run, project, tmp_path):
    other = tmp_path / "state" / "manifest.json"
    other.parent.mkdir()
    manifest = json.loads((project.folder / "target" / "manifest.json").read_text())
    other.write_text(json.dumps(manifest))
    assert run("plan", "--state", str(other.parent))["verdict"] == "same"
    block = manifest["nodes"]["model.feature_sync.airport_weather"]["config"]["meta"]["feature_view"]
    other.write_text(json.dumps(manifest).replace(json.dumps(block), json.dumps({**block, "lag": "5h"})))
    planned = run("plan", "--state", str(other.parent), exits=3)
    (view,) = [each for each in planned["feature_views"] if each["verdict"] == "breaking"]
    assert (view["name"], view["broken_service_names"]) == ("airport_weather", ["departure_delay_model"])
    assert view["estimate"]["row_count"] == 3
    assert view["estimate"]["memory_bytes"] > view["estimate"]["sent_bytes"] > 3 * 20


def test_push_status_verify_and_get(run, project, redis_url):
    assert {each["state"] for each in run("status")["feature_views"]} == {"never pushed"}
    assert run("verify", exits=3)["is_equal"] is False
    assert all(each["is_dry_run"] for each in run("push", "--dry-run")["feature_views"])
    pushed = run("push")["feature_views"]
    for each in pushed:
        phases = [each[f"{phase}_seconds"] for phase in ("stage", "send", "commit")]
        assert sum(phases) == pytest.approx(each["duration_seconds"])
        assert each["written"] > 0
        assert each["memory_bytes"] > each["sent_bytes"] > 0
    statuses = {each["name"]: each for each in run("status")["feature_views"]}
    for each in pushed:
        known = statuses[each["name"]]
        assert known["mark"]["push_id"] == each["push_id"]
        assert (known["last_push"]["written"], known["rows"]) == (each["written"], each["written"])
    weather = statuses["airport_weather"]
    age = datetime.fromisoformat(weather["as_of"]) - datetime.fromisoformat(weather["newest_event_timestamp"])
    assert timedelta(seconds=weather["age_seconds"]) == age
    assert run("verify")["is_equal"] is True
    assert run("verify", "--sample", "3")["feature_views"][0]["sample_entities"] == 3
    vector = run("get", SERVICE, *KEYS)
    assert {each["status"] for each in vector["features"]} & {"present", "expired"}
    fits("get", vector)


def test_verify_with_differences_and_without_their_values(run, redis_url):
    import redis

    run("push")
    with redis.Redis.from_url(redis_url) as client:
        keys = sorted(client.scan_iter("feature_sync:airport_weather:{*"))
        client.set(keys[0], client.get(keys[1]))
        client.delete(keys[2])
    shown, hidden = run("verify", exits=3), run("verify", "--redact", exits=3)
    (weather,) = (each for each in shown["feature_views"] if not each["is_equal"])
    assert (weather["different"], weather["missing"]) == (1, 1)
    assert any(each["redis_value"] is not None for each in weather["examples"])
    for view in hidden["feature_views"]:
        assert all(each["redis_value"] is each["warehouse_value"] is None for each in view["examples"])


def test_push_that_is_held_back_and_one_that_removes(run, project, tmp_path, redis_url):
    run("push")
    smaller = own_copy(project, tmp_path / "smaller")
    path = smaller.folder / "target" / "run_results.json"
    results = json.loads(path.read_text())
    for each in results["results"]:
        each["status"] = "error" if each["unique_id"] == "model.feature_sync.airport_weather" else each["status"]
    path.write_text(json.dumps(results))
    done = smaller.feature_sync("push", "--take-over", "--json", FEATURE_SYNC_REDIS_URL=redis_url)
    views = {each["name"]: each for each in fits("push", json.loads(done.stdout))["feature_views"]}
    assert done.returncode == 3
    assert "its model ended with error" in views["airport_weather"]["held_back"]
    assert views["airport_weather"]["stage_seconds"] is None
    manifest = smaller.folder / "target" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["nodes"]["model.feature_sync.airport_weather"]["config"]["meta"]["feature_view"]["online"] = False
    manifest.write_text(json.dumps(content))
    status = smaller.feature_sync("status", "--json", FEATURE_SYNC_REDIS_URL=redis_url)
    states = {each["name"]: each["state"] for each in fits("status", json.loads(status.stdout))["feature_views"]}
    assert states["airport_weather"] == "no longer defined"


def test_extract_prints_what_stands_beside_the_file(run, project, tmp_path):
    path = tmp_path / "set.parquet"
    asked = ("--since", "2013-01-02", "--until", "2013-01-03T12:00:00Z", "--sample", "0.5", "--limit", "9")
    document = run("extract", SERVICE, "--spine", "departures", *asked, "--order-by", "asked_at desc", "-o", str(path))
    assert json.loads(path.with_name("set.parquet.json").read_text()) == document
    spine = document["spine"]
    assert (spine["since"], spine["until"]) == ("2013-01-02T00:00:00Z", "2013-01-03T12:00:00Z")
    assert (spine["sample_share"], spine["limit"], spine["order_by"]) == (0.5, 9, ["asked_at desc"])
    file = tmp_path / "spine.csv"
    file.write_text("carrier,event_timestamp\nB6,2013-01-03 12:00:00\n")
    again = ("--features", "carrier_delays.v2:flights_24h", "--spine", str(file), "-o", str(tmp_path / "again.csv"))
    assert run("extract", *again)["spine"]["file"] == "spine.csv"
    query = ("--spine-sql", "select * from main.departures limit 3", "--event-timestamp", "asked_at")
    assert "limit 3" in run("extract", SERVICE, *query, "-o", str(tmp_path / "sql.csv"))["spine"]["sql"]


def test_the_log_of_a_push_is_an_object_a_line(project, redis_url):
    done = project.feature_sync("push", "--log-format", "json", FEATURE_SYNC_REDIS_URL=redis_url)
    lines = [fits("push_log", json.loads(line)) for line in done.stderr.splitlines() if line.startswith("{")]
    of_one_view = [each for each in lines if each["feature_view"] == "airport_weather"]
    assert [each["event"] for each in of_one_view] == ["staged", "sent", "committed"]
    assert len({each["push_id"] for each in of_one_view}) == 1
    assert of_one_view[-1]["send_seconds"] >= 0
    assert len(lines) == len(done.stderr.splitlines())


# The schema


def test_it_describes_every_command_that_prints_json():
    def commands(group: click.Group, before: str = "feature-sync") -> list[tuple[str, click.Command]]:
        return [
            inner
            for name, command in group.commands.items()
            for inner in (
                commands(command, f"{before} {name}")
                if isinstance(command, click.Group)
                else [(f"{before} {name}", command)]
            )
        ]

    options = {
        name: {each for parameter in command.params for each in parameter.opts} for name, command in commands(cli)
    }
    printing = {name for name, each in options.items() if "--json" in each}
    logging = {f"{name} --log-format json" for name, each in options.items() if "--log-format" in each}
    assert printing | logging == {DEFINITIONS[name]["title"] for name in DOCUMENTS}


def test_it_lets_no_key_through_that_it_does_not_describe():
    Draft202012Validator.check_schema(SCHEMA)

    def check(schema: object, path: str) -> None:
        if isinstance(schema, dict):
            if "properties" in schema and path != "":
                assert schema["additionalProperties"] is False, path
            for name, each in schema.items():
                check(each, f"{path}/{name}")

    check(SCHEMA, "")
    for path, name, each in properties(DEFINITIONS):
        assert resolved(each)["description"].endswith((".", ":", "...")), (path, name)


def test_a_document_begins_with_its_version():
    assert DEFINITIONS["format_version"]["const"] == FORMAT_VERSION
    for name in DOCUMENTS:
        for kind in map(resolved, DEFINITIONS[name].get("oneOf", [DEFINITIONS[name]])):
            assert (next(iter(kind["properties"])) == "format_version") is (not name.endswith("_log")), name


def test_a_key_has_one_type_and_a_number_names_its_unit():
    types = defaultdict(set)
    for _, name, each in properties(DEFINITIONS):
        found = resolved(each)
        listed = found.get("type", "string")
        named = {"moment"} if "pattern" in found else {listed} if isinstance(listed, str) else {*listed} - {"null"}
        types[name].add((*sorted(named), resolved(found.get("items", {})).get("type")))
    assert {name: each for name, each in types.items() if len(each) > 1} == {}
    for name, ((kind, *_),) in types.items():
        words = set(name.split("_"))
        if words & {"ttl", "lag", "age", "duration", "phase"} or name in ("stage", "send", "commit"):
            assert (kind, name.endswith("_seconds")) == ("number", True), name
        if words & {"memory", "sent", "scan", "size"}:
            assert (kind, name.endswith("_bytes")) == ("integer", True), name
        if kind == "number":
            assert name.endswith(("_seconds", "_share", "_difference")), name  # of a feature, in its own unit
        assert name not in ("seconds", "bytes"), name


# How values are written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param(datetime(2013, 1, 31, 17, tzinfo=UTC), "2013-01-31T17:00:00Z", id="a moment"),
        pytest.param(datetime(2013, 1, 31, 17, 0, 0, 1, tzinfo=UTC), "2013-01-31T17:00:00.000001Z", id="microseconds"),
        pytest.param(
            datetime(2013, 1, 31, 18, tzinfo=timezone(timedelta(hours=1))), "2013-01-31T17:00:00Z", id="another zone"
        ),
        pytest.param(datetime(2013, 1, 31, 17), "2013-01-31T17:00:00", id="a timestamp without a zone"),
        pytest.param(datetime(2013, 1, 31).date(), "2013-01-31", id="a date"),
        pytest.param(Decimal("1.10"), "1.10", id="a decimal"),
        pytest.param(UUID(int=1), "00000000-0000-0000-0000-000000000001", id="a uuid"),
        pytest.param(b"\x00\xff", "00ff", id="bytes"),
        pytest.param([float("nan"), {"most": float("inf")}], ["nan", {"most": "inf"}], id="what JSON lacks"),
        pytest.param(None, None, id="null"),
    ],
)
def test_values_in_a_document(value, written):
    assert json.loads(write_document({"value": value})) == {"format_version": FORMAT_VERSION, "value": written}
