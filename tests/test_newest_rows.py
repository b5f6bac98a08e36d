"""The newest row of every entity at one moment, in each form in which a push may look for it, against the oracle."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from feature_sync.definitions import (
    Column,
    Entity,
    Feature,
    FeatureView,
    History,
    Relation,
    Spine,
    selection_of,
    service_of,
)
from feature_sync.errors import Location
from feature_sync.sql.columns import quoted
from feature_sync.sql.newest_rows import newest_rows
from feature_sync.sql.render import render
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.training.point_in_time import training_query
from feature_sync.sql.validity import still_answers
from feature_sync.sql.view_query import ViewQuery
from tests.support import oracle
from tests.support.cases import cases
from tests.support.engines import OnDuckDB, OnPostgres, canonical, examples, load

NOON = datetime(2024, 1, 1, 12)
LATER = datetime(2024, 1, 2, 12, tzinfo=UTC)
FORMS = [
    (False, False, None),
    (True, False, None),
    (True, False, 16),
    (True, True, None),
    (True, True, 3),
    (True, True, 100),
]
"""Whether the view is a table, whether it has an index, and how many rows an entity has."""


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def warehouse(request):
    engine = OnDuckDB() if request.param == "duckdb" else OnPostgres(request.getfixturevalue("postgres"))
    yield engine
    engine.connection.close()


@examples(40)
@given(data=st.data(), seed=st.integers(0, 9))
def test_every_entity_has_the_row_that_the_oracle_finds_in_every_form_and_order(warehouse, data, seed):
    case = data.draw(cases(warehouse.adapter))
    asked = [moment for moment in map(case.moment, case.spine_rows) if moment is not None]
    views = [each.view for each in case.service.selections if each.view.history is not History.LATEST_ONLY]
    if not asked or not views:
        return
    now, view = data.draw(st.sampled_from(asked)), data.draw(st.sampled_from(views))
    load(warehouse, case, seed=seed)
    entities = {tuple(row[key] for key in view.join_keys) for row in case.tables[view.reference]}
    found = {keys: oracle.answer(view, case.tables[view.reference], keys, now) for keys in entities}
    names = (*view.join_keys, *(each.name for each in view.features))
    expected = canonical([{name: row[name] for name in names} for row in found.values() if row is not None])
    for is_table, is_indexed, depth in FORMS:
        kind = replace(view, relation=replace(view.relation, is_table=is_table), is_indexed=is_indexed)
        sql = newest(kind, warehouse, now, depth)
        assert canonical(warehouse.fetch(sql)) == expected, sql


def newest(view: FeatureView, warehouse, now, depth: float | None) -> str:
    query = ViewQuery(view, dialect=warehouse.dialect)
    moment = warehouse.dialect.moment(now)
    rows = newest_rows(query, until=moment, depth=depth).subquery(exp.to_identifier("rows", quoted=True))
    names = (*view.join_keys, *query.feature_types)
    return render(
        exp.select(*map(quoted, names)).from_(rows).where(*still_answers(query, moment)), dialect=query.dialect
    )


@pytest.mark.parametrize("role", ["asked", "rows", "entities", "records", "newest", "answers"])
def test_a_table_may_have_the_name_of_a_step(warehouse, role):
    """A step of the view `thing` is called thing_rows; a subquery over a table of that name would hide it."""
    schema = "main" if warehouse.adapter == "duckdb" else "pg_temp"
    columns = {"k": "bigint", "t": "timestamp", "v": "bigint"}
    view = FeatureView(
        name="thing",
        relation=relation(f"{schema}.thing_{role}", columns),
        entities=(Entity(name="thing", join_keys=("k",)),),
        features=(Feature(name="v"),),
        event_timestamp="t",
        is_indexed=True,
    )
    spine = Spine(relation=relation(f"{schema}.spine", {"k": "bigint", "at": "timestamp"}, event_time="at"))
    warehouse.load(view.relation, [{"k": i % 3, "t": NOON + timedelta(hours=i), "v": i} for i in range(12)])
    warehouse.load(spine.relation, [{"k": i, "at": NOON + timedelta(hours=7)} for i in range(4)])
    join = PointInTimeJoin(service_of([selection_of(view)], name="s"), spine, dialect=warehouse.dialect)
    for strategy in warehouse.dialect.strategies:
        for restricted in ([], ["thing"]):
            sql = render(training_query(join, strategy=strategy, restricted=restricted), dialect=join.dialect)
            found = {row["k"]: row["v"] for row in warehouse.fetch(sql)}
            assert found == {0: 6, 1: 7, 2: 5, 3: None}, sql
    whole = newest(replace(view, relation=replace(view.relation, is_table=True)), warehouse, LATER, 100)
    assert {row["k"]: row["v"] for row in warehouse.fetch(whole)} == {0: 9, 1: 10, 2: 11}


def relation(name: str, types: dict[str, str], event_time: str | None = None) -> Relation:
    columns = {each: Column(name=each, data_type=kind, stored_as=each) for each, kind in types.items()}
    location = Location("names.yml", name)
    return Relation(
        name=name, unique_id=name, location=location, columns=columns, columns_are_complete=True, event_time=event_time
    )
