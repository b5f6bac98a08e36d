"""Values that a warehouse calls equal and Redis would hold differently: one of them answers, always and everywhere."""

from __future__ import annotations

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
    Period,
    Relation,
    Spine,
    selection_of,
)
from feature_sync.errors import Location
from feature_sync.sql.dialects import DIALECTS, dialect_named
from feature_sync.sql.newest_rows import newest_rows
from feature_sync.sql.push.latest import latest_rows
from feature_sync.sql.render import render
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.training.point_in_time import training_query
from feature_sync.sql.view_query import ViewQuery
from tests.support.engines import OnDuckDB, OnPostgres

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
# What answers, and what is equal to it or ordered otherwise by the warehouse's own lights.
TIES = {
    "duckdb": [
        ("double", "0.0::double", "'-0.0'::double"),
        ("interval", "interval '24 hours'", "interval '1 day'"),
        ("interval", "interval '30 days'", "interval '1 month'"),
        ("json", """'{"a":1}'""", """'{"a": 1}'"""),
        ("json[]", """['{"a":1}'::json]""", """['{"a": 1}'::json]"""),
        ("varchar collate nocase", "'a'", "'A'"),
        ("varchar collate nocase", "'b'", "'C'"),
        ("enum ('b', 'a')", "'b'", "'a'"),
        ("enum ('a', 'b')", "'b'", "'a'"),
        ("double[]", "[0.0::double]", "['-0.0'::double]"),
        ("struct(a double)", "{'a': 0.0::double}", "{'a': '-0.0'::double}"),
    ],
    "postgres": [
        ("double precision", "0.0::float8", "'-0.0'::float8"),
        ("real", "0.0::float4", "'-0.0'::float4"),
        ("numeric", "1.00", "1.0"),
        ("interval", "interval '24 hours'", "interval '1 day'"),
        ("interval", "interval '30 days'", "interval '1 month'"),
        ("bpchar", "'a '::bpchar", "'a'::bpchar"),  # shown without padding, by every way
        ("json", """'{"a":1}'""", """'{"a": 1}'"""),
        ("numeric[]", "array[1.0]", "array[1.00]"),
        ("double precision[]", "array['0.0'::float8]", "array['-0.0'::float8]"),
    ],
}  # fmt: skip
KINDS = [(dialect, *each) for dialect, ties in TIES.items() for each in ties]


@pytest.fixture(scope="module")
def engines(postgres):
    """Both warehouses that can be asked in every way."""
    found = {"duckdb": OnDuckDB(), "postgres": OnPostgres(postgres)}
    yield found
    for each in found.values():
        each.connection.close()


@pytest.mark.parametrize(("dialect", "kind", "wins", "loses"), KINDS, ids=lambda each: each.replace("\n", " "))
def test_of_tied_values_that_differ_only_as_written_the_same_one_answers_everywhere(
    engines, dialect, kind, wins, loses
):
    engine = engines[dialect]
    described = kind.partition(" collate")[0]
    view = view_of({"k": "bigint", "t": "timestamp", "v": described})
    queries = [*asked_in_every_way(view, dialect), render(newest(view, dialect), dialect=dialect_named(dialect))]
    (wanted,) = engine.fetch(f"select cast({wins} as {described})::text as v")
    for rows in ((wins, loses), (loses, wins)):
        make(engine, kind, rows)
        for query in queries:
            assert engine.fetch(f"with answer as ({query}) select v::text as v from answer") == [wanted], query


def make(engine, kind: str, values: tuple[str, ...]) -> None:
    for name in ("facts", "asks"):
        engine.connection.execute(f"drop table if exists {name}")
    engine.connection.execute(f"create temp table facts (k bigint, t timestamp, v {kind})")
    engine.connection.execute("create temp table asks as select 1::bigint as k, timestamp '2013-01-02 00:00:00' as at")
    for value in values:
        engine.connection.execute(f"insert into facts values (1, timestamp '2013-01-01 00:00:00', {value})")


@pytest.mark.parametrize(("kind", "moment"), [("timestamp_ns", "timestamp_ns"), ("timestamp", "timestamp")])
def test_rows_that_are_unique_by_nanoseconds_alone_are_ties(engines, kind, moment):
    """Proven unique in the table, they are read in microseconds: features decide, as `get` does, not their place."""
    engine = engines["duckdb"]
    view = view_of({"k": "bigint", "t": kind, "v": "varchar"}, is_unique=True)
    assert ViewQuery(view, dialect=dialect_named("duckdb")).is_unique is (kind == "timestamp")
    queries = [*asked_in_every_way(view, "duckdb"), render(newest(view, "duckdb"), dialect=dialect_named("duckdb"))]
    second = "000000002" if kind == "timestamp_ns" else "000002"
    rows = [
        f"(1, {moment} '2013-01-01 00:00:00.{second[:-1]}1', 'a')",
        f"(1, {moment} '2013-01-01 00:00:00.{second}', 'b')",
    ]
    for ordered in (rows, rows[::-1]):
        make(engine, "varchar", ())
        engine.connection.execute("drop table facts")
        engine.connection.execute(f"create temp table facts (k bigint, t {kind}, v varchar)")
        engine.connection.execute(f"insert into facts values {', '.join(ordered)}")
        for query in queries:
            assert engine.fetch(f"with answer as ({query}) select v from answer") == [{"v": "b"}], query


