"""Wide services: 50 views and 500 features in one query, of one entity and of fifty."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlglot import exp

from feature_sync.definitions import (
    Column,
    Entity,
    Feature,
    FeatureService,
    FeatureView,
    History,
    Relation,
    Selection,
    Spine,
)
from feature_sync.errors import Location, RequestError
from feature_sync.sql.dialects import DIALECTS
from feature_sync.sql.push.latest import latest_rows
from feature_sync.sql.render import render
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.training.point_in_time import training_query
from feature_sync.sql.view_query import ViewQuery
from tests.support.cases import Case
from tests.support.engines import OnDuckDB, OnPostgres, ask, canonical, load, strategies

VIEWS, FEATURES, ENTITIES = 50, 10, 4
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
pytestmark = pytest.mark.long


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def warehouse(request):
    engine = OnDuckDB() if request.param == "duckdb" else OnPostgres(request.getfixturevalue("postgres"))
    yield engine
    engine.connection.close()


def relation(name: str, types: dict[str, str], event_time: str | None = None) -> Relation:
    columns = {each: Column(name=each, data_type=kind, stored_as=each) for each, kind in types.items()}
    location = Location("wide.yml", name)
    return Relation(
        name=f'"{name}"',
        unique_id=name,
        location=location,
        columns=columns,
        columns_are_complete=True,
        event_time=event_time,
    )


def view_of(number: int, width: int = FEATURES, **settings) -> FeatureView:
    names = [f"feature_{number}_{each}" for each in range(width)]
    types = {"entity": "bigint", "seen_at": "timestamp with time zone"} | dict.fromkeys(names, "bigint")
    return FeatureView(
        name=f"view_{number}",
        relation=relation(f"view_{number}", types),
        entities=(Entity(name="entity", join_keys=("entity",)),),
        features=tuple(Feature(name=name, default=-1 if number % 2 else None) for name in names),
        event_timestamp="seen_at",
        ttl=timedelta(hours=number) if number % 3 else None,
        lag=number % 5 * HOUR,
        **settings,
    )


def case_of(views: list[FeatureView], *, keys: list[str]) -> Case:
    """Rows within two days, and a spine that asks each view by one of its columns."""
    drawn = random.Random(7)
    selections = [
        Selection(view=view, alias=view.name, features=tuple(each.name for each in view.features), spine_keys=(key,))
        for view, key in zip(views, keys, strict=True)
    ]
    tables = {
        view.reference: [
            {"entity": drawn.randrange(ENTITIES), "seen_at": NOON + drawn.randrange(-24, 24) * HOUR}
            | {each.name: drawn.randrange(3) for each in view.features}
            for _ in range(12)
        ]
        for view in views
    }
    spine = Spine(
        relation=relation(
            "wide_spine",
            dict.fromkeys(keys, "bigint") | {"asked_at": "timestamp with time zone"},
            event_time="asked_at",
        )
    )
    spine_rows = [
        {key: drawn.randrange(ENTITIES) for key in spine.relation.columns if key != "asked_at"}
        | {"asked_at": NOON + drawn.randrange(-24, 24) * HOUR}
        for _ in range(20)
    ]
    defaults = {(view.reference, each.name): each.default for view in views for each in view.features}
    return Case(
        FeatureService(name="wide", selections=tuple(selections)).checked(), tables, spine, spine_rows, defaults
    )


@pytest.mark.parametrize("is_indexed", [False, True], ids=["", "indexed"])
@pytest.mark.parametrize(
    "keys", [["one"] * VIEWS, [f"key_{number}" for number in range(VIEWS)]], ids=["of one entity", "of fifty"]
)
def test_fifty_views_and_five_hundred_features_are_answered_by_one_query(warehouse, keys, is_indexed):
    case = case_of([view_of(number, is_indexed=is_indexed) for number in range(VIEWS)], keys=keys)
    load(warehouse, case)
    wanted = canonical(case.expected())
    assert len(case.service.feature_names) == VIEWS * FEATURES
    for strategy in {None, "carry", *warehouse.dialect.strategies} - {"lateral"}:  # DuckDB's takes minutes
        assert canonical(ask(warehouse, case, strategy, asked=case.asked)) == wanted, strategy


def test_a_hundred_views_of_every_kind_still_fit(warehouse):
    kinds = [{}, {"is_unique": True}, {"known_at": "seen_at"}, {"history": History.TIMELESS}]
    views = [view_of(number, **kinds[number % 4]) for number in range(2 * VIEWS)]
    case = case_of(views, keys=[f"key_{number % 7}" for number in range(2 * VIEWS)])
    load(warehouse, case)
    assert len(ask(warehouse, case)) == len(case.spine_rows)


@pytest.mark.parametrize("width", [10, 11, 60])
@pytest.mark.parametrize("restricted", [False, True], ids=["", "restricted"])
def test_unique_rows_are_answered_alike_whether_the_join_carries_them_or_they_are_fetched(warehouse, width, restricted):
    kinds = [{}, {"known_at": "seen_at"}, {"created_timestamp": "seen_at"}]
    views = [view_of(number, width, is_unique=True, **kinds[number % 3]) for number in range(6)]
    case = case_of(views, keys=["one", "other", "one"] * 2)
    tables = {
        name: list({(row["entity"], row["seen_at"]): row for row in rows}.values())
        for name, rows in case.tables.items()
    }
    few = [row | {"one": 1, "other": None} for row in case.spine_rows]
    case = replace(case, tables=tables, spine_rows=few if restricted else case.spine_rows)
    load(warehouse, case)
    wanted = canonical(case.expected())
    aliases = [view.name for view in views[1:]] if restricted else []
    for strategy in (None, "carry"):
        assert canonical(ask(warehouse, case, strategy, restricted=aliases)) == wanted, strategy


def test_wide_rows_are_read_by_their_times_and_narrow_ones_are_not():
    def written(view: FeatureView) -> str:
        join = PointInTimeJoin((case := case_of([view], keys=["one"])).service, case.spine, dialect=DIALECTS["duckdb"])
        return render(training_query(join), dialect=join.dialect)

    assert "_answered_by" not in written(view_of(0, 10, is_unique=True))
    assert "_answered_by" in written(view_of(0, 11, is_unique=True))
    assert "ROW_NUMBER" not in written(view_of(0, 11, is_unique=True))


def test_a_time_at_infinity_is_before_or_after_all_others(warehouse):
    """Both warehouses have such times; Python has not, so the features alone are read."""
    case = case_of([view_of(0)], keys=["one"])
    load(warehouse, replace(case, tables={"view_0": []}, spine_rows=[]))
    seen = [(1, "-infinity"), (1, "2024-01-01"), (1, "infinity"), (2, "infinity"), (3, "2024-01-01")]
    for number, (entity, seen_at) in enumerate(seen):
        features = ", ".join([str(number)] * FEATURES)
        warehouse.connection.execute(f"insert into view_0 values ({entity}, '{seen_at}', {features})")
    asked = {
        (1, "2023-01-01"): 0,
        (1, "2025-01-01"): 1,
        (1, "infinity"): 2,
        (2, "2025-01-01"): None,
        (3, "infinity"): 4,
    }
    for entity, asked_at in asked:
        warehouse.connection.execute(f"insert into wide_spine values ({entity}, '{asked_at}')")
    for strategy in strategies(warehouse, case):
        join = PointInTimeJoin(case.service, case.spine, dialect=warehouse.dialect)
        query = training_query(join, strategy=strategy)
        answers = f"({render(query, dialect=warehouse.dialect)}) answers"
        found = warehouse.fetch(f"select one, cast(asked_at as text) as asked, feature_0_3 from {answers}")
        assert {(row["one"], row["asked"].split()[0]): row["feature_0_3"] for row in found} == asked, strategy


def test_a_row_whose_key_is_a_time_at_infinity_is_not_pushed(warehouse):
    view = view_of(0)
    keyed = replace(view.relation, columns=view.relation.columns | {"entity": Column(name="entity", data_type="date")})
    view = replace(view, relation=keyed)
    warehouse.load(view.relation, [])
    for key in ("infinity", "-infinity", "2024-01-01"):
        features = ", ".join(["1"] * FEATURES)
        warehouse.connection.execute(f"insert into view_0 values ('{key}', '2024-01-01', {features})")
    query = latest_rows(ViewQuery(view, dialect=warehouse.dialect), now=NOON)
    assert [row["entity"] for row in warehouse.fetch(render(query, dialect=warehouse.dialect))] == [19723]


def test_rows_that_only_seem_unique_never_multiply_those_of_the_spine(warehouse):
    """As when rows were added after dbt's test of uniqueness had passed."""
    case = case_of([view_of(0, is_unique=True)], keys=["one"])
    twice = {name: rows * 2 for name, rows in case.tables.items()}
    load(warehouse, replace(case, tables=twice))
    for strategy in strategies(warehouse, case):
        assert len(ask(warehouse, case, strategy)) == len(case.spine_rows), strategy


