"""What a plan says of an edit: of its views, features, entities and services; what is not named is the same."""

from __future__ import annotations

import copy
import json

import pytest

from feature_sync import FeatureStore, ProjectError
from tests.support.plans import Edit, base, node, plan_of, verdicts, view

ALL_ORDERS = dict.fromkeys(("orders", "orders.n", "orders.total", "orders.country", "churn"), "may change")
ALL_SPEND = dict.fromkeys(("spend", "spend.amount", "spend.quantity", "value"), "may change")
ALL_DEDUPED = dict.fromkeys(("deduped", "deduped.last_price"), "may change")
EVERYTHING = {**ALL_ORDERS, **ALL_SPEND, **ALL_DEDUPED}
BROKEN_ORDERS = {
    **dict.fromkeys(("orders", "orders.n", "orders.total", "churn"), "breaking churn"), "orders.country": "re-push",
}  # fmt: skip
CONTRACT = {"contract": {"enforced": True}}
TYPED = {
    name: {"name": name, "data_type": kind}
    for name, kind in (("customer", "bigint"), ("placed_at", "timestamp"), ("amount", "double"), ("quantity", "bigint"))
}


def typed(edit: Edit, **types: str) -> Edit:
    columns = {name: {**TYPED[name], "data_type": types.get(name, TYPED[name]["data_type"])} for name in TYPED}
    return edit.config("spend", **CONTRACT).put("model.shop.spend", columns=columns)


def without(name: str) -> Edit:
    edit = Edit()
    del edit.nodes[f"model.shop.{name}"]
    return edit