def view_of(types: dict[str, str], **settings) -> FeatureView:
    return FeatureView(
        name="facts",
        relation=relation("facts", types),
        entities=(Entity(name="k", join_keys=("k",)),),
        features=(Feature(name="v"),),
        event_timestamp="t",
        history=History.EVENTS,
        **settings,
    )


def relation(name: str, types: dict[str, str], event_time: str | None = None) -> Relation:
    return Relation(
        name=name,
        unique_id=f"model.ties.{name}",
        location=Location("ties.yml", name),
        columns={each: Column(name=each, data_type=kind, stored_as=each) for each, kind in types.items()},
        columns_are_complete=True,
        event_time=event_time,
    )


def asked_in_every_way(view: FeatureView, dialect: str, asked: Period | None = None) -> list[str]:
    service = FeatureService(name="s", selections=(selection_of(view),))
    spine = Spine(relation=relation("asks", {"k": "bigint", "at": "timestamp"}, event_time="at"))
    join = PointInTimeJoin(service, spine, dialect=dialect_named(dialect))
    return [
        render(training_query(join, strategy=strategy, asked=asked), dialect=join.dialect)
        for strategy in join.dialect.strategies
    ]


def newest(view: FeatureView, dialect: str) -> exp.Select:
    """Select what a push would stage, before it is turned into what Redis holds."""
    query = ViewQuery(view, dialect=dialect_named(dialect))
    return newest_rows(query, until=query.dialect.moment(NOON + timedelta(days=1)))


def test_numbers_that_are_one_key_are_one_key_in_redis_however_they_are_written(engines):
    engine = engines["postgres"]
    engine.connection.execute("drop table if exists facts")
    engine.connection.execute("create temp table facts (k numeric, t timestamp, v bigint)")
    for key, at, value in (("1.0", "2013-01-01", 1), ("1.00", "2013-01-02", 2), ("100", "2013-01-01", 3)):
        engine.connection.execute(f"insert into facts values ({key}, timestamp '{at}', {value})")
    dialect = dialect_named("postgres")
    query = ViewQuery(view_of({"k": "numeric", "t": "timestamp", "v": "bigint"}), dialect=dialect)
    found = engine.fetch(render(latest_rows(query, now=NOON + timedelta(days=2)), dialect=dialect))
    assert sorted((row["k"], row["v"]) for row in found) == [("1", 2), ("100", 3)]


ENDS = [
    "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "infinity", "-infinity", "0044-03-15 00:00:00 BC",
]  # fmt: skip


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
@pytest.mark.parametrize("at", ENDS)
def test_moments_at_the_ends_of_time_are_answered_whatever_ttl_and_lag_there_are(engines, dialect, at):
    engine = engines[dialect]
    at = at.replace(" BC", " (BC)" if dialect == "duckdb" else " BC")
    if dialect == "duckdb" and "(BC)" in at:
        at = "0044-03-15 (BC) 00:00:00"
    for name in ("facts", "asks"):
        engine.connection.execute(f"drop table if exists {name}")
    engine.connection.execute("create temp table facts (k bigint, t timestamp, v bigint)")
    engine.connection.execute(f"create temp table asks as select 1::bigint as k, timestamp '{at}' as at")
    engine.connection.execute(f"insert into facts values (1, timestamp '{at}', 7)")
    ages = {"": 7, "ttl": 7, "lag": 7 if "infinity" in at else None, "both": 7 if "infinity" in at else None}
    hour = timedelta(hours=1)
    for age, wanted in ages.items():
        settings = {"ttl": 30 * 24 * hour} if age in ("ttl", "both") else {}
        settings |= {"lag": hour} if age in ("lag", "both") else {}
        view = view_of({"k": "bigint", "t": "timestamp", "v": "bigint"}, **settings)
        for query in asked_in_every_way(view, dialect):
            shown = f"with answer as ({query}) select v from answer"
            assert engine.fetch(shown) == [{"v": wanted}], (age, query)


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
@pytest.mark.parametrize("timezone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def test_bounds_beyond_the_years_of_a_calendar_are_left_out(dialect, kind, timezone):
    day = timedelta(days=1)
    view = view_of({"k": "bigint", "t": kind, "v": "bigint"}, ttl=30 * day, lag=day, timezone=timezone)
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    service = FeatureService(name="s", selections=(selection_of(view),))
    spine = Spine(relation=relation("asks", {"k": "bigint", "at": "timestamp"}, event_time="at"))
    for asked in (Period(first, first), Period(last, last), Period(first, last)):
        join = PointInTimeJoin(service, spine, dialect=dialect_named(dialect), native=dialect_named("duckdb"))
        assert render(training_query(join, asked=asked), dialect=join.dialect)
