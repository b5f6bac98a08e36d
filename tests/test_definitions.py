"""Definitions: what the YAML of a dbt project means, read from a manifest."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_sync.dbt.manifest import read_manifest
from feature_sync.dbt.project import read_project
from feature_sync.dbt.registry import read_registry
from feature_sync.definitions import (
    Column,
    Entity,
    Feature,
    FeatureService,
    FeatureView,
    History,
    Ordering,
    Period,
    Relation,
    Selection,
    Spine,
    Target,
    fingerprint,
    format_duration,
    parse_duration,
    parse_features,
    selection_of,
    service_of,
    split_features,
    view_fingerprint,
)
from feature_sync.definitions.fingerprint import COUNTED
from feature_sync.errors import DefinitionError, Location, ProjectError, RequestError, UnknownName

COLUMNS = {
    "customer_id": "bigint",
    "ordered_at": "timestamp",
    "loaded_at": "timestamp",
    "spent": "double",
    "email": "text",
}


def model(name="orders", *, version=None, contract=True, event_time="ordered_at", columns=None, kind="model", **meta):
    """A node as dbt writes it; `meta` holds our blocks."""
    unique_id = f"{kind}.shop.{name}" + (f".v{version}" if version else "")
    declared = {column: {"data_type": data_type} for column, data_type in COLUMNS.items()}
    declared = {**declared, **(columns or {})}
    return {
        "unique_id": unique_id,
        "name": name,
        "version": version,
        "latest_version": 2 if version else None,
        "resource_type": kind,
        "relation_name": f'"db"."main"."{name}"',
        "original_file_path": f"models/{name}.sql",
        "patch_path": "shop://models/orders.yml",
        "columns": {column: {"name": column, **each} for column, each in declared.items()},
        "config": {"event_time": event_time, "contract": {"enforced": contract}, "meta": meta},
        "depends_on": {"nodes": []},
    }


def exposure(features, *, depends_on, **service):
    return {
        "unique_id": "exposure.shop.churn",
        "name": "churn",
        "type": "ml",
        "original_file_path": "models/ml.yml",
        "depends_on": {"nodes": depends_on},
        "config": {"meta": {"feature_service": {"features": features, **service}}},
    }


@pytest.fixture
def read(tmp_path):
    """Read a registry from nodes and exposures."""

    def read(*nodes, catalog=None, **metadata):
        manifest = {
            "metadata": {
                "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
                "generated_at": "2024-01-02T00:00:00Z",
                **metadata,
            },
            "nodes": {node["unique_id"]: node for node in nodes if not node["unique_id"].startswith("exposure")},
            "exposures": {node["unique_id"]: node for node in nodes if node["unique_id"].startswith("exposure")},
        }
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        if catalog is not None:
            (tmp_path / "catalog.json").write_text(json.dumps(catalog))
        found = read_manifest(tmp_path / "manifest.json")
        return read_registry(found, project="shop", catalog=tmp_path / "catalog.json")

    return read


CUSTOMER = {"entities": {"customer": "customer_id"}}


def test_rows_count_as_unique_and_indexed_only_where_something_says_so():
    relation = Relation(name="t", unique_id="model.shop.t", location=Location("models/t.yml", "t"), columns={})
    view = FeatureView(name="t", relation=relation, entities=(), features=())
    assert not view.is_unique
    assert not view.is_indexed


def test_the_least_that_makes_a_model_a_feature_view(read):
    view = read(model(feature_view=CUSTOMER)).feature_view("orders")
    assert (view.reference, view.join_keys, view.event_timestamp) == ("orders", ("customer_id",), "ordered_at")
    assert [each.name for each in view.features] == ["loaded_at", "spent", "email"]
    assert (view.history, view.ttl, view.lag, view.timezone, view.online) == (History.EVENTS, None, None, "UTC", True)


def test_a_model_without_the_block_is_none(read):
    assert read(model(), model("defaults", feature_view_defaults={"ttl": "1d"})).feature_views == {}


def test_a_views_own_settings_lie_over_the_defaults(read):
    defaults = {"ttl": "30d", "online": False, "created_timestamp": "loaded_at"}
    view = read(
        model(feature_view={**CUSTOMER, "online": True, "lag": "90m"}, feature_view_defaults=defaults)
    ).feature_view("orders")
    assert (view.ttl, view.online, view.created_timestamp) == (timedelta(days=30), True, "loaded_at")
    assert view.lag == timedelta(minutes=90)


def test_ttl_none_lifts_a_default(read):
    registry = read(model(feature_view={**CUSTOMER, "ttl": "none"}, feature_view_defaults={"ttl": "30d"}))
    assert registry.feature_view("orders").ttl is None


@pytest.mark.parametrize("kind", ["timeless", "latest_only"])
def test_views_without_an_age_ignore_a_default_ttl_and_refuse_one_of_their_own(read, kind):
    view = read(model(feature_view={**CUSTOMER, kind: True}, feature_view_defaults={"ttl": "30d"})).feature_view(
        "orders"
    )
    assert view.ttl is None
    with pytest.raises(DefinitionError, match=r"models/orders.yml: model.shop.orders: config.meta.feature_view.ttl: "):
        read(model(feature_view={**CUSTOMER, kind: True, "ttl": "30d"}))


def test_a_timeless_view_needs_no_event_time_and_others_do(read):
    assert read(model(event_time=None, feature_view={**CUSTOMER, "timeless": True})).feature_view("orders").times == ()
    with pytest.raises(DefinitionError, match=r"config.event_time: is missing.*timeless: true"):
        read(model(event_time=None, feature_view=CUSTOMER))


def test_a_day_must_say_when_it_is_complete(read):
    day = {"ordered_at": {"data_type": "date"}}
    with pytest.raises(DefinitionError, match="lag is missing: 'ordered_at' is a date"):
        read(model(columns=day, feature_view=CUSTOMER))
    for lag, duration in (("1d", timedelta(days=1)), ("0d", timedelta(0))):
        view = read(model(columns=day, feature_view={**CUSTOMER, "lag": lag})).feature_view("orders")
        assert view.lag == duration


def test_a_day_is_noticed_also_where_only_the_warehouse_knows_the_type(read):
    view = read(model(contract=False, feature_view={**CUSTOMER, "features": ["spent"]})).feature_view("orders")
    with pytest.raises(DefinitionError, match="lag is missing"):
        view.with_types({**COLUMNS, "ordered_at": "DATE"})


def test_without_a_contract_columns_are_never_pushed_by_accident(read):
    with pytest.raises(DefinitionError, match=r"features: \[loaded_at, spent, email\]"):
        read(model(contract=False, feature_view=CUSTOMER))
    view = read(model(contract=False, feature_view={**CUSTOMER, "features": ["spent"]})).feature_view("orders")
    assert [each.name for each in view.features] == ["spent"]


def test_feature_false_takes_a_column_out_and_default_answers_for_nobody(read):
    columns = {
        "email": {"data_type": "text", "config": {"meta": {"feature": False}}},
        "spent": {"data_type": "double", "config": {"meta": {"feature": {"default": 0.0}}}},
    }
    view = read(model(columns=columns, feature_view=CUSTOMER)).feature_view("orders")
    assert [(each.name, each.default) for each in view.features] == [("loaded_at", None), ("spent", 0.0)]
    with pytest.raises(DefinitionError, match="feature: false"):
        read(model(columns=columns, feature_view={**CUSTOMER, "features": ["email"]}))


def test_a_label_is_never_a_feature_of_a_view_or_a_service(read):
    label = {"data_type": "text", "config": {"meta": {"label": True}}}
    view = read(model(columns={"email": label}, feature_view=CUSTOMER)).feature_view("orders")
    assert "email" not in [each.name for each in view.features]
    with pytest.raises(DefinitionError, match=r"orders\.yml: .*features\.email: .*whose column has label: true"):
        read(model(columns={"email": label}, feature_view={**CUSTOMER, "features": ["email"]}))
    left_out = {"data_type": "text", "config": {"meta": {"feature": False}}}
    for column, mark in ((label, "label: true"), (left_out, "feature: false")):
        node = model(columns={"email": column}, feature_view=CUSTOMER)
        service = exposure({"orders": ["spent", "email"]}, depends_on=["model.shop.orders"])
        words = rf"ml\.yml: exposure\.shop\.churn: .*features\.orders\.email: .*columns\.email\.config\.meta\.{mark}"
        with pytest.raises(DefinitionError, match=words):
            read(node, service)
        with pytest.raises(RequestError, match=rf"orders\.yml: model\.shop\.orders: 'email' .*{mark}"):
            parse_features(["orders:email"], read(node))
    both = {"data_type": "text", "config": {"meta": {"label": True, "feature": {"default": ""}}}}
    with pytest.raises(DefinitionError, match=r"columns\.email\.config\.meta: has both label: true and feature"):
        read(model(columns={"email": both}, feature_view=CUSTOMER))


def test_only_config_meta_counts_at_a_column(read):
    columns = {"email": {"data_type": "text", "meta": {"feature": False}}}
    view = read(model(columns=columns, feature_view=CUSTOMER)).feature_view("orders")
    assert "email" in [each.name for each in view.features]


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        (
            {"feature_view": {**CUSTOMER, "feautres": ["spent"]}},
            "feature_view.feautres: unknown key; did you mean 'features'",
        ),
        (
            {"feature_view": CUSTOMER, "feature_view_defaults": {"tll": "1d"}},
            "defaults.tll: unknown key; did you mean 'ttl'",
        ),
        ({"feature_view": {"entities": {}}}, "entities: is missing"),
        ({"feature_view": {"entities": {"a": "customer_id", "b": "customer_id"}}}, "two entities share the column"),
        ({"feature_view": {"entities": {"a": ["customer_id", "customer_id"]}}}, "lists a name twice"),
        ({"feature_view": {**CUSTOMER, "timeless": True, "latest_only": True}}, "either timeless or latest only"),
        ({"feature_view": {**CUSTOMER, "lag": "2h", "ttl": "1h"}}, "1h is shorter than the lag of 2h"),
        ({"feature_view": {**CUSTOMER, "features": []}}, "must be a name or a list of names"),
        ({"feature_view": {**CUSTOMER, "known_at": 7}}, "known_at: must be a text"),
    ],
)
def test_a_block_that_makes_no_sense_is_refused(read, meta, message):
    with pytest.raises(DefinitionError, match=message):
        read(model(**meta))


def test_a_misspelt_column_block_is_refused(read):
    columns = {"spent": {"data_type": "double", "config": {"meta": {"feature": {"defautl": 0}}}}}
    with pytest.raises(DefinitionError, match=r"columns.spent.config.meta.feature.defautl: .*did you mean 'default'"):
        read(model(columns=columns, feature_view=CUSTOMER))


def test_keys_stand_by_the_names_of_their_entities_each_in_its_listed_order(read):
    entities = {"shop": ["email", "spent"], "customer": "customer_id"}
    view = read(model(feature_view={"entities": entities})).feature_view("orders")
    assert view.join_keys == ("customer_id", "email", "spent")


def test_a_snapshot_follows_dbts_own_settings(read):
    node = model(kind="snapshot", contract=False, event_time=None, feature_view={**CUSTOMER, "features": ["spent"]})
    node["config"] |= {
        "snapshot_meta_column_names": {"dbt_valid_from": "began", "dbt_valid_to": "ended", "dbt_is_deleted": "gone"},
        "dbt_valid_to_current": "'9999-12-31'",
        "hard_deletes": "new_record",
    }
    view = read(node).feature_view("orders")
    assert view.history is History.SNAPSHOT
    assert (view.event_timestamp, view.valid_to, view.is_deleted) == ("began", "ended", "gone")
    assert view.valid_to_current == "'9999-12-31'"


def test_an_unpinned_view_means_what_depends_on_resolved_and_warns(read):
    versions = [model(version=version, feature_view=CUSTOMER) for version in (1, 2)]
    features = {"orders": ["spent"]}
    registry = read(*versions, exposure(features, depends_on=["model.shop.orders.v1"]))
    (selection,) = registry.feature_services["churn"].selections
    assert selection.view.reference == "orders.v1"
    assert "orders is not pinned; it means orders.v1" in str(registry.warnings[0])
    assert registry.feature_view("orders").reference == "orders.v2"
    pinned = read(*versions, exposure({"orders.v1": ["spent"]}, depends_on=["model.shop.orders.v1"]))
    assert pinned.warnings == ()
    with pytest.raises(DefinitionError, match=r"several versions of orders; write orders.v1 or orders.v2"):
        read(*versions, exposure(features, depends_on=["model.shop.orders.v1", "model.shop.orders.v2"]))


def test_versions_of_one_view_stand_side_by_side_under_the_names_that_dbt_gives_their_tables(read):
    versions = [model(version=version, feature_view=CUSTOMER) for version in (1, 2)]
    depends_on = ["model.shop.orders.v1", "model.shop.orders.v2"]
    features = {"orders.v1": ["spent"], "orders.v2": ["email"]}
    service = read(*versions, exposure(features, depends_on=depends_on)).feature_services["churn"]
    assert [(each.alias, each.view.version) for each in service.selections] == [("orders_v1", "1"), ("orders_v2", "2")]
    both = {"orders.v1": ["spent"], "orders.v2": ["spent"]}
    full = read(*versions, exposure(both, depends_on=depends_on, full_names=True)).feature_services["churn"]
    assert full.feature_names == ("orders_v1__spent", "orders_v2__spent")
    with pytest.raises(DefinitionError, match="orders_v1 and orders_v2 both have a feature 'spent'"):
        read(*versions, exposure(both, depends_on=depends_on))


def test_no_two_entries_of_a_service_carry_one_name(read):
    views = [
        *(model(version=version, feature_view=CUSTOMER) for version in (1, 2)),
        model("refunds", feature_view=CUSTOMER),
    ]
    features = {"orders.v1": ["spent"], "orders.v2": ["email"], "orders_v1": {"view": "refunds", "features": ["spent"]}}
    depends_on = ["model.shop.orders.v1", "model.shop.orders.v2", "model.shop.refunds"]
    with pytest.raises(DefinitionError, match="two entries are called 'orders_v1'; give one of them another alias"):
        read(*views, exposure(features, depends_on=depends_on, full_names=True))


def test_an_alias_has_keys_of_its_own_and_full_names_tell_the_roles_apart(read):
    view = model(feature_view={"entities": {"customer": ["customer_id", "email"]}})
    roles = {
        "buyer": {"view": "orders", "keys": {"customer": ["buyer_id", "buyer_email"]}, "features": ["spent"]},
        "seller": {"view": "orders", "features": ["spent"]},
    }
    service = read(view, exposure(roles, depends_on=["model.shop.orders"], full_names=True)).feature_services["churn"]
    assert service.feature_names == ("buyer__spent", "seller__spent")
    assert service.join_keys == ("buyer_id", "buyer_email", "customer_id", "email")
    with pytest.raises(DefinitionError, match="both have a feature 'spent'; set full_names: true"):
        read(view, exposure(roles, depends_on=["model.shop.orders"]))
    roles["buyer"]["keys"] = {"customer": "buyer_id"}
    with pytest.raises(DefinitionError, match=r"customer has 2 join keys \(customer_id, email\), not 1"):
        read(view, exposure(roles, depends_on=["model.shop.orders"], full_names=True))


@pytest.mark.parametrize(
    ("config", "constraint", "is_unique", "is_indexed"),
    [
        pytest.param({}, None, False, False, id="nothing known"),
        pytest.param({}, ["customer_id", "ordered_at"], True, True, id="a key on the join key and the time"),
        pytest.param({}, ["customer_id"], True, False, id="a key on the join key alone"),
        pytest.param({}, ["ordered_at", "customer_id"], True, False, id="a key that begins with the time"),
        pytest.param({}, ["customer_id", "ordered_at", "email"], False, True, id="a key that needs more"),
        pytest.param({"materialized": "view"}, ["customer_id", "ordered_at"], False, False, id="a key on a view"),
        pytest.param({"contract": {}}, ["customer_id", "ordered_at"], False, False, id="a key without a contract"),
        pytest.param({"indexes": [{"columns": ["customer_id", "ordered_at"]}]}, None, False, True, id="an index"),
        pytest.param({"indexes": [{"columns": ["customer_id"]}]}, None, False, False, id="an index on the key alone"),
        pytest.param(
            {"indexes": [{"columns": ["customer_id", "ordered_at"], "type": "brin"}]}, None, False, False, id="a brin"
        ),
    ],
)
def test_what_the_warehouse_enforces_and_indexes_is_known(read, config, constraint, is_unique, is_indexed):
    node = model(feature_view={**CUSTOMER, "features": ["spent"]})
    node["config"] |= {"materialized": "table", **config}
    node["constraints"] = [{"type": "primary_key", "columns": constraint}] if constraint else []
    view = read(node, adapter_type="postgres").feature_view("orders")
    assert (view.is_unique, view.is_indexed) == (is_unique, is_indexed)
    elsewhere = read(node, adapter_type="bigquery").feature_view("orders")
    assert not elsewhere.is_unique


def test_wall_clocks_of_a_zone_that_turns_its_clocks_are_never_taken_for_unique_moments(read):
    node = model(feature_view={**CUSTOMER, "timezone": "Europe/Paris"})
    node["config"]["materialized"] = "table"
    node["constraints"] = [{"type": "unique", "columns": ["customer_id", "ordered_at"]}]
    assert not read(node, adapter_type="duckdb").feature_view("orders").is_unique


def test_a_fingerprint_changes_with_what_can_change_an_answer_and_not_with_words(read):
    features = {"orders": ["spent"]}

    def of(**settings):
        node = model(feature_view={**CUSTOMER, "ttl": "1d", **settings})
        return fingerprint(read(node, exposure(features, depends_on=["model.shop.orders"])).feature_services["churn"])

    described = model(feature_view={**CUSTOMER, "ttl": "1d", "online": False})
    described["description"] = "Orders."
    silent = read(described, exposure(features, depends_on=["model.shop.orders"])).feature_services["churn"]
    assert fingerprint(silent) == of() == of(ttl="24h")
    described["deprecation_date"] = "2020-06-30T00:00:00+00:00"
    deprecated = read(described, exposure(features, depends_on=["model.shop.orders"])).feature_services["churn"]
    assert deprecated.warnings
    assert fingerprint(deprecated) == of()
    others = [of(ttl="2d"), of(lag="1h"), of(timezone="Europe/Paris"), of(created_timestamp="loaded_at")]
    assert len({of(), *others}) == 5


FIELDS_THAT_DO_NOT_COUNT = {
    FeatureService: {"description", "owner", "location", "warnings"},
    Selection: set(),
    FeatureView: {"online", "latest_version", "deprecation_date", "is_unique", "is_indexed", "stream"},
    Entity: set(),
    Feature: set(),
    Relation: {"location", "description", "is_table"},
    Column: {"description", "is_label", "is_left_out"},
}


@pytest.mark.parametrize("definition", COUNTED, ids=lambda each: each.__name__)
def test_each_field_of_a_definition_is_known_to_count_in_fingerprints_or_not(definition):
    counted, others = set(COUNTED[definition]), FIELDS_THAT_DO_NOT_COUNT[definition]
    assert not counted & others
    assert counted | others == {each.name for each in fields(definition)}


def test_a_fingerprint_is_the_same_in_every_version_of_this_package():
    types = {"id": "bigint", "at": "timestamp", "spent": "double"}
    view = FeatureView(
        name="orders",
        relation=Relation(
            name='"db"."main"."orders"',
            unique_id="model.shop.orders",
            location=Location("models/orders.yml", "orders"),
            columns={name: Column(name=name, data_type=kind) for name, kind in types.items()},
        ),
        entities=(Entity(name="customer", join_keys=("id",)),),
        features=(Feature(name="spent", default=0.5),),
        event_timestamp="at",
        ttl=timedelta(days=1),
    )
    service = FeatureService(name="churn", selections=(selection_of(view),))
    assert view_fingerprint(view) == "00afa9704c1fe687ed7705ec2d88fba4b090df669ceb70b66ca4dc09fdef9eee"
    assert fingerprint(service) == "cabc455628f87b7d744ba905ec092a9c6180c4eabd9b80cf6e6919feaed161db"


def test_every_field_of_the_manifest_may_be_null_or_left_out(read):
    full = model(feature_view=CUSTOMER)
    for gone in ("version", "latest_version", "patch_path", "description", "depends_on"):
        with_null, without = {**full, gone: None}, {name: value for name, value in full.items() if name != gone}
        assert read(with_null).feature_view("orders").features == read(without).feature_view("orders").features
    assert read({**full, "unheard_of": {"a": 1}}).feature_view("orders").name == "orders"
    assert read({"unique_id": "model.shop.bare"}).feature_views == {}


def test_a_catalog_tells_types_only_while_it_is_as_young_as_the_manifest(read):
    node = model(contract=False, feature_view={**CUSTOMER, "features": ["spent"]})
    columns = {name: {"type": data_type} for name, data_type in COLUMNS.items()}
    catalog = {"nodes": {node["unique_id"]: {"columns": columns}}}
    young = read(node, catalog={**catalog, "metadata": {"generated_at": "2024-01-02T00:00:01Z"}}).feature_view("orders")
    assert young.relation.columns["spent"].data_type == "double"
    old = read(node, catalog={**catalog, "metadata": {"generated_at": "2024-01-01T00:00:00Z"}}).feature_view("orders")
    assert old.relation.columns["spent"].data_type is None


def test_the_warehouses_spelling_of_a_column_wins_whatever_its_case(read):
    view = read(model(contract=False, feature_view={**CUSTOMER, "features": ["spent"]})).feature_view("orders")
    typed = view.with_types({name.upper(): data_type for name, data_type in COLUMNS.items()})
    assert typed.relation.columns["spent"].stored_as == "SPENT"


def test_features_to_explore_are_written_view_colon_feature(read):
    registry = read(model(feature_view=CUSTOMER))
    (selection,) = parse_features(["orders:spent", " orders:email"], registry)
    assert selection.features == ("spent", "email")
    with pytest.raises(RequestError, match="write view:feature"):
        parse_features(["spent"], registry)
    with pytest.raises(RequestError, match="orders lists the feature 'spent' twice"):
        service_of(parse_features(["orders:spent", "orders:spent"], registry), name="mine")
    with pytest.raises(UnknownName, match="did you mean 'spent'"):
        parse_features(["orders:spend"], registry)


def test_features_to_explore_may_name_the_spine_s_keys_between_brackets(read):
    registry = read(model(feature_view={**CUSTOMER, "entities": {"customer": "customer_id"}}))
    text = "orders[customer=buyer]:spent, orders:email,orders[customer_id = buyer]:email"
    assert split_features(text) == ["orders[customer=buyer]:spent", "orders:email", "orders[customer_id = buyer]:email"]
    found = [(each.features, each.spine_keys) for each in parse_features(split_features(text), registry)]
    assert found == [(("spent", "email"), ("buyer",)), (("email",), ("customer_id",))]


def test_an_entity_of_several_columns_names_each_between_the_brackets(read):
    registry = read(model(feature_view={**CUSTOMER, "entities": {"customer": ["customer_id", "email"]}}))
    written = split_features("orders[email=mail,customer_id=buyer]:spent")
    assert [each.spine_keys for each in parse_features(written, registry)] == [("buyer", "mail")]
    with pytest.raises(UnknownName, match="no entity or join key of orders is called 'customer'"):
        parse_features(["orders[customer=buyer]:spent"], registry)


@pytest.mark.parametrize(
    ("written", "error", "message"),
    [
        pytest.param("orders[custmer=buyer]:spent", UnknownName, "did you mean 'customer'", id="an unknown entity"),
        pytest.param("orders[buyer]:spent", RequestError, "'buyer' is not a key of orders; write", id="no equals sign"),
        pytest.param("orders[]:spent", RequestError, "'' is not a key of orders", id="empty brackets"),
        pytest.param("orders[customer=]:spent", RequestError, "'customer=' is not a key of orders", id="no column"),
        pytest.param(
            "orders[customer=a,customer_id=b]:spent", RequestError, "customer_id of orders is given twice", id="twice"
        ),
        pytest.param("orders[customer=a:spent", RequestError, "is not a feature; write view:feature", id="left open"),
        pytest.param("orders[customer=a]spent", RequestError, "is not a feature; write view:feature", id="no colon"),
    ],
)
def test_keys_between_brackets_that_can_t_be_read_are_refused(read, written, error, message):
    with pytest.raises(error, match=re.escape(message)):
        parse_features([written], read(model(feature_view=CUSTOMER)))


@given(st.integers(0, 10_000), st.sampled_from("smhdw"))
def test_a_duration_reads_back_as_it_was_written(count, unit):
    duration = parse_duration(f"{count}{unit}")
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("duration", "text"),
    [("0d", "0s"), ("59s", "59s"), ("60s", "1m"), ("90m", "90m"), ("120m", "2h"), ("24h", "1d"), ("2w", "14d")],
)
def test_a_duration_is_written_in_the_largest_unit_that_divides_it(duration, text):
    assert format_duration(parse_duration(duration)) == text


NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        pytest.param({"sample": 1}, None, id="a sample of all rows"),
        pytest.param({"sample": 0}, "a sample of 0 is not a share", id="a sample of none"),
        pytest.param({"sample": 1.5}, "a sample of 1.5 is not a share", id="a sample of more than all"),
        pytest.param({"limit": 0}, None, id="no row"),
        pytest.param({"limit": -1}, "a limit of -1 rows", id="fewer rows than none"),
        pytest.param({"period": Period(NOON, NOON)}, None, id="one moment"),
        pytest.param({"period": Period(NOON, NOON - timedelta(seconds=1))}, "before it", id="a period backwards"),
        pytest.param({"period": Period(NOON, None)}, None, id="a period without an end"),
        pytest.param({"order_by": (Ordering("asked_at"),)}, None, id="a column of its own"),
        pytest.param({"order_by": (Ordering("asked"),)}, "asked", id="a column of no spine"),
    ],
)
def test_a_spine_takes_every_share_number_and_period_that_makes_sense(asked, refusal):
    columns = {"asked_at": Column(name="asked_at", data_type="timestamp")}
    relation = Relation(
        name="asked", unique_id="asked", location=Location("a.yml", "a"), columns=columns, columns_are_complete=True
    )
    spine = Spine(relation=relation, **asked)
    if refusal is None:
        assert spine.checked() is spine
    else:
        with pytest.raises((RequestError, UnknownName), match=refusal):
            spine.checked()


def test_two_features_whose_names_differ_in_case_alone_clash(read):
    shouted = model("refunds", columns={"SPENT": {"data_type": "double"}}, feature_view=CUSTOMER)
    clash = exposure(
        {"orders": ["spent"], "refunds": ["SPENT"]}, depends_on=["model.shop.orders", "model.shop.refunds"]
    )
    with pytest.raises(DefinitionError, match="orders and refunds both have a feature 'SPENT'"):
        read(model(feature_view=CUSTOMER), shouted, clash)


def test_a_service_consumes_the_version_that_it_names_and_no_other(read):
    versions = [model(version=version, feature_view=CUSTOMER) for version in (1, 2)]
    registry = read(*versions, exposure({"orders.v1": ["spent"]}, depends_on=["model.shop.orders.v1"]))
    found = {name: [each.name for each in registry.consumers(view)] for name, view in registry.feature_views.items()}
    assert found == {"orders.v1": ["churn"], "orders.v2": []}


@pytest.mark.parametrize("text", ["", "1", "d", "-1d", "1.5h", "1 month", "1d2h", "99999999999999999w"])
def test_anything_else_is_no_duration(text):
    with pytest.raises(ValueError, match=r"duration|longer than"):
        parse_duration(text)


def test_a_column_may_be_named_in_other_letters_than_the_table_s(read):
    """DuckDB, PostgreSQL and BigQuery ignore the case of names without quotes, and so does dbt's YAML."""
    renamed = {**CUSTOMER, "entities": {"customer": "CUSTOMER_ID"}, "features": ["Spent"]}
    view = read(model(contract=False, feature_view=renamed)).feature_view("orders")
    typed = view.with_types(COLUMNS)
    assert typed.relation.columns["CUSTOMER_ID"].stored_as == "customer_id"
    assert (typed.relation.columns["Spent"].stored_as, "spent" in typed.relation.columns) == ("spent", False)
    plain = read(model(feature_view=CUSTOMER)).feature_view("orders").relation
    both = plain.with_types({"customer_id": "int", "Customer_id": "int"}).with_spelling(["CUSTOMER_ID"])
    assert list(both.columns) == ["customer_id", "Customer_id"], "which of two is meant is not guessed"