EDITS = {
    # The same, however it is written.
    "nothing": (Edit(), {}),
    "comments and spaces": (Edit().sql("orders", "select\n", "-- counts\nselect /* all */   "), {}),
    "a CTE is renamed": (Edit().sql("orders", "recent", "latest"), {}),
    "an alias is renamed": (Edit().sql("orders", "countries.", "c.").sql("orders", "as countries", "as c"), {}),
    "AND is turned round": (
        Edit().sql("staged", "price is not null and quantity > 0", "quantity > 0 and price is not null"), {},
    ),
    "a join is turned round": (
        Edit().sql("orders", "recent.country = countries.code", "countries.code = recent.country"), {},
    ),
    "a comparison is turned round": (Edit().sql("staged", "quantity > 0", "0 < quantity"), {}),
    "a condition that is always true": (Edit().sql("orders", "price > 1", "price > 1 and 1 = 1"), {}),
    "GROUP BY by position": (Edit().sql("orders", "group by recent.customer, recent.placed_at", "group by 1, 2"), {}),
    "a product is turned round": (Edit().sql("spend", "price * quantity", "quantity * price"), {}),
    "a CTE that nothing reads": (Edit().sql("orders", "with recent", "with spare as (select 1 as x), recent"), {}),
    "a column of a CTE that nothing reads": (
        Edit().sql("orders", "price, country from", "price, country, quantity as spare from"), {},
    ),
    "a query that only selects": (
        Edit().sql("spend", "select customer", "select * from (select customer").sql("spend", '"staged"', '"staged")'),
        {},
    ),
    "an alias beside ROW_NUMBER": (Edit().sql("deduped", "ranked", "r"), {}),
    "a description, an owner, a test": (
        Edit().put("model.shop.spend", description="new").put("test.shop.t", resource_type="test", name="t"), {},
    ),
    "a deprecation": (Edit().put("model.shop.spend", deprecation_date="2030-01-01"), {}),
    "a table instead of a view": (Edit().config("staged", materialized="view"), {}),
    # Values or rows.
    "an expression": (
        Edit().sql("orders", "sum(recent.price)", "avg(recent.price)"),
        {"orders": "may change", "orders.total": "may change", "churn": "may change"},
    ),
    "an expression that no service reads": (
        Edit().sql("orders", "max(countries.name)", "min(countries.name)"),
        {"orders": "may change", "orders.country": "may change"},
    ),
    "a filter": (Edit().sql("orders", "price > 1", "price >= 1"), ALL_ORDERS),
    "a join": (Edit().sql("orders", "left join", "join"), ALL_ORDERS),
    "a grouping": (Edit().sql("orders", "group by recent.customer, recent.placed_at", "group by all"), ALL_ORDERS),
    "a filter above everything": (Edit().sql("staged", "quantity > 0", "quantity > 1"), EVERYTHING),
    "a column above that some features read": (
        Edit().sql("staged", "price, quantity,", "price, quantity + 1 as quantity,"),
        {"spend": "may change", "spend.amount": "may change", "spend.quantity": "may change", "value": "may change"},
    ),
    "a column above that a filter reads": (
        Edit().sql("staged", "placed_at, price", "placed_at, price + 1 as price"),
        {**ALL_ORDERS, **ALL_SPEND, **ALL_DEDUPED, "spend.quantity": None},
    ),
    "the order of ROW_NUMBER": (Edit().sql("deduped", "placed_at desc", "placed_at"), ALL_DEDUPED),
    "AND beside ROW_NUMBER": (Edit().sql("deduped", "place = 1", "1 = place"), ALL_DEDUPED),
    "coalesce is turned round": (
        Edit().sql("spend", "quantity from", "coalesce(quantity, price) as quantity from"),
        {"spend": "may change", "spend.quantity": "may change"},
    ),
    "the rows of a seed": (
        Edit().put("seed.shop.countries", checksum={"name": "sha256", "checksum": "b" * 64}), ALL_ORDERS,
    ),
    "the event time": (
        Edit().config("spend", event_time="customer"),
        {**dict.fromkeys(("spend", "spend.amount", "value"), "breaking value"), "spend.quantity": "re-push"},
    ),
    # What cannot be told.
    "no compiled SQL": (
        Edit().put("model.shop.spend", compiled_code=None),
        dict.fromkeys(ALL_SPEND, "cannot tell"),
    ),
    "SQL that is not understood": (
        Edit().sql("spend", "select customer", "pivot x on y using sum(z) -- "),
        dict.fromkeys(ALL_SPEND, "cannot tell"),
    ),
    # Definitions.
    "a feature is added": (
        Edit().block("spend", features=["amount", "quantity", "price"]),
        {"spend": "re-push", "spend.price": "safe"},
    ),
    "a view is added": (
        Edit().put("model.shop.more", **view("more", "select 1", [], ["x"])), {"more": "safe", "more.x": "safe"},
    ),
    "a service is added": (Edit().service("new", {"spend": ["amount"]}), {"new": "safe"}),
    "a feature that nothing reads is removed": (
        Edit().block("spend", features=["amount"]), {"spend": "re-push", "spend.quantity": "safe"},
    ),
    "a feature is removed, from its service too": (
        Edit().block("orders", features=["n", "country"]).service("churn", {"orders": ["n"]}),
        {"orders": "breaking churn", "orders.total": "breaking churn", "churn": "breaking churn"},
    ),
    "a longer TTL": (Edit().block("orders", ttl="30d"), {"orders": "re-push"}),
    "no TTL": (Edit().block("orders", ttl="none"), {"orders": "re-push"}),
    "a shorter TTL": (Edit().block("orders", ttl="1d"), BROKEN_ORDERS),
    "a lag": (Edit().block("orders", lag="1h"), BROKEN_ORDERS),
    "a shorter TTL that no service notices": (
        Edit().block("deduped", ttl="1d"), {"deduped": "re-push"},
    ),
    "another zone": (Edit().block("orders", timezone="Europe/Paris"), BROKEN_ORDERS),
    "known_at": (Edit().block("orders", known_at="placed_at"), BROKEN_ORDERS),
    "another key": (
        Edit().block("orders", entities={"customer": "n"}, features=["total", "country"])
        .service("churn", {"orders": ["total"]}),
        {**BROKEN_ORDERS, "customer": "breaking churn"},
    ),
    "another entity": (
        Edit().block("orders", entities={"buyer": "customer"}),
        {**BROKEN_ORDERS, "customer": "breaking churn", "buyer": "safe"},
    ),
    "a default": (
        Edit().put("model.shop.orders", columns={"n": {"name": "n", "config": {"meta": {"feature": {"default": 0}}}}}),
        {"orders": "breaking churn", "orders.n": "breaking churn", "churn": "breaking churn"},
    ),
    "offline": (Edit().block("orders", online=False), BROKEN_ORDERS | {"orders.country": "safe"}),
    "another table": (
        Edit().put("model.shop.orders", relation_name='"prod"."main"."orders_new"'), {"orders": "re-push"},
    ),
    # Streams.
    "a stream is added": (Edit().block("spend", stream={"topic": "orders"}), {"spend": "safe"}),
    # Services.
    "a service reads less": (Edit().service("churn", {"orders": ["n"]}), {"churn": "breaking churn"}),
    "a service reads more": (Edit().service("churn", {"orders": ["n", "total", "country"]}), {"churn": "safe"}),
    "a service changes the order": (Edit().service("churn", {"orders": ["total", "n"]}), {"churn": "breaking churn"}),
    "a service writes full names": (
        Edit().service("churn", {"orders": ["n", "total"]}, full_names=True), {"churn": "breaking churn"},
    ),
    "a service asks for another key": (
        Edit().service("churn", {"o": {"view": "orders", "keys": {"customer": "buyer"}, "features": ["n", "total"]}}),
        {"churn": "breaking churn"},
    ),
    "a service takes another feature by the same name": (
        Edit().block("spend", features=["amount", "quantity", "total"])
        .service("churn", {"orders": ["n"], "spend": ["total"]}),
        {"churn": "breaking churn", "spend": "re-push", "spend.total": "safe"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_has_the_verdict(tmp_path, case):
    edit, expected = EDITS[case]
    plan = plan_of(tmp_path, base(), edit.manifest)
    assert verdicts(plan) == {name: verdict for name, verdict in expected.items() if verdict is not None}


STREAM = {"topic": "orders", "dead_letter_topic": "dead"}


@pytest.mark.parametrize(
    ("stream", "verdict", "text"),
    [
        pytest.param(STREAM, "same", None, id="nothing"),
        pytest.param(None, "re-push", "no longer streams the topic orders", id="removed"),
        pytest.param({**STREAM, "topic": "sales"}, "re-push", "streams the topic sales instead of orders", id="topic"),
        pytest.param({**STREAM, "columns": {"amount": "sum"}}, "may change", "stream.columns changes", id="mapping"),
        pytest.param({**STREAM, "format": "avro"}, "may change", "stream.format changes", id="format"),
        pytest.param({"topic": "orders"}, "safe", "dead letters go elsewhere", id="dead letters"),
    ],
)
def test_what_becomes_of_a_stream_is_said(tmp_path, stream, verdict, text):
    plan = plan_of(
        tmp_path, Edit().block("spend", stream=STREAM).manifest, Edit().block("spend", stream=stream).manifest
    )
    spend = next(each for each in plan.feature_views if each.name == "spend")
    assert spend.verdict == verdict
    assert [each.text.startswith(text) for each in spend.reasons] == ([True] if text else [])


def test_there_are_forty_edits():
    assert len(EDITS) >= 40


def test_a_view_that_is_removed_breaks_what_read_it(tmp_path):
    gone = without("orders")
    del gone.manifest["exposures"]["churn"]
    removed = verdicts(plan_of(tmp_path, base(), gone.manifest))
    assert {name: each for name, each in removed.items() if name != "orders.country"} == dict.fromkeys(
        ("orders", "orders.n", "orders.total", "churn", "customer"), "breaking churn"
    )
    assert removed["orders.country"] == "safe"
    assert verdicts(plan_of(tmp_path, base(), without("deduped").manifest)) == {
        "deduped": "safe", "deduped.last_price": "safe", "customer": "safe",
    }  # fmt: skip


def test_a_view_that_is_disabled_or_renamed_says_so(tmp_path):
    gone = without("deduped")
    gone.manifest["disabled"] = {"model.shop.deduped": [{}]}
    (view_of,) = [each for each in plan_of(tmp_path, base(), gone.manifest).feature_views if each.name == "deduped"]
    assert view_of.reasons[0].text == "is disabled"
    gone.nodes["model.shop.newest"] = view("newest", "select 1", [], ["last_price"])
    plan = plan_of(tmp_path, base(), gone.manifest)
    (new,) = [each for each in plan.feature_views if each.name == "newest"]
    assert new.reasons[0].text == "is new, with the features of deduped: a renamed view is another one to its readers"


def test_a_new_version_breaks_nothing(tmp_path):
    edit = Edit()
    for name, version in (("orders_v1", 1), ("orders_v2", 2)):
        of = view(name, base()["nodes"]["model.shop.orders"]["compiled_code"], [], ["n", "total", "country"])
        of |= {"name": "orders", "unique_id": f"model.shop.orders.v{version}", "version": version, "latest_version": 2}
        edit.nodes[of["unique_id"]] = of
    del edit.nodes["model.shop.orders"], edit.manifest["exposures"]["churn"]
    old = copy.deepcopy(edit.manifest)
    del old["nodes"]["model.shop.orders.v2"]
    assert set(verdicts(plan_of(tmp_path, old, edit.manifest)).values()) == {"safe"}


def test_a_retyped_feature_breaks_the_services_that_read_it(tmp_path):
    before = typed(Edit()).manifest
    assert verdicts(plan_of(tmp_path, before, typed(Edit(), amount="float8").manifest)) == {}
    assert verdicts(plan_of(tmp_path, before, typed(Edit(), amount="decimal(10, 2)").manifest)) == {
        "spend": "breaking value", "spend.amount": "breaking value", "value": "breaking value",
    }  # fmt: skip
    assert verdicts(plan_of(tmp_path, before, typed(Edit(), quantity="text").manifest)) == {
        "spend": "re-push", "spend.quantity": "re-push",
    }  # fmt: skip
    retyped = verdicts(plan_of(tmp_path, before, typed(Edit(), customer="text").manifest))
    assert (retyped["spend"], retyped["customer"]) == ("breaking value", "breaking value")


def incremental(raw: str) -> Edit:
    return Edit().config("spend", materialized="incremental").put("model.shop.spend", raw_code=raw)


def test_an_incremental_model_has_a_branch_that_dbt_did_not_compile(tmp_path):
    before = incremental("select {% if is_incremental() %} 1 {% endif %}").manifest
    spaced = incremental("select  {% if is_incremental() %}\n 1 {% endif %}").manifest
    assert verdicts(plan_of(tmp_path, before, spaced)) == {}
    other = incremental("select {% if is_incremental() %} 2 {% endif %}").manifest
    assert verdicts(plan_of(tmp_path, before, other)) == dict.fromkeys(ALL_SPEND, "cannot tell")
    strategy = copy.deepcopy(before)
    strategy["nodes"]["model.shop.spend"]["config"]["unique_key"] = "customer"
    assert verdicts(plan_of(tmp_path, before, strategy)) == ALL_SPEND


def test_a_python_model_cannot_be_told(tmp_path):
    def python(code):
        made = node("staged", code, ["source.shop.shop.events"], language="python")
        return Edit().put("model.shop.staged", **made).manifest

    assert verdicts(plan_of(tmp_path, python("def model(dbt, s): ..."), python("def model(dbt, s): ..."))) == {}
    changed = verdicts(plan_of(tmp_path, python("def model(dbt, s): ..."), python("def model(dbt, s): return 1")))
    assert changed == dict.fromkeys(EVERYTHING, "cannot tell")


def test_another_environment_is_no_change(tmp_path):
    def moved(database, schema):
        text = json.dumps(base()).replace('\\"prod\\".\\"main\\"', f'\\"{database}\\".\\"{schema}\\"')
        text = text.replace('"schema": "main"', f'"schema": "{schema}"')
        return json.loads(text.replace('\\"raw\\".\\"shop\\"', f'\\"{database}\\".\\"{schema}\\"')
                          .replace('"schema": "shop"', f'"schema": "{schema}"'))  # fmt: skip

    assert verdicts(plan_of(tmp_path, moved("prod", "main"), moved("dev", "ana"))) == {}
    other = moved("prod", "main")
    other["sources"]["source.shop.shop.events"] |= {"identifier": "events_2"}
    assert verdicts(plan_of(tmp_path, moved("prod", "main"), other)) == EVERYTHING


def test_a_star_is_followed_through_models(tmp_path):
    def starred(more):
        sql = 'select * from "prod"."main"."middle"'
        edit = Edit().put(
            "model.shop.middle", **node("middle", f"select *{more} from ({base_sql('spend')})", ["model.shop.staged"])
        )
        return edit.put("model.shop.spend", compiled_code=sql, depends_on={"nodes": ["model.shop.middle"]}).manifest

    assert verdicts(plan_of(tmp_path, starred(""), starred(", 1 as more"))) == {}
    above = starred("")
    above["nodes"]["model.shop.staged"]["compiled_code"] = above["nodes"]["model.shop.staged"]["compiled_code"].replace(
        "price, quantity", "price, quantity + 1 as quantity"
    )
    assert verdicts(plan_of(tmp_path, starred(""), above)) == ALL_SPEND


def base_sql(name):
    return base()["nodes"][f"model.shop.{name}"]["compiled_code"]


def test_a_reason_names_the_node_where_the_change_begins(tmp_path):
    edit = Edit().sql("staged", "quantity > 0", "quantity > 1")
    plan = plan_of(tmp_path, base(), edit.manifest)
    assert {each.text for view_of in plan.feature_views for each in view_of.reasons} == {
        "staged may have other rows: its SQL changes beside its columns"
    }


@pytest.mark.parametrize(("state", "message"), [
    ("nowhere", "nowhere/manifest.json is missing; --state names a folder with the manifest.json of another state"),
    ("bad", "manifest.json is truncated or not JSON"),
    ("wrong", "has a definition that cannot be read: models/orders.sql"),
    ("bigquery", "was written for bigquery, but the project's manifest for duckdb: their SQL cannot be compared"),
])  # fmt: skip
def test_a_state_that_cannot_be_compared_is_an_error_that_names_it(tmp_path, state, message):
    plan_of(tmp_path, base(), base())
    other = base()
    other["metadata"]["adapter_type"] = "bigquery" if state == "bigquery" else "duckdb"
    wrong = Edit().block("orders", ttl="soon").manifest
    texts = {"bad": "{", "wrong": json.dumps(wrong), "bigquery": json.dumps(other)}
    if state in texts:
        (tmp_path / state).mkdir()
        (tmp_path / state / "manifest.json").write_text(texts[state])
    with FeatureStore.open(tmp_path, profiles_dir=str(tmp_path)) as store, pytest.raises(ProjectError) as refused:
        store.plan(tmp_path / state)
    assert message.replace("--state", "state=") in str(refused.value).replace("--state", "state=")


def test_a_warehouse_that_cannot_be_reached_fails_no_plan(tmp_path):
    plan = plan_of(tmp_path, base(), Edit().block("orders", ttl="30d").manifest, use_warehouse=True)
    (orders,) = [each for each in plan.feature_views if each.name == "orders"]
    assert orders.estimate is None
    assert "shop.duckdb" in orders.no_estimate
