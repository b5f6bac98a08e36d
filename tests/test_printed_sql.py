"""The SQL that `sql --dialect` prints is run, on generated cases against the oracle, in sessions set against it."""

from __future__ import annotations

import math
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from feature_sync.sql.dialects import DIALECTS, dialect_named
from feature_sync.sql.render import render
from feature_sync.sql.scalars import default_value
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.training.point_in_time import training_query
from feature_sync.value_types import ValueType, read_default
from tests.support import dialect_page, oracle
from tests.support.cases import cases
from tests.support.engines import examples
from tests.support.printed import OnClickHouse, OnRedshift, OnSail, OnSnowflake, OnSpark
from tests.test_point_in_time import TURNED

ENGINES = {each.name: each for each in (OnClickHouse, OnSnowflake, OnSail, OnSpark, OnRedshift)}
NAIVE = ValueType("timestamp")


@pytest.fixture(scope="module", params=["clickhouse", "snowflake", "sail", "redshift"])
def engine(request):
    needed = [request.getfixturevalue("postgres")] if request.param == "redshift" else []
    with closing(ENGINES[request.param](*needed)) as started:
        yield started


@pytest.fixture(scope="module")
def spark():
    with closing(OnSpark()) as started:
        yield started


@examples(15)
@given(data=st.data())
def test_printed_sql_answers_as_the_oracle_does_in_hostile_sessions(engine, data):
    check(engine, data)


@pytest.mark.slow
@examples(10)
@given(data=st.data())
def test_spark_itself_answers_as_the_oracle_does_in_hostile_sessions(spark, data):
    check(spark, data)


@pytest.mark.slow
@examples(40)
@given(data=st.data())
def test_among_many_cases_no_engine_answers_otherwise(engine, data):
    check(engine, data)


def check(engine, data):
    case = engine.adapted(data.draw(cases()))
    dialect = data.draw(st.sampled_from(engine.dialects))
    asked = data.draw(st.sampled_from([None, case.asked]))
    engine.set(data.draw(st.sampled_from(engine.settings)))
    engine.load(case)
    assert engine.canonical(engine.answer(case, dialect, asked)) == engine.canonical(case.expected())


def test_a_clock_that_is_turned_means_its_later_reading_in_printed_sql_too(engine):
    check_turned_clocks(engine)


@pytest.mark.slow
def test_a_clock_that_is_turned_means_its_later_reading_on_spark_itself(spark):
    check_turned_clocks(spark)


def check_turned_clocks(engine):
    clock = column("clock")
    for number, (zone, days) in enumerate(TURNED.items()):
        engine.set(engine.settings[number % len(engine.settings)])
        clocks = [day.replace(hour=hour, minute=minute) for day in days for hour in range(24) for minute in (0, 30)]
        rows = [{"row": at, "clock": each} for at, each in enumerate(clocks)]
        for statement in engine.creating(engine.quoted_table("clocks"), {"row": "integer", "clock": "naive"}, rows):
            engine.run(statement)
        reading = engine.dialect.utc(clock.copy(), NAIVE, timezone=zone)
        query = exp.select(column("row"), exp.alias_(reading, "moment", quoted=True)).from_("clocks")
        text = render(query, dialect=engine.dialect).replace('"CLOCKS"', '"clocks"')
        found = {row["row"]: row["moment"].replace(tzinfo=None) for row in engine.fetch(text)}
        assert found == {at: oracle.instant(each, zone).replace(tzinfo=None) for at, each in enumerate(clocks)}, zone


def column(name):
    return exp.column(exp.to_identifier(name, quoted=True))


DEFAULTS = [
    ("decimal(38, 2)", "decimal", "12345678901234567.89", Decimal("12345678901234567.89")),
    ("double", "float64", float("inf"), float("inf")),
    ("double", "float64", float("-inf"), float("-inf")),
    ("date", "date", "1969-01-01", date(1969, 1, 1)),
    ("timestamp", "timestamp", "2200-01-01 00:00:00.000001", datetime(2200, 1, 1, 0, 0, 0, 1)),
    ("timestamp with time zone", "timestamptz", "1901-01-01 00:00:00+01:00", datetime(1900, 12, 31, 23)),
]


