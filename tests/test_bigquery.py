"""BigQuery's queries, read by Google's own analyzer against typed tables: what it refuses fails the test."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from feature_sync import FeatureStore
from feature_sync.definitions import (
    Column,
    Entity,
    Feature,
    FeatureView,
    History,
    Period,
    Relation,
    Spine,
    selection_of,
    service_of,
)
from feature_sync.errors import Location
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.push.latest import latest_rows, newest_event
from feature_sync.sql.push.state_schema import PushTables
from feature_sync.sql.push.states import StateTable
from feature_sync.sql.push.tables import ViewTables
from feature_sync.sql.render import render
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.training.point_in_time import training_query
from feature_sync.sql.training.time_bounds import earliest_answerable, moments_asked
from feature_sync.sql.view_query import ViewQuery
from tests.support.bigquery import GoogleSql, Refused
from tests.support.cases import cases
from tests.support.engines import examples
from tests.support.projects import EXAMPLE, BuiltProject, copy_project

SERVICE = "departure_delay_model"
BIGQUERY = dialect_named("bigquery")
NOW = datetime(2024, 1, 1, tzinfo=UTC)
EVERY_TYPE = {
    "whole": "INT64",
    "real": "FLOAT64",
    "words": "STRING",
    "flag": "BOOL",
    "exact": "NUMERIC(10, 2)",
    "exacter": "BIGNUMERIC",
    "day": "DATE",
    "instant": "TIMESTAMP",
    "clock": "DATETIME",
    "raw": "BYTES",
    "document": "JSON",
    "numbers": "ARRAY<INT64>",
    "moments": "ARRAY<TIMESTAMP>",
    "pair": "STRUCT<day DATE, amount NUMERIC>",
    "pairs": "ARRAY<STRUCT<at TIMESTAMP, name STRING>>",
}
KEYS = {"shop": "STRING", "item": "INT64", "price": "NUMERIC", "since": "DATETIME", "born": "DATE", "is_open": "BOOL"}


@pytest.fixture(scope="module")
def google():
    return GoogleSql()


def relation(name: str, types: dict[str, str], **settings) -> Relation:
    columns = {each: Column(name=each, data_type=kind) for each, kind in types.items()}
    return Relation(
        name=f"`a-project`.`shop`.`{name}`",
        unique_id=f"model.shop.{name}",
        location=Location("shop.yml", name),
        columns=columns,
        columns_are_complete=True,
        **settings,
    )


def view_of(event_time: str = "TIMESTAMP", **settings) -> FeatureView:
    """A view with a feature of every type."""
    times = {"event_timestamp": "seen_at", "created_timestamp": "loaded_at", **settings}
    types = {**KEYS, **EVERY_TYPE, "seen_at": event_time, "loaded_at": "DATETIME", "ended_at": "TIMESTAMP"}
    return FeatureView(
        name="everything",
        relation=relation("everything", types),
        entities=(Entity(name="thing", join_keys=tuple(KEYS)),),
        features=tuple(Feature(name=name) for name in EVERY_TYPE),
        **times,
    )


ASKS = Spine(relation=relation("asks", {**KEYS, "label": "JSON", "asked_at": "DATETIME"}, event_time="asked_at"))
VIEWS = {
    "instants": view_of(),
    "clocks": view_of("DATETIME", timezone="Europe/Paris", lag=timedelta(hours=1), ttl=timedelta(days=30)),
    "days": view_of("DATE", timezone="America/New_York", lag=timedelta(days=1)),
    "bitemporal": view_of(known_at="loaded_at", lag=timedelta(minutes=5)),
    "snapshot": view_of("DATETIME", history=History.SNAPSHOT, valid_to="ended_at", ttl=timedelta(days=30)),
    "current": view_of(history=History.SNAPSHOT, valid_to="ended_at", valid_to_current="timestamp('9999-12-31')"),
    "timeless": view_of(history=History.TIMELESS, event_timestamp=None, created_timestamp=None),
    "unique": view_of(is_unique=True),
}


@pytest.fixture(params=VIEWS)
def view(request):
    return VIEWS[request.param]


def training(view: FeatureView, spine: Spine, **options) -> str:
    join = PointInTimeJoin(service_of([selection_of(view)], name="all"), spine, dialect=BIGQUERY)
    return render(training_query(join, **options), dialect=BIGQUERY)


# What the analyzer takes


def test_a_training_set_may_hold_every_type(google, view):
    google.load(view.relation, [])
    google.load(ASKS.relation, [])
    spine = replace(ASKS, period=Period(NOW, NOW), sample=0.5, limit=10)
    for query in (training(view, ASKS), training(view, spine), training(view, ASKS, asked=Period(NOW, NOW))):
        found = google.analyse(query)
        assert list(found) == [*ASKS.relation.columns, *EVERY_TYPE]
        assert (found["exacter"], found["pairs"], found["clock"]) == ("BIGNUMERIC", "ARRAY", "DATETIME")


@pytest.mark.parametrize("order_by", ["asked_at desc, shop", "item", "price desc"])
def test_a_spine_may_be_ordered_either_way(google, order_by):
    from feature_sync.definitions.spine import parse_ordering

    google.load(VIEWS["instants"].relation, [])
    google.load(ASKS.relation, [])
    for limit in (None, 3):
        google.analyse(training(VIEWS["instants"], replace(ASKS, order_by=parse_ordering(order_by), limit=limit)))


def test_what_a_push_and_an_extract_ask_beforehand_is_taken_too(google, view):
    google.load(view.relation, [])
    google.load(ASKS.relation, [])
    query = ViewQuery(view, dialect=BIGQUERY)
    newest = google.analyse(render(latest_rows(query, now=NOW), dialect=BIGQUERY))
    assert {newest[name] for name in ("whole", "day", "instant", "clock", "born", "since")} == {"INT64"}
    assert {newest[name] for name in ("exact", "exacter", "words", "document", "price")} == {"STRING"}
    service = service_of([selection_of(view)], name="all")
    join = PointInTimeJoin(service, ASKS, dialect=BIGQUERY)
    asked = google.analyse(render(moments_asked(join), dialect=BIGQUERY))
    assert asked == {"first_asked": "INT64", "last_asked": "INT64"}
    if view.event_timestamp is not None:
        last = google.analyse(render(newest_event(query), dialect=BIGQUERY))
        assert last == {"newest": "INT64"}
        first = google.analyse(render(earliest_answerable(join), dialect=BIGQUERY))
        assert first == {"view": "STRING", "first_available": "INT64"}


TABLES = PushTables("shop_feature_sync")
STATE = StateTable(TABLES, BIGQUERY)


def written(statement) -> str:
    return render(statement, dialect=BIGQUERY, database="a-project")


def keep_state(google) -> None:
    create_schema, create_state = STATE.create(has_schema=False)
    google.analyse_statement(written(create_schema))
    google.analyse_statement(written(create_state))
    columns = ("feature_view", "online_store", "content")
    state = exp.select(*(exp.cast(exp.null(), "text").as_(name) for name in columns))
    google.keep(
        "`a-project`.shop_feature_sync.state", written(state.select(exp.cast(exp.null(), "bigint").as_("revision")))
    )


def test_a_state_is_written_and_forgotten_by_statements_that_are_taken(google):
    keep_state(google)
    google.analyse_statement(written(STATE.write("shop:everything", "a-redis", 0, "{}")))
    google.analyse_statement(written(STATE.write("it's", "a-redis", 1, '{"at": "\\n"}')))
    google.analyse_statement(written(STATE.forget("shop:everything", "a-redis")))
    google.analyse(written(STATE.read("shop:everything", "a-redis")))
    google.analyse_statement(written(TABLES.drop("everything_rows_1")))
    with pytest.raises(Refused, match="content"):
        google.analyse_statement(written(STATE.write("v", "r", 0, "{}")).replace("`content`", "`contents`"))


def test_every_statement_of_a_push_is_taken(google, view):
    google.load(view.relation, [])
    asked = ViewQuery(view, dialect=BIGQUERY, asked=Period(NOW, NOW))
    tables = ViewTables(TABLES, asked)
    (create,) = tables.create_rows("rows_1", now=NOW)
    changed = tables.create_rows_and_changes("rows_2", "rows_1", None, now=NOW)
    after_a_crash = tables.create_rows_and_changes("rows_3", "rows_1", "rows_2", now=NOW)
    for name, statement in (("rows_1", create), ("rows_2", changed), ("rows_3", after_a_crash)):
        google.analyse_statement(written(statement))
        google.keep(f"`a-project`.shop_feature_sync.{name}", written(statement.expression))
    for preview in (None, "rows_2"):
        changes = tables.changes(tables.fresh(now=NOW), "rows_1", preview, now=NOW)
        google.analyse(written(tables.rows_to_write(changes, of_changes=True)))
        google.analyse(written(tables.count_changes(changes)))
    google.analyse(written(tables.count_changes("rows_2")))
    google.analyse(written(tables.count_were_alive("rows_2")))
    sent = google.analyse(written(tables.rows_to_write("rows_2", of_changes=True)))
    assert {sent[name] for name in ("whole", "day", "instant", "clock", "born", "since")} == {"INT64"}
    google.analyse(written(tables.rows_to_write("rows_2", of_changes=False)))
    google.analyse(written(tables.keys_to_delete("rows_2")))
    google.analyse(written(tables.count_rows("rows_1", now=NOW)))
    google.analyse(written(tables.summary("rows_1", now=NOW)))
    google.analyse(written(tables.some_keys("rows_1", now=NOW, size=10)))
    google.analyse(written(latest_rows(asked, now=NOW, sample=10)))
    (keep,) = tables.keep("rows_1")
    google.analyse_statement(written(keep))


@examples(12)
@given(data=st.data())
def test_the_newest_rows_of_generated_views_are_taken(google, data):
    case = data.draw(cases("bigquery"))
    for selection in case.service.selections:
        google.load(selection.view.relation, case.tables[selection.view.reference])
        query = ViewQuery(selection.view, dialect=BIGQUERY)
        assert len(google.fetch(render(latest_rows(query, now=NOW), dialect=BIGQUERY))) <= len(
            case.tables[selection.view.reference]
        )


def test_the_example_is_written_for_bigquery(google, tmp_path, monkeypatch):
    folder = copy_project(EXAMPLE, tmp_path / "example")
    BuiltProject(folder, "bigquery").dbt("--quiet", "parse")
    options = {"profiles_dir": str(folder / "profiles"), "target": "bigquery"}
    with FeatureStore.open(folder, **options) as store:
        service = store.registry.feature_services[SERVICE]
        training_set = store.get_training_set(SERVICE, "departures", since="2013-01-05", sample=0.1)
        for selection in service.selections:
            google.load(selection.view.relation, [])
        google.load(training_set.spine.relation, [])
        found = google.analyse(training_set.sql)
    assert list(found) == [*training_set.spine.relation.columns, *service.feature_names]


def test_the_range_asked_is_a_literal_on_the_raw_column_so_that_partitions_are_pruned():
    asked = Period(datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 2, tzinfo=UTC))
    instants = training(view_of(ttl=timedelta(days=1), lag=timedelta(hours=1)), ASKS, asked=asked)
    assert "`seen_at` >= CAST('2024-02-29 00:00:00.000000+00:00' AS TIMESTAMP)" in instants
    assert "`seen_at` <= CAST('2024-03-01 23:00:00.000000+00:00' AS TIMESTAMP)" in instants
    days = training(view_of("DATE", lag=timedelta(days=1)), ASKS, asked=asked)
    assert "`seen_at` <= CAST('2024-03-02' AS DATE)" in days


def test_no_step_has_a_dot_in_its_name_which_bigquery_would_take_for_a_data_set():
    selection = replace(selection_of(VIEWS["instants"]), alias="a.role")
    query = training_query(PointInTimeJoin(service_of([selection], name="all"), ASKS, dialect=BIGQUERY))
    assert all("." not in step.alias for step in query.ctes)


# What the analyzer refuses


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        pytest.param("select wholes from things", "Unrecognized name: wholes", id="a column that is not there"),
        pytest.param("select 1 from thing", "Table not found", id="a table that is not there"),
        pytest.param("select epoch_us(instant) from things", "Function not found", id="another warehouse's function"),
        pytest.param("select instant > clock from things", "TIMESTAMP, DATETIME", id="an instant against a clock"),
        pytest.param("select greatest(instant, clock) from things", "No matching signature", id="both in greatest"),
        pytest.param("select words = whole from things", "No matching signature", id="text against a number"),
        pytest.param("select day - day + 1 from things", "No matching signature", id="days as a number"),
        pytest.param("select clock at time zone 'UTC' from things", "Syntax error", id="another warehouse's zones"),
        pytest.param("select whole::string from things", "Syntax error", id="another warehouse's casts"),
        pytest.param("select cast(document as string) from things", "Invalid cast", id="JSON cast to text"),
        pytest.param("select document = document from things", "not defined for arguments of type JSON", id="JSON =="),
        pytest.param("select numbers = numbers from things", "of type ARRAY", id="arrays compared"),
        pytest.param("select 1 from things order by document", "JSON", id="ordering by JSON"),
        pytest.param("select 1 from things order by numbers", "ARRAY", id="ordering by an array"),
        pytest.param("select 1 from things order by pair", "STRUCT", id="ordering by a struct"),
        pytest.param("select row_number() over (order by document) from things", "JSON", id="numbering by JSON"),
        pytest.param("select row_number() over (order by numbers) from things", "ARRAY", id="numbering by an array"),
        pytest.param("select distinct document from things", "JSON", id="distinct JSON"),
        pytest.param("select distinct numbers from things", "ARRAY", id="distinct arrays"),
        pytest.param("select document from things group by document", "JSON", id="grouping by JSON"),
        pytest.param("select 1 from things group by numbers", "ARRAY", id="grouping by an array"),
        pytest.param("select max(whole) over (partition by real) from things", "FLOAT64", id="a float as a partition"),
        pytest.param("select max(whole) over (partition by document) from things", "JSON", id="JSON as a partition"),
        pytest.param("select least(numbers, numbers) from things", "LEAST is not defined", id="the least array"),
        pytest.param(
            "select * from things t asof join things u on t.whole >= u.whole", "Syntax error", id="an ASOF join"
        ),
        pytest.param("select * from things, lateral (select 1)", "LATERAL join is not supported", id="a LATERAL join"),
    ],
)
def test_the_analyzer_refuses_what_bigquery_does_not_know(google, query, reason):
    things = relation("things", EVERY_TYPE)
    google.load(replace(things, name="things"), [])
    with pytest.raises(Refused, match=reason):
        google.analyse(query)
