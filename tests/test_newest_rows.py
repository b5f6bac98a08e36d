"""The newest row of every entity at one moment, in each form in which a push may look for it, against the oracle."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from feature_sync.definitions import FeatureView, History
from feature_sync.sql.columns import quoted
from feature_sync.sql.render import render
from feature_sync.sql.validity import still_answers
from feature_sync.sql.view_query import ViewQuery
from tests.support import oracle
from tests.support.cases import cases
from tests.support.engines import OnDuckDB, OnPostgres, canonical, examples, load


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def warehouse(request):
    engine = OnDuckDB() if request.param == "duckdb" else OnPostgres(request.getfixturevalue("postgres"))
    yield engine
    engine.connection.close()


@examples(60)
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
    for is_table in (False, True):
        for is_deep in (False, True):
            sql = newest(replace(view, relation=replace(view.relation, is_table=is_table)), warehouse, now, is_deep)
            assert canonical(warehouse.fetch(sql)) == expected, sql


def newest(view: FeatureView, warehouse, now, is_deep: bool) -> str:
    query = ViewQuery(view, dialect=warehouse.dialect)
    moment = warehouse.dialect.moment(now)
    rows = query.newest_rows(until=moment, is_deep=is_deep).subquery(exp.to_identifier("rows", quoted=True))
    names = (*view.join_keys, *query.feature_types)
    return render(
        exp.select(*map(quoted, names)).from_(rows).where(*still_answers(query, moment)), dialect=query.dialect
    )