def test_a_default_is_exact_on_every_engine(engine):
    dialect = engine.dialect
    engine.set(engine.settings[1])
    values = []
    for word, kind, default, _ in [*DEFAULTS, ("double", "float64", float("nan"), None)]:
        stored = exp.DataType.build(word, dialect="duckdb")
        value = read_default(ValueType(kind), default)
        values.append(default_value(value, ValueType(kind), stored=stored, dialect=dialect).as_(f"at_{len(values)}"))
    (found,) = engine.fetch(render(exp.select(*values), dialect=dialect))
    *found, not_a_number = found.values()
    in_utc = [each.astimezone(UTC).replace(tzinfo=None) if getattr(each, "tzinfo", None) else each for each in found]
    assert in_utc == [wanted for *_, wanted in DEFAULTS]
    assert math.isnan(not_a_number)


EXAMPLE_TABLES = ("carrier_delays_v2", "aircraft_history", "aircraft_profile", "airport_weather", "departures")


@pytest.mark.parametrize("name", ["clickhouse", "sail"])
def test_the_example_is_answered_as_on_duckdb(example, name, tmp_path):
    with closing(ENGINES[name]()) as engine:
        check_example(engine, example, tmp_path)


@pytest.mark.slow
def test_the_example_is_answered_by_spark_itself_as_on_duckdb(spark, example, tmp_path):
    check_example(spark, example, tmp_path)


def check_example(engine, example, folder):
    with duckdb.connect(example.folder / "flights.duckdb", read_only=True) as connection:
        for table in EXAMPLE_TABLES:
            connection.execute(f"copy main.{table} to '{folder}/{table}.parquet'")
        usual = example.feature_sync("sql", "departure_delay_model", "--spine", "departures")
        wanted = connection.execute("set timezone = 'UTC'").execute(usual.stdout)
        names = [each[0] for each in wanted.description]
        expected = [dict(zip(names, row, strict=True)) for row in wanted.fetchall()]
    for table in EXAMPLE_TABLES:
        engine.ask("load_parquet", table, f"{folder}/{table}.parquet")
    done = example.feature_sync(
        "sql", "departure_delay_model", "--spine", "departures", "--dialect", engine.dialect.name
    )
    assert done.returncode == 0, done.stderr
    parsed = done.stdout.replace('"flights"."main".', "").replace("`flights`.`main`.", "")
    engine.set(engine.settings[1])
    found = engine.fetch(parsed)
    assert len(found) == len(expected) > 20_000
    assert [*found[0]] == [*expected[0]]
    keyed, wanted_by = (
        {row["flight_id"]: list(map(rounded, row.values())) for row in rows} for rows in (found, expected)
    )
    assert [(key, keyed[key], row) for key, row in wanted_by.items() if keyed[key] != row][:3] == []


def rounded(value):
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return round(value, 9) if isinstance(value, float) else value


@pytest.mark.parametrize("dialect", ["spark", "databricks", "snowflake"])
@examples(10)
@given(data=st.data())
def test_no_type_of_a_printed_query_is_the_sessions_to_choose(dialect, data):
    case = data.draw(cases())
    join = PointInTimeJoin(case.service, case.spine, dialect=dialect_named(dialect), native=dialect_named("duckdb"))
    text = render(training_query(join), dialect=join.dialect)
    assert " AS TIMESTAMP)" not in text


def test_every_dialect_has_its_line_in_the_page():
    assert dialect_page.dialects() == set(DIALECTS)


def test_the_page_of_dialects_is_what_the_tests_declare():
    assert dialect_page.PAGE.read_text() == dialect_page.written(), "run .venv/bin/python -m tests.support.dialect_page"


def test_engines_are_of_the_versions_that_the_page_tells(engine):
    assert engine.version().startswith(engine.told_version)


@pytest.mark.slow
def test_spark_is_of_the_version_that_the_page_tells(spark):
    assert spark.version() == spark.told_version