def test_views_of_one_entity_share_one_pass():
    case = case_of([view_of(number) for number in range(VIEWS)], keys=["one"] * VIEWS)
    join = PointInTimeJoin(case.service, case.spine, dialect=DIALECTS["duckdb"])
    query = render(training_query(join, strategy="carry"), dialect=join.dialect)
    assert query.count("UNION ALL") == VIEWS
    assert query.count('AS "_is_asked"') == VIEWS + 1
    assert query.count("SELECT DISTINCT") == 1
    join = PointInTimeJoin(case.service, case.spine, dialect=DIALECTS["postgres"])
    query = render(training_query(join, strategy="bucket"), dialect=join.dialect)
    assert query.count("SELECT DISTINCT\n") == query.count("ARRAY_AGG") == 1
    assert query.count("WIDTH_BUCKET") == VIEWS


def test_a_name_that_a_warehouse_would_cut_off_is_refused():
    case = case_of([view_of(0)], keys=["one"])
    (selection,) = case.service.selections
    long = replace(case.service, selections=(replace(selection, alias="v" * 51),), full_names=True)
    PointInTimeJoin(long, case.spine, dialect=DIALECTS["duckdb"])
    with pytest.raises(RequestError, match="bytes long, but postgres keeps only 63; give its view a shorter alias"):
        PointInTimeJoin(long, case.spine, dialect=DIALECTS["postgres"])