def test_a_label_is_no_feature_in_other_letters_either(read):
    columns = {"spent": {"config": {"meta": {"label": True}}}}
    with pytest.raises(DefinitionError, match="lists 'SPENT', whose column has label: true"):
        read(model(contract=False, columns=columns, feature_view={**CUSTOMER, "features": ["SPENT"]}))
    with pytest.raises(DefinitionError, match="lists 'Customer_ID', which is a join key or a time of the view"):
        read(model(contract=False, feature_view={**CUSTOMER, "features": ["Customer_ID"]}))


@pytest.mark.parametrize(
    ("settings", "schema"),
    [({"schema": "shop", "dataset": "other"}, "shop"), ({"dataset": "shop"}, "shop"), ({}, "main")],
)
def test_the_schema_of_a_target_is_its_schema_its_dataset_or_main(settings, schema):
    assert Target(profile="p", name="n", adapter="a", settings=settings, project_dir=".").schema == schema


def test_a_path_that_is_no_folder_of_a_project_is_refused_soon_by_its_name(tmp_path):
    for number in range(5_000):
        (tmp_path / "disk" / str(number)).mkdir(parents=True)
    (tmp_path / "dbt_project.yml").write_text("name: shop\nmodel-paths: [disk]")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ProjectError, match=r"disk has more than 5,000 folders; .*model-paths"):
        read_project(str(tmp_path)).newer_sources(tmp_path / "manifest.json")
    (tmp_path / "disk" / "0").rmdir()
    assert read_project(str(tmp_path)).newer_sources(tmp_path / "manifest.json") == []
