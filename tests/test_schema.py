"""The JSON Schema for editors: it lets through what the readers accept, and refuses what they refuse."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import msgspec
import pytest
import yaml
from jsonschema import Draft7Validator

from feature_sync.dbt import feature_services, feature_views, streams
from feature_sync.dbt.feature_services import read_feature_service
from feature_sync.dbt.feature_views import read_feature_view
from feature_sync.dbt.node import Node
from feature_sync.errors import Findings
from feature_sync.schema import read_schema
from tests.support.projects import EXAMPLE

SCHEMA = json.loads(read_schema())
VALIDATOR = Draft7Validator(SCHEMA)
OURS = ("models", "seeds", "snapshots", "tests/projects")
FILES = [
    EXAMPLE / "dbt_project.yml",
    *sorted(file for folder in OURS for file in (EXAMPLE / folder).rglob("*.yml") if file.name != "profiles.yml"),
]


class Loader(yaml.SafeLoader):
    """Reads YAML as editors do, which have no dates."""


Loader.yaml_implicit_resolvers = {
    letter: [each for each in resolvers if not each[0].endswith(":timestamp")]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(text):
    return yaml.load(text, Loader=Loader)


def refusals(document) -> list[str]:
    return [f"{each.json_path}: {each.message}" for each in VALIDATOR.iter_errors(document)]


def test_it_is_a_schema_of_the_draft_it_names():
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(EXAMPLE)))
def test_every_file_of_ours_is_valid(file):
    assert refusals(load(file.read_text())) == []


def test_what_the_readme_shows_is_valid():
    shown = [load(each) for each in re.findall(r"```yaml\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)]
    files = [each for each in shown if isinstance(each, dict) and each.keys() & {"models", "exposures"}]
    assert len(files) == 2
    assert [refusals(each) for each in files] == [[], []]


@pytest.mark.parametrize(
    ("definition", "read"),
    [
        ("feature_view", feature_views.SETTINGS),
        ("feature_view_defaults", feature_views.DEFAULTS),
        ("stream", streams.STREAM),
        ("feature", feature_views.FEATURE),
        ("feature_service", feature_services.SERVICE),
        ("selection", feature_services.SELECTION),
    ],
)
def test_it_knows_the_same_keys_as_the_reader_and_explains_each(definition, read):
    described = SCHEMA["definitions"][definition]
    assert sorted(described["properties"]) == sorted(read)
    assert described["additionalProperties"] is False
    for key, value in described["properties"].items():
        explained = SCHEMA["definitions"][value["$ref"].rpartition("/")[2]] if "$ref" in value else value
        assert explained["description"], key


def test_ttl_and_lag_come_with_examples():
    for key in ("ttl", "lag"):
        examples = SCHEMA["definitions"][key]["examples"]
        assert len(examples) >= 3
        assert all(re.search(SCHEMA["definitions"][key]["pattern"], each) for each in examples)


# The schema and the readers, side by side

NODE = {"unique_id": "model.shop.orders", "name": "orders", "resource_type": "model"}
VIEW = {"entities": {"customer": "customer_id"}, "features": ["spent"]}
SERVICE = {"features": {"orders": ["spent"]}}
ALIAS = {"view": "orders", "features": ["spent"]}
VALUES = [
    None, True, False, 0, 30, 1.5, "", "30d", "30 d", "soon", "1.5h", "-1d", "none", [], ["spent"], ["spent", "spent"],
    ["spent", 7], [""], {}, {"customer": "customer_id"}, {"customer": []}, {"customer": None}, {"default": 0},
]  # fmt: skip
TEXTS = ("30d", "30 d", "soon", "1.5h", "-1d", "none")


def node_of(meta, columns=None) -> Node:
    config = {"event_time": "ordered_at", "contract": {"enforced": True}, "meta": meta}
    return msgspec.convert({**NODE, "config": config, "columns": columns or {"spent": {"name": "spent"}}}, Node)


def accepts_view(meta, columns=None) -> bool:
    findings = Findings()
    read_feature_view(node_of(meta, columns), {}, findings)
    return not findings.errors


def accepts_service(block) -> bool:
    config, depends_on = {"meta": {"feature_service": block}}, {"nodes": ["model.shop.orders"]}
    node = msgspec.convert({"name": "churn", "type": "ml", "config": config, "depends_on": depends_on}, Node)
    view = read_feature_view(node_of({"feature_view": VIEW}), {}, Findings())
    findings = Findings()
    service = read_feature_service(node, {"orders": view}, findings)
    assert (service is None) is bool(findings.errors)
    return service is not None


def in_a_view(meta, columns=()):
    return {"models": [{"name": "orders", "config": {"event_time": "ordered_at", "meta": meta}, "columns": [*columns]}]}


def in_an_exposure(block):
    return {"exposures": [{"name": "churn", "type": "ml", "config": {"meta": {"feature_service": block}}}]}


@pytest.mark.parametrize("key", [*feature_views.SETTINGS, "tttl"])
def test_a_setting_is_refused_by_both_or_by_neither(key):
    for value in VALUES:
        if key == "timezone" and value in TEXTS:
            continue  # no schema knows all time zones
        meta = {"feature_view": {**VIEW, key: value}}
        assert accepts_view(meta) == (refusals(in_a_view(meta)) == []), f"{key}: {value!r}"


@pytest.mark.parametrize("key", [*feature_views.DEFAULTS, "entities"])
def test_a_default_setting_is_refused_by_both_or_by_neither(key):
    for value in VALUES:
        if key == "timezone" and value in TEXTS:
            continue
        meta = {"feature_view": VIEW, "feature_view_defaults": {key: value}}
        accepted = accepts_view(meta)
        assert accepted == (refusals(in_a_view(meta)) == []), f"{key}: {value!r}"
        folders = {"models": {"shop": {"features": {"+meta": {"feature_view_defaults": {key: value}}}}}}
        assert accepted == (refusals(folders) == []), f"{key}: {value!r} in dbt_project.yml"


@pytest.mark.parametrize("block", [None, "30d", [], {}, {"ttl": "30d"}, 7, False])
def test_a_block_of_defaults_is_refused_by_both_or_by_neither(block):
    meta = {"feature_view": VIEW, "feature_view_defaults": block}
    assert accepts_view(meta) == (refusals(in_a_view(meta)) == [])


@pytest.mark.parametrize("feature", [None, False, True, 0, "no", [], {}, {"default": 0}, {"defautl": 0}])
def test_a_column_is_refused_by_both_or_by_neither(feature):
    meta = {"meta": {"feature": feature}}
    column = {"name": "note", "config": meta}
    assert accepts_view({"feature_view": VIEW}, {"note": column}) == (
        refusals(in_a_view({"feature_view": VIEW}, [column])) == []
    )


@pytest.mark.parametrize("key", [*feature_services.SERVICE, "fulll_names"])
def test_a_service_is_refused_by_both_or_by_neither(key):
    for value in VALUES:
        if key == "features" and isinstance(value, dict):
            continue  # no schema knows the views
        block = {**SERVICE, key: value}
        assert accepts_service(block) == (refusals(in_an_exposure(block)) == []), f"{key}: {value!r}"


@pytest.mark.parametrize("key", [*feature_services.SELECTION, "kyes"])
def test_what_a_service_takes_from_a_view_is_refused_by_both_or_by_neither(key):
    for value in VALUES:
        if (key == "view" and value in (*TEXTS, "", None)) or (key == "features" and value in TEXTS):
            continue  # no schema knows the views and their features
        block = {"features": {"buyer": {**ALIAS, key: value}}}
        assert accepts_service(block) == (refusals(in_an_exposure(block)) == []), f"{key}: {value!r}"


def test_a_list_of_features_is_refused_by_both_or_by_neither():
    for value in VALUES:
        if value not in TEXTS:
            block = {"features": {"orders": value}}
            assert accepts_service(block) == (refusals(in_an_exposure(block)) == []), repr(value)


def test_a_feature_service_is_an_exposure_of_type_ml():
    document = in_an_exposure(SERVICE)
    assert refusals(document) == []
    document["exposures"][0]["type"] = "dashboard"
    assert refusals(document) == ["$.exposures[0].type: 'ml' was expected"]


def test_versions_sources_snapshots_and_seeds_are_looked_into():
    wrong = {"feature_view": {**VIEW, "tttl": "1h"}}
    label = [{"name": "is_late", "config": {"meta": {"label": "yes"}}}]
    documents = [
        {"models": [{"name": "orders", "versions": [{"v": 1, "config": {"meta": wrong}}]}]},
        {"models": [{"name": "orders", "meta": wrong}]},
        {"snapshots": [{"name": "orders", "config": {"meta": wrong}}]},
        {"seeds": [{"name": "orders", "config": {"meta": wrong}}]},
        {"sources": [{"name": "raw", "tables": [{"name": "orders", "columns": label}]}]},
    ]
    assert [len(refusals(each)) for each in documents] == [1] * 5


LANDED_KEYS = (
    "topic",
    *re.findall(r"^    '(\w+)': ", (EXAMPLE / "macros/package/streams/landed.sql").read_text(), re.MULTILINE),
)


def test_a_landed_table_knows_the_same_keys_as_the_macro_and_explains_each():
    described = SCHEMA["definitions"]["landed"]
    assert sorted(described["properties"]) == sorted(LANDED_KEYS)
    assert all(each["description"] for each in described["properties"].values())


@pytest.mark.parametrize(
    ("landed", "wrong"),
    [
        pytest.param({"topic": "positions"}, 0, id="the least"),
        pytest.param({"topic": "p", "ranges": False, "begins_at": "first_row", "topic_column": False}, 0, id="a sink"),
        pytest.param({"topic": "p", "ranges": "r", "begins_at": 7, "partition": "p", "offset": "o"}, 0, id="all"),
        pytest.param(None, 0, id="none"),
        pytest.param({"ranges": False}, 1, id="no topic"),
        pytest.param({"topic": ""}, 1, id="an empty topic"),
        pytest.param({"topic": "p", "begin_at": 0}, 1, id="a misspelt key"),
        pytest.param({"topic": "p", "begins_at": "start"}, 1, id="a beginning that is none"),
        pytest.param({"topic": "p", "ranges": True}, 1, id="ranges that name no table"),
        pytest.param("positions", 1, id="a text"),
    ],
)
def test_what_a_source_says_of_a_landed_topic_is_checked(landed, wrong):
    tables = [{"name": "positions", "config": {"meta": {"landed": landed}}}]
    assert len(refusals({"sources": [{"name": "landing", "tables": tables}]})) == wrong
    assert (
        len(refusals({"sources": [{"name": "landing", "tables": [{"name": "p", "meta": {"landed": landed}}]}]}))
        == wrong
    )


def test_what_is_dbts_or_somebody_elses_is_let_through():
    others = {"owner": "me", "dimension": {"type": "x"}}
    document = in_a_view(others, [{"name": "a", "meta": {"dimension": {"label": "A"}}, "data_tests": ["unique"]}])
    document |= {"version": 2, "macros": [], "unit_tests": [{"name": "u"}], "metrics": [{"name": "m"}]}
    document["exposures"] = [{"name": "board", "type": "dashboard", "config": None}]
    assert refusals(document) == []


def test_the_command_prints_it_or_writes_it_anywhere_without_a_project(tmp_path):
    command = [sys.executable, "-m", "feature_sync", "schema"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (printed.stdout, printed.stderr) == (read_schema(), "")
    written = subprocess.run([*command, "-o", "dbt.json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (written.stdout, written.stderr) == ("", "wrote dbt.json\n")
    assert (tmp_path / "dbt.json").read_text() == read_schema()