WAYS = [("duckdb", "asof"), ("duckdb", "carry"), ("postgres", "bucket"), ("postgres", "lateral"), ("bigquery", "carry")]


@pytest.mark.parametrize("is_unique", [False, True], ids=["", "unique"])
@pytest.mark.parametrize(("name", "strategy"), WAYS, ids=[" ".join(way) for way in WAYS])
def test_the_work_to_build_a_query_grows_no_faster_than_the_query(monkeypatch, name, strategy, is_unique):
    """Counts the nodes of expressions that are made while a query of 20 and of 80 views is built, copies included."""
    made = 0
    init = exp.Expression.__init__

    def counting(self, *arguments, **named):
        nonlocal made
        made += 1
        init(self, *arguments, **named)

    monkeypatch.setattr(exp.Expression, "__init__", counting)
    work = []
    for size in (20, 80):
        views = [view_of(number, is_unique=is_unique) for number in range(size)]
        case = case_of(views, keys=["one"] * size)
        join = PointInTimeJoin(case.service, case.spine, dialect=DIALECTS[name], native=DIALECTS["duckdb"])
        made = 0
        query = training_query(join, strategy=strategy)
        work.append(made / sum(1 for _ in query.walk()))
    few, many = work
    assert 0 < many <= few * 1.2
