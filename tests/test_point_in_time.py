"""The point-in-time join against a brute-force oracle, on generated cases, on every warehouse."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from feature_sync.definitions import check_zone
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.render import render
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.training.point_in_time import training_query
from feature_sync.value_types import ValueType
from tests.support import oracle
from tests.support.cases import Case, cases
from tests.support.emulator import OnEmulator
from tests.support.engines import OnDuckDB, OnPostgres, ask, canonical, examples, load, strategies

SESSION_ZONES = ["UTC", "America/New_York", "Asia/Kolkata"]
on_databases = pytest.mark.parametrize("warehouse", ["duckdb", "postgres"], indirect=True)
on_bigquery = pytest.mark.parametrize("warehouse", ["bigquery"], indirect=True)
"""Google's engine takes twenty times as long for a case: it gets fewer."""


@pytest.fixture(scope="module", params=["duckdb", "postgres", "bigquery"])
def warehouse(request):
    """A warehouse to ask; for BigQuery, the engine by which Google defines what its SQL means."""
    if request.param == "bigquery":
        from tests.support.bigquery import GoogleSql

        yield GoogleSql()
        return
    engine = OnDuckDB() if request.param == "duckdb" else OnPostgres(request.getfixturevalue("postgres"))
    yield engine
    engine.connection.close()


@on_databases
@examples(30)
@given(data=st.data(), zone=st.sampled_from(SESSION_ZONES))
def test_every_spine_row_gets_what_the_oracle_finds_by_every_strategy_in_every_session_zone(warehouse, data, zone):
    check_every_strategy(warehouse, data, zone)


@on_bigquery
@examples(6)
@given(data=st.data(), zone=st.sampled_from(SESSION_ZONES))
def test_every_spine_row_gets_what_the_oracle_finds_on_bigquery(warehouse, data, zone):
    check_every_strategy(warehouse, data, zone)


@pytest.mark.slow
@on_databases
@examples(250)
@given(data=st.data(), zone=st.sampled_from(SESSION_ZONES))
def test_among_many_cases_there_is_none_that_is_answered_otherwise(warehouse, data, zone):
    check_every_strategy(warehouse, data, zone)


@pytest.mark.slow
@on_bigquery
@examples(50)
@given(data=st.data(), zone=st.sampled_from(SESSION_ZONES))
def test_among_many_cases_there_is_none_that_bigquery_answers_otherwise(warehouse, data, zone):
    check_every_strategy(warehouse, data, zone)


def check_every_strategy(warehouse, data, zone):
    case = data.draw(cases(warehouse.adapter))
    warehouse.set_zone(zone)
    load(warehouse, case)
    wanted = canonical(case.expected())
    restricted = data.draw(st.sets(st.sampled_from([each.alias for each in case.service.selections]), min_size=1))
    for strategy in strategies(warehouse, case):
        assert canonical(ask(warehouse, case, strategy, restricted=restricted)) == wanted, f"{strategy}, restricted"
        assert canonical(ask(warehouse, case, strategy)) == wanted, strategy
        assert canonical(ask(warehouse, case, strategy, asked=case.asked)) == wanted, f"{strategy}, within bounds"


@examples(10)
@given(data=st.data())
def test_an_emulator_of_bigquery_answers_as_the_oracle_does(bigquery, data):
    case = without_null_arrays(data.draw(cases("bigquery")))
    with closing(OnEmulator(bigquery.endpoint)) as engine:
        load(engine, case)
        for asked in (None, case.asked):
            assert canonical(as_the_emulator_shows(ask(engine, case, asked=asked))) == canonical(
                as_the_emulator_shows(case.expected())
            )


def without_null_arrays(case: Case) -> Case:
    """BigQuery's tables hold no null array: written, it becomes an empty one."""
    arrays = {
        each.view.reference: [
            name for name, column in each.view.relation.columns.items() if column.data_type.startswith("ARRAY")
        ]
        for each in case.service.selections
    }

    def stored(view: str, row: dict) -> dict:
        return {**row, **{name: row[name] or [] for name in arrays.get(view, ())}}

    tables = {view: [stored(view, row) for row in rows] for view, rows in case.tables.items()}
    return replace(case, tables=tables)


def as_the_emulator_shows(rows: list[dict]) -> list[dict]:
    """BigQuery shows a null array as an empty one; the emulator loses the sign of -0.0 when it loads rows."""
    shown = {"[]": None, "-0.0": 0.0}
    return [{name: shown.get(str(value), value) for name, value in row.items()} for row in rows]


@on_databases
@examples(20)
@given(data=st.data())
def test_the_answer_does_not_depend_on_the_physical_order_of_rows(warehouse, data):
    check_orders(warehouse, data, orders=3)


