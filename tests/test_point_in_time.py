"""The point-in-time join against a brute-force oracle, on generated cases, on every warehouse."""

from __future__ import annotations

import math
import os
import random
from datetime import UTC

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_sync.definitions import Period
from feature_sync.sql.point_in_time import training_query
from feature_sync.sql.render import render
from feature_sync.value_types import as_utc
from tests.support import oracle
from tests.support.cases import SPINE_TIME, Case, cases

SESSION_ZONES = ["UTC", "America/New_York", "Asia/Kolkata"]


class OnDuckDB:
    """Runs a case on an embedded DuckDB."""

    dialect = "duckdb"

    def __init__(self):
        self.connection = duckdb.connect()

    def set_zone(self, zone):
        self.connection.execute(f"set timezone = '{zone}'")

    def load(self, relation, rows):
        columns = list(relation.columns.values())
        declared = ", ".join(f'"{column.name}" {column.data_type}' for column in columns)
        self.connection.execute(f"create or replace table {relation.name} ({declared})")
        marks = ", ".join("?" for _ in columns)
        for row in rows:
            self.connection.execute(
                f"insert into {relation.name} values ({marks})", [row[column.name] for column in columns]
            )

    def fetch(self, sql):
        cursor = self.connection.execute(sql)
        names = [each[0] for each in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


class OnPostgres:
    """Runs a case on a real PostgreSQL, in tables that end with the session."""

    dialect = "postgres"

    def __init__(self, server):
        self.connection = server.connect(prepare_threshold=None)

    def set_zone(self, zone):
        self.connection.execute(f"set timezone = '{zone}'")

    def load(self, relation, rows):
        columns = list(relation.columns.values())
        declared = ", ".join(f'"{column.name}" {column.data_type}' for column in columns)
        self.connection.execute(f"drop table if exists {relation.name}")
        self.connection.execute(f"create temp table {relation.name} ({declared})")
        with self.connection.cursor() as cursor, cursor.copy(f"copy {relation.name} from stdin") as copy:
            for row in rows:
                copy.write_row([row[column.name] for column in columns])

    def fetch(self, sql):
        cursor = self.connection.execute(sql)
        names = [each.name for each in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def warehouse(request):
    engine = OnDuckDB() if request.param == "duckdb" else OnPostgres(request.getfixturevalue("postgres"))
    yield engine
    engine.connection.close()


def strategies(warehouse, case: Case) -> list[str | None]:
    """All ways in which the warehouse can be asked; None leaves the choice to the product."""
    bitemporal = any(selection.view.known_at for selection in case.service.selections)
    asof = ["asof"] if warehouse.dialect == "duckdb" and not bitemporal else []
    return [None, "carry", "lateral", *asof]


def ask(warehouse, case: Case, strategy: str | None = None, asked: Period | None = None) -> list[dict]:
    sql = render(
        training_query(case.service, case.spine, adapter=warehouse.dialect, strategy=strategy, asked=asked),
        dialect=warehouse.dialect,
    )
    return warehouse.fetch(sql)


def load(warehouse, case: Case, *, seed: int | None = None) -> None:
    for selection in case.service.selections:
        rows = list(case.tables[selection.view.reference])
        if seed is not None:
            random.Random(seed).shuffle(rows)
        warehouse.load(selection.view.relation, rows)
    warehouse.load(case.spine.relation, case.spine_rows)


def expected(case: Case) -> list[dict]:
    defaults = {
        (selection.view.reference, feature.name): feature.default
        for selection in case.service.selections
        for feature in selection.view.features
    }
    return [oracle.training_row(case.service, case.tables, row, SPINE_TIME, defaults) for row in case.spine_rows]


def canonical(rows: list[dict]) -> list[list[tuple]]:
    """Rows as sorted text, so that order does not count while types, NaN and duplicates do."""
    return sorted([(name, spelled(value)) for name, value in row.items()] for row in rows)


def spelled(value) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "float nan"
    if hasattr(value, "tzinfo") and value.tzinfo is not None:
        value = value.astimezone(UTC)
    return f"{type(value).__name__} {value}"


def examples(usual: int) -> settings:
    """How many cases to generate; HYPOTHESIS_TIMES multiplies them, to search for longer."""
    return settings(max_examples=usual * int(os.environ.get("HYPOTHESIS_TIMES", "1")))


@examples(250)
@given(case=cases(), zone=st.sampled_from(SESSION_ZONES))
def test_every_spine_row_gets_what_the_oracle_finds_by_every_strategy_in_every_session_zone(warehouse, case, zone):
    warehouse.set_zone(zone)
    load(warehouse, case)
    wanted = canonical(expected(case))
    for strategy in strategies(warehouse, case):
        assert canonical(ask(warehouse, case, strategy)) == wanted, strategy


@examples(20)
@given(case=cases())
def test_the_answer_does_not_depend_on_the_physical_order_of_rows(warehouse, case):
    answers = []
    for seed in range(10):
        load(warehouse, case, seed=seed)
        answers += [canonical(ask(warehouse, case, strategy)) for strategy in strategies(warehouse, case)]
    assert all(each == answers[0] for each in answers)


@examples(50)
@given(case=cases(), data=st.data())
def test_rows_that_became_available_later_change_nothing_about_the_past(warehouse, case, data):
    asked = [as_utc(row[SPINE_TIME]) for row in case.spine_rows if row[SPINE_TIME] is not None]
    if not asked:
        return
    now = data.draw(st.sampled_from(asked))
    load(warehouse, case)
    before = [row for row in ask(warehouse, case) if row[SPINE_TIME] is not None and as_utc(row[SPINE_TIME]) <= now]
    for selection in case.service.selections:
        view = selection.view
        if view.event_timestamp is not None:
            kept = [row for row in case.tables[view.reference] if oracle.is_available(view, row, now)]
            warehouse.load(view.relation, kept)
    after = [row for row in ask(warehouse, case) if row[SPINE_TIME] is not None and as_utc(row[SPINE_TIME]) <= now]
    assert canonical(before) == canonical(after)


@examples(20)
@given(case=cases())
def test_the_same_definitions_give_the_same_bytes(case):
    texts = {render(training_query(case.service, case.spine, adapter="duckdb"), dialect="duckdb") for _ in range(3)}
    assert len(texts) == 1
