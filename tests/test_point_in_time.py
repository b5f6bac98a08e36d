"""The point-in-time join against a brute-force oracle, on generated cases, on every warehouse."""

from __future__ import annotations

import math
import os
import random
from datetime import UTC
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.json import set_json_loads

from feature_sync.definitions import Period
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.point_in_time import training_query
from feature_sync.sql.render import render
from tests.support import oracle
from tests.support.bigquery import GoogleSql
from tests.support.cases import Case, cases

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
        set_json_loads(bytes.decode, self.connection)

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


@pytest.fixture(scope="module", params=["duckdb", "postgres", "bigquery"])
def warehouse(request):
    """A warehouse to ask; for BigQuery, the engine with which Google defines what its SQL means."""
    if request.param == "bigquery":
        yield GoogleSql()
        return
    engine = OnDuckDB() if request.param == "duckdb" else OnPostgres(request.getfixturevalue("postgres"))
    yield engine
    engine.connection.close()


def strategies(warehouse, case: Case) -> list[str | None]:
    """All ways in which the warehouse can be asked; None leaves the choice to the product."""
    bitemporal = any(selection.view.known_at for selection in case.service.selections)
    known = dialect_named(warehouse.dialect).strategies
    return [None, *(each for each in known if each != "asof" or not bitemporal)]


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


def canonical(rows: list[dict]) -> list[list[tuple]]:
    """Rows as sorted text, so that order does not count while types, NaN and duplicates do."""
    return sorted([(name, spelled(value)) for name, value in row.items()] for row in rows)


def spelled(value) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "float nan"
    if isinstance(value, Decimal):
        value = value.normalize()
    if hasattr(value, "tzinfo") and value.tzinfo is not None:
        value = value.astimezone(UTC)
    return f"{type(value).__name__} {value}"


def examples(usual: int) -> settings:
    """How many cases to generate; HYPOTHESIS_TIMES multiplies them, to search for longer."""
    return settings(max_examples=usual * int(os.environ.get("HYPOTHESIS_TIMES", "1")))


@examples(60)
@given(data=st.data(), zone=st.sampled_from(SESSION_ZONES))
def test_every_spine_row_gets_what_the_oracle_finds_by_every_strategy_in_every_session_zone(warehouse, data, zone):
    case = data.draw(cases(warehouse.dialect))
    warehouse.set_zone(zone)
    load(warehouse, case)
    wanted = canonical(case.expected())
    for strategy in strategies(warehouse, case):
        assert canonical(ask(warehouse, case, strategy)) == wanted, strategy
        assert canonical(ask(warehouse, case, strategy, asked=case.asked)) == wanted, f"{strategy}, within bounds"


@examples(20)
@given(data=st.data())
def test_the_answer_does_not_depend_on_the_physical_order_of_rows(warehouse, data):
    case = data.draw(cases(warehouse.dialect))
    answers = []
    for seed in range(10):
        load(warehouse, case, seed=seed)
        answers += [canonical(ask(warehouse, case, strategy)) for strategy in strategies(warehouse, case)]
    assert all(each == answers[0] for each in answers)


@examples(50)
@given(data=st.data())
def test_rows_that_became_available_later_change_nothing_about_the_past(warehouse, data):
    case = data.draw(cases(warehouse.dialect))
    asked = sorted(moment for moment in map(case.moment, case.spine_rows) if moment is not None)
    if not asked:
        return
    now = data.draw(st.sampled_from(asked))
    load(warehouse, case)
    before = asked_by(case, now, ask(warehouse, case))
    for selection in case.service.selections:
        view = selection.view
        if view.event_timestamp is not None:
            kept = [row for row in case.tables[view.reference] if oracle.is_available(view, row, now)]
            warehouse.load(view.relation, kept)
    assert canonical(asked_by(case, now, ask(warehouse, case))) == canonical(before)


def asked_by(case: Case, now, rows: list[dict]) -> list[dict]:
    """The rows that ask for a moment up to now."""
    return [row for row in rows if (moment := case.moment(row)) is not None and moment <= now]


@examples(20)
@given(data=st.data(), dialect=st.sampled_from(["duckdb", "postgres", "bigquery"]))
def test_the_same_definitions_give_the_same_bytes(data, dialect):
    case = data.draw(cases(dialect))
    texts = {render(training_query(case.service, case.spine, adapter=dialect), dialect=dialect) for _ in range(3)}
    assert len(texts) == 1
