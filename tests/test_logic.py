"""The logic id of a service: what changes it, and what does not, in a project that dbt parsed."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest

from feature_sync.dbt.logic import logic_of, logic_record
from feature_sync.dbt.manifest import Manifest, read_manifest
from feature_sync.dbt.registry import read_registry
from feature_sync.definitions import Entity, Feature, FeatureService, FeatureView, Relation, selection_of, service_of
from feature_sync.errors import Location
from tests.support.projects import PROJECTS, BuiltProject, copy_project

SCHEMA = "https://schemas.getdbt.com/dbt/manifest/v12.json"
VIEW, STAGED, SNAPSHOT, SEED = "model.shop.spend", "model.shop.staged", "snapshot.shop.payers", "seed.shop.payments"


class Parsed:
    """A manifest that a test changes."""

    def __init__(self, content, folder):
        self.content, self._folder = deepcopy(content), folder

    @property
    def manifest(self) -> Manifest:
        path = self._folder / "manifest.json"
        path.write_text(json.dumps(self.content))
        return read_manifest(path)

    @property
    def service(self) -> FeatureService:
        registry = read_registry(self.manifest, project="shop", catalog=self._folder / "catalog.json")
        return registry.feature_services["churn"]

    @property
    def logic(self) -> str:
        return logic_of(self.service, self.manifest)

    @property
    def record(self) -> dict[str, dict[str, str | None]]:
        return json.loads(logic_record(self.service, self.manifest))

    @property
    def nodes(self):
        return self.content["nodes"]

    @property
    def feature_view(self):
        return self.nodes[VIEW]["config"]["meta"]["feature_view"]


def parse(folder, target, *edits):
    """Change texts in the files of the project, and return the manifest that dbt writes."""
    project = BuiltProject(copy_project(PROJECTS / "logic", folder), target)
    for file, old, new in edits:
        text = (folder / file).read_text()
        assert old in text, (file, old)
        (folder / file).write_text(text.replace(old, new, 1))
    project.dbt("--quiet", "parse", "--no-partial-parse")
    return json.loads((folder / "target" / "manifest.json").read_text())


@pytest.fixture(scope="module")
def as_parsed(tmp_path_factory):
    return parse(tmp_path_factory.mktemp("logic"), "duckdb")


@pytest.fixture
def parsed(as_parsed, tmp_path):
    return Parsed(as_parsed, tmp_path)


def test_it_covers_the_views_all_nodes_above_them_and_the_macros_that_they_may_call(parsed):
    record = parsed.record
    assert list(record["views"]) == [VIEW]
    assert set(record["nodes"]) == {
        VIEW, STAGED, SNAPSHOT, SEED, "model.shop.totals.v1", "model.shop.totals.v2", "model.shop.scored",
        "source.shop.bank.rates",
    }  # fmt: skip
    assert [name for name, digest in record["nodes"].items() if digest is None] == ["source.shop.bank.rates"]
    assert {name.removeprefix("macro.shop.") for name in record["macros"]} == {
        "cents", "default__cents", "duckdb__cents", "rounded", "newest", "sample", "default__dateadd",
    }  # fmt: skip


def test_it_is_the_same_on_every_target(parsed, tmp_path):
    on_postgres = Parsed(parse(tmp_path / "project", "postgres"), tmp_path)
    called = [each.content["macros"]["macro.shop.cents"]["depends_on"]["macros"] for each in (parsed, on_postgres)]
    assert called == [["macro.shop.duckdb__cents"], ["macro.shop.default__cents"]]
    assert on_postgres.record == parsed.record
    assert on_postgres.logic == parsed.logic


def test_no_name_of_a_relation_and_no_path_is_in_it(parsed):
    record = logic_record(parsed.service, parsed.manifest)
    assert "wolpertinger" in json.dumps(parsed.content["nodes"])
    for name in ("wolpertinger", "models/", ".sql", ".csv", "duckdb."):
        assert name not in record


def test_each_node_and_each_macro_counts_by_its_code(parsed, tmp_path):
    edits = (
        ("models/spend.sql", "amount", "amount + 1 as amount"),
        ("models/staged.sql", "cross join", "inner join"),
        ("models/scored.py", '"payers"', '"payers"  '),
        ("seeds/payments.csv", "2.5", "3.5"),
        ("snapshots/payers.yml", "check_cols: all", "check_cols: [amount]"),
        ("macros/money.sql", "{{ column }} * 100 as", "{{ column }} * 10 as"),
        ("macros/money.sql", "'cents', 'shop'", "'cents',  'shop'"),
        ("macros/money.sql", "round(", "floor("),
        ("macros/money.sql", "max(", "min("),
        ("macros/money.sql", "< 1000", "< 2000"),
        ("macros/money.sql", "+ interval", "- interval"),
    )
    after = Parsed(parse(tmp_path / "project", "duckdb", *edits), tmp_path).record
    changed = {
        name
        for kind, before in parsed.record.items()
        for name in before.keys() | after[kind].keys()
        if before.get(name) != after[kind].get(name)
    }
    macros = ("duckdb__cents", "cents", "rounded", "newest", "sample", "default__dateadd")
    assert changed == {VIEW, STAGED, "model.shop.scored", SEED, SNAPSHOT, *(f"macro.shop.{name}" for name in macros)}


def test_what_is_not_code_does_not_count(parsed, tmp_path):
    unused = "macro unused() %}1"
    project = tmp_path / "project"
    edits = (
        ("models/models.yml", "- name: spend", "- name: spend\n    description: What a customer spent"),
        ("models/models.yml", "event_time", "tags: [money]\n      schema: other\n      alias: other\n      event_time"),
        ("models/models.yml", "created_timestamp", "ttl: 30d\n          created_timestamp"),
        ("models/models.yml", "- name: customer_id", "- name: customer_id\n        data_tests: [not_null]"),
        ("models/models.yml", "- name: amount", "- name: amount\n        config: {meta: {feature: {default: 0}}}"),
        ("models/models.yml", "{name: Ada}", "{name: Grace}"),
        ("models/models.yml", "schema: wolpertinger_bank", "schema: elsewhere\n    database: elsewhere"),
        ("snapshots/payers.yml", "- name: payers", "- name: payers\n    description: Who pays"),
        ("macros/money.sql", unused, f"{unused}0"),
        ("models/unrelated.sql", "1", "2"),
        ("profiles.yml", "schema: wolpertinger", "schema: elsewhere"),
    )
    after = Parsed(parse(project, "duckdb", *edits), tmp_path)
    assert after.nodes[VIEW]["description"]
    assert after.record == parsed.record


def test_the_version_of_dbt_and_its_own_macros_do_not_count(parsed):
    before = parsed.logic
    parsed.content["metadata"] |= {"dbt_version": "1.10.0", "generated_at": None, "invocation_id": None}
    for name, macro in parsed.content["macros"].items():
        if not name.startswith("macro.shop."):
            macro["macro_sql"] += " "
    assert parsed.logic == before


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"lag": "1h"}, id="lag"),
        pytest.param({"timezone": "Europe/Paris"}, id="timezone"),
        pytest.param({"known_at": "loaded_at"}, id="known at"),
        pytest.param({"created_timestamp": None}, id="created timestamp"),
        pytest.param({"latest_only": True}, id="history"),
        pytest.param({"valid_from": "paid_at", "valid_to": "loaded_at"}, id="valid to"),
        pytest.param({"entities": {"customer": ["customer_id", "region"]}}, id="join keys"),
    ],
)
def test_settings_that_decide_which_row_answers_count(parsed, settings):
    before = parsed.logic
    parsed.feature_view.update(settings)
    assert parsed.logic != before


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"lag": "0d"}, id="no lag"),
        pytest.param({"ttl": "30d"}, id="ttl"),
        pytest.param({"online": False}, id="online"),
        pytest.param({"entities": {"client": "customer_id"}}, id="name of the entity"),
    ],
)
def test_other_settings_do_not_count(parsed, settings):
    before = parsed.logic
    parsed.feature_view.update(settings)
    assert parsed.logic == before


def test_a_seed_too_large_for_dbt_counts_by_its_unique_id(parsed):
    parsed.nodes[SEED]["checksum"] = {"name": "path", "checksum": "seeds/payments.csv"}
    before = parsed.logic
    assert parsed.record["nodes"][SEED] is None
    parsed.nodes[SEED]["checksum"]["checksum"] = "elsewhere/payments.csv"
    assert parsed.logic == before


def test_without_a_checksum_the_code_counts_and_without_code_the_unique_id(parsed):
    before = parsed.logic
    for gone in ({"checksum": None}, {"checksum": {"name": None}}, {"checksum": {"name": "none", "checksum": ""}}):
        parsed.nodes[STAGED] |= gone
        assert parsed.logic == before
    parsed.nodes[STAGED]["raw_code"] += " "
    assert parsed.logic != before
    del parsed.nodes[STAGED]["checksum"], parsed.nodes[STAGED]["raw_code"]
    assert parsed.record["nodes"][STAGED] is None


def test_a_manifest_of_dbt_v2_lacks_code_and_the_calls_of_macros(parsed):
    before = parsed.logic
    for macro in parsed.content["macros"].values():
        macro["depends_on"] = {"macros": []}
    parsed.nodes[STAGED]["depends_on"]["macros"].append(None)
    assert parsed.logic == before
    for node in parsed.nodes.values():
        node["raw_code"] = "--placeholder--"
        node["checksum"] = node["checksum"]["checksum"]
    assert all(parsed.record["nodes"][name] for name in (VIEW, STAGED, SNAPSHOT, SEED))


def test_every_other_field_may_be_left_out(parsed):
    for name in ("macros", "sources", "functions", "parent_map", "child_map"):
        parsed.content.pop(name, None)
    for name in (STAGED, SNAPSHOT, SEED):
        parsed.nodes[name] = {}
    record = parsed.record
    assert {name for name, digest in record["nodes"].items() if digest is None} == {STAGED, SNAPSHOT}
    assert record["macros"] == {}


def test_a_disabled_node_above_a_view_counts_by_its_unique_id(parsed):
    parsed.content["disabled"][STAGED] = [parsed.nodes.pop(STAGED)]
    assert parsed.record["nodes"][STAGED] is None


def test_a_function_of_the_project_is_code_above_a_view(parsed):
    parsed.nodes[VIEW]["depends_on"]["nodes"].append("function.shop.half")
    parsed.content["functions"] = {"function.shop.half": {"resource_type": "function", "raw_code": "x / 2"}}
    before = parsed.logic
    parsed.content["functions"]["function.shop.half"]["raw_code"] = "x / 3"
    assert parsed.logic != before


def model(*, parents=(), macros=(), code="select 1"):
    depends_on = {"nodes": [f"model.shop.{each}" for each in parents], "macros": [f"macro.{each}" for each in macros]}
    return {"resource_type": "model", "raw_code": code, "depends_on": depends_on}


def macro(*called, sql="1"):
    return {"macro_sql": sql, "depends_on": {"macros": [f"macro.{each}" for each in called]}}


@pytest.fixture
def written(tmp_path):
    """Write a manifest by hand; return a service of its view `top`, and the manifest."""

    def written(models, macros, **metadata):
        content = {
            "metadata": {"dbt_schema_version": SCHEMA, "project_name": "shop", **metadata},
            "nodes": {f"model.shop.{name}": each for name, each in models.items()},
            "macros": {f"macro.{name}": each for name, each in macros.items()},
        }
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps(content))
        relation = Relation(name="t", unique_id="model.shop.top", location=Location("t.yml", "t"), columns={})
        key = Entity(name="thing", join_keys=("id",))
        view = FeatureView(name="t", relation=relation, entities=(key,), features=(Feature(name="f"),))
        return service_of([selection_of(view)], name="s"), read_manifest(path)

    return written


@pytest.fixture
def record(written):
    """Return the record of such a service."""
    return lambda *code, **metadata: json.loads(logic_record(*written(*code, **metadata)))


def test_it_is_16_hexadecimal_digits_and_the_same_in_every_version_of_this_package(written):
    service, manifest = written({"top": model(parents=["low"], macros=["shop.x"])}, {"shop.x": macro()})
    assert logic_of(service, manifest) == "db4dff6185783c66"


def test_macros_that_call_each_other_end(record):
    macros = {"shop.even": macro("shop.odd"), "shop.odd": macro("shop.even"), "shop.other": macro()}
    found = record({"top": model(macros=["shop.even", "shop.gone"])}, macros)
    assert set(found["macros"]) == {"macro.shop.even", "macro.shop.odd"}


def test_long_chains_of_models_and_of_macros_end(record):
    models = {f"m{i}": model(parents=[f"m{i + 1}"]) for i in range(5_000)}
    macros = {f"shop.x{i}": macro(f"shop.x{i + 1}") for i in range(5_000)}
    found = record({"top": model(parents=["m0"], macros=["shop.x0"]), **models}, macros)
    assert (len(found["nodes"]), len(found["macros"])) == (5_002, 5_000)


@pytest.mark.parametrize(
    ("adapter", "resolved"),
    [
        ("duckdb", "dbt_duckdb.duckdb__star"),
        ("bigquery", "spark_utils.bigquery__star"),
        ("exotic", "utils.exotic__star"),
    ],
)
def test_all_implementations_of_a_dispatched_macro_count_in_whatever_package(record, adapter, resolved):
    macros = {
        "utils.star": macro(resolved),
        "dbt_duckdb.duckdb__star": macro("shop.never"),
        "spark_utils.bigquery__star": macro("shop.helper"),
        "utils.default__star": macro(),
        "utils.exotic__star": macro(),
        "shop.stripe__star": macro(),
        "shop.helper": macro(),
        "shop.never": macro(),
    }
    found = record({"top": model(macros=["utils.star"])}, macros, adapter_type=adapter)
    counted = {"utils.star", "spark_utils.bigquery__star", "utils.default__star", "shop.helper"}
    exotic = {"utils.exotic__star"} if adapter == "exotic" else set()
    assert set(found["macros"]) == {f"macro.{name}" for name in counted | exotic}


@pytest.mark.parametrize(
    ("code", "called"),
    [
        pytest.param("{% if is_incremental() %}{{ x(1) }}{% endif %}", {"shop.x"}, id="in a branch"),
        pytest.param("{{ utils.x(1) }}", {"utils.x"}, id="of a package"),
        pytest.param("{%- set a = y( 1 ) -%}", {"shop.y"}, id="in a statement"),
        pytest.param("select x(1), {{ z }} from t", set(), id="a function of SQL"),
        pytest.param("{# x(1) #}", set(), id="in a comment"),
        pytest.param("{{ adapter.x(1) }}", set(), id="a method"),
    ],
)
def test_calls_that_dbt_did_not_render_count(record, code, called):
    macros = {name: macro() for name in ("shop.x", "shop.y", "shop.z", "utils.x", "dbt.is_incremental")}
    found = record({"top": model(code=code)}, macros)
    assert set(found["macros"]) == {f"macro.{name}" for name in called}