@pytest.mark.slow
@examples(20)
@given(data=st.data())
def test_the_answer_depends_on_none_of_ten_orders_of_rows(warehouse, data):
    check_orders(warehouse, data, orders=10)


def check_orders(warehouse, data, *, orders):
    case = data.draw(cases(warehouse.adapter))
    answers = []
    for seed in range(orders):
        load(warehouse, case, seed=seed)
        answers += [canonical(ask(warehouse, case, strategy)) for strategy in strategies(warehouse, case)]
    assert all(each == answers[0] for each in answers)


@examples(15)
@given(data=st.data())
def test_rows_that_became_available_later_change_nothing_about_the_past(warehouse, data):
    case = data.draw(cases(warehouse.adapter))
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
    written = dialect_named(dialect)
    joins = [PointInTimeJoin(case.service, case.spine, dialect=written) for _ in range(3)]
    texts = {render(training_query(join), dialect=written) for join in joins}
    assert len(texts) == 1


# Days on which clocks are turned: back (an hour comes twice) and forward (one is skipped); by half an hour in Lord
# Howe, at midnight in Havana and São Paulo; Apia skipped a whole day.
TURNED = {
    "Europe/Paris": [datetime(2013, 10, 27), datetime(2013, 3, 31)],
    "America/New_York": [datetime(2013, 11, 3), datetime(2013, 3, 10)],
    "Australia/Lord_Howe": [datetime(2013, 4, 7), datetime(2013, 10, 6)],
    "America/Havana": [datetime(2013, 11, 3), datetime(2013, 3, 10)],
    "America/Sao_Paulo": [datetime(2013, 2, 16), datetime(2013, 10, 20)],
    "Pacific/Apia": [datetime(2011, 12, 30)],
    "Asia/Kolkata": [datetime(2013, 3, 31)],
}


@pytest.mark.parametrize("zone", TURNED)
def test_a_wall_clock_that_comes_twice_or_never_means_its_later_reading(warehouse, zone):
    dialect = warehouse.dialect
    quarters = [quarter * timedelta(minutes=15) for quarter in range(-4, 112)]
    clocks = [day + since for day in TURNED[zone] for since in quarters]
    readings = [
        dialect.utc(dialect.literal(clock.replace(tzinfo=UTC), NAIVE), NAIVE, timezone=zone).as_(f"at_{at}")
        for at, clock in enumerate(clocks)
    ]
    (found,) = warehouse.fetch(render(exp.select(*readings), dialect=warehouse.dialect))
    expected = [oracle.instant(clock, zone).replace(tzinfo=None) for clock in clocks]
    assert [moment.replace(tzinfo=None) for moment in found.values()] == expected


def test_every_zone_that_a_view_may_name_is_read_as_iana_reads_it(warehouse):
    dialect = warehouse.dialect
    clocks = [datetime(2013, 1, 1, 12), datetime(2013, 7, 1, 12), datetime(1985, 7, 1, 12)]
    zones = sorted(filter(is_taken, available_timezones()))
    assert len(zones) > 500
    for some in (zones[at : at + 100] for at in range(0, len(zones), 100)):
        readings = [
            dialect.utc(dialect.literal(clock.replace(tzinfo=UTC), NAIVE), NAIVE, timezone=zone).as_(f"at_{at}_{row}")
            for row, zone in enumerate(some)
            for at, clock in enumerate(clocks)
        ]
        (found,) = warehouse.fetch(render(exp.select(*readings), dialect=warehouse.dialect))
        expected = [oracle.instant(clock, zone).replace(tzinfo=None) for zone in some for clock in clocks]
        wrong = [
            zone
            for zone, mine, theirs in zip(
                (zone for zone in some for _ in clocks), expected, found.values(), strict=True
            )
            if mine != theirs.replace(tzinfo=None)
        ]
        assert not wrong


def is_taken(zone: str) -> bool:
    try:
        check_zone(zone)
    except ValueError:
        return False
    return True


def test_a_time_at_infinity_has_no_count(warehouse):
    dialect = warehouse.dialect
    if warehouse.adapter == "bigquery":
        pytest.skip("its times are all finite")
    counts = [
        count(exp.cast(exp.Literal.string(text), kind))
        for kind, count in (("timestamp", dialect.microseconds), ("date", dialect.days))
        for text in ("infinity", "-infinity", "2000-01-01", "1969-12-31")
    ]
    query = exp.select(*(count.as_(f"count_{at}") for at, count in enumerate(counts)))
    (found,) = warehouse.fetch(render(query, dialect=warehouse.dialect))
    a_day = 86_400_000_000
    assert list(found.values()) == [None, None, 10_957 * a_day, -a_day, None, None, 10_957, -1]


NAIVE = ValueType("timestamp")
