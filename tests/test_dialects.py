"""Queries for warehouses that we do not run: they parse again, and hold nothing that their warehouse does not know."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from feature_sync.definitions import Period
from feature_sync.definitions.spine import Ordering
from feature_sync.sql.columns import is_not_null
from feature_sync.sql.dialects import DIALECTS, dialect_named
from feature_sync.sql.push.latest import latest_rows
from feature_sync.sql.render import render, write
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.training.point_in_time import training_query
from feature_sync.sql.view_query import ViewQuery
from tests.support.cases import NOON, cases
from tests.support.engines import examples

# Every function and type with parameters that a query may hold, each looked up in its warehouse's documentation.
EVERYWHERE = {"CAST", "COALESCE", "LOWER", "MAX", "MD5", "ROW_NUMBER"}
KNOWN = {
    "bigquery": {
        *("CONCAT", "DATETIME", "FORMAT", "GREATEST", "IEEE_DIVIDE", "IS_NAN", "SAFE.DATETIME_ADD", "SAFE.TIMESTAMP"),
        *("SAFE.TIMESTAMP_ADD", "SAFE.TIMESTAMP_SUB", "SUBSTRING", "TIMESTAMP", "TO_HEX", "TO_JSON_STRING"),
        "UNIX_MICROS",
    },
    "snowflake": {
        *("CONCAT", "CONVERT_TIMEZONE", "DATE_PART", "DECIMAL", "GREATEST_IGNORE_NULLS", "SUBSTRING", "TO_JSON"),
    },
    "redshift": {"DATEDIFF", "DECIMAL", "GREATEST", "JSON_SERIALIZE", "SUBSTRING", "VARCHAR"},
    "spark": {
        *("CONCAT", "DECIMAL", "FROM_UTC_TIMESTAMP", "GREATEST", "SUBSTRING", "TIMESTAMP_MICROS", "TO_JSON"),
        *("TO_UTC_TIMESTAMP", "UNIX_MICROS"),
    },
    "trino": {
        *("AT_TIMEZONE", "CONCAT", "DECIMAL", "GREATEST", "JSON_FORMAT", "SUBSTR", "TIMESTAMP", "TO_HEX"),
        *("TO_UNIXTIME", "TO_UTF8", "WITH_TIMEZONE"),
    },
    "clickhouse": {
        *(
            "CONCAT",
            "DateTime64",
            "Decimal",
            "GREATEST",
            "HEX",
            "Nullable",
            "SUBSTRING",
            "addDays",
            "addSeconds",
            "isNaN",
        ),
        *("subtractSeconds", "timeZoneOffset", "toDate32", "toDateTime64", "toJSONString", "toString", "toTimeZone"),
        "toUnixTimestamp64Micro",
    },
}
KNOWN["databricks"] = KNOWN["spark"]
WARNED = {"bigquery", "snowflake", "redshift", "databricks", "trino"}
NUMBERED = ("bigquery", "clickhouse")  # intervals are of numbers there, which sqlglot reads as text
NOWHERE = re.compile(r"\b(ASOF|LATERAL|QUALIFY|FILTER|MATERIALIZED|DISTINCT ON|COLLATE)\b|::")
NATIVE = DIALECTS["duckdb"]
PUSHED = ("bigquery", "duckdb", "postgres")
_NAMES_AND_TEXTS = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|/\*.*?\*/")


@st.composite
def spines(draw, spine):
    """A spine as it is, or a chosen part of it in an order."""
    since, until = NOON, NOON + timedelta(days=draw(st.integers(0, 3)))
    order = tuple(Ordering(name, draw(st.booleans())) for name in draw(st.permutations(list(spine.relation.columns))))
    return replace(
        spine,
        period=draw(st.sampled_from([Period(), Period(since), Period(None, until), Period(since, until)])),
        sample=draw(st.sampled_from([None, 0.25])),
        limit=draw(st.sampled_from([None, 10])),
        order_by=order[: draw(st.integers(0, 2))],
    )


@pytest.mark.parametrize("dialect", KNOWN)
@examples(10)
@given(data=st.data())
def test_a_query_reads_back_as_it_was_written_and_holds_only_what_its_warehouse_knows(dialect, data):
    case = data.draw(cases())
    spine = data.draw(spines(case.spine))
    asked = data.draw(st.sampled_from([None, case.asked]))
    join = PointInTimeJoin(case.service, spine, dialect=dialect_named(dialect), native=NATIVE)
    text = render(training_query(join, asked=asked), dialect=join.dialect)
    assert tokens(read_back(text, dialect), dialect) == tokens(text, dialect)
    bare = _NAMES_AND_TEXTS.sub("_", text)
    assert set(re.findall(r"([A-Za-z][\w.]*)\(", bare)) <= KNOWN[dialect] | EVERYWHERE
    assert NOWHERE.search(bare) is None


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@examples(4)
@given(data=st.data())
def test_no_term_of_an_order_leaves_its_direction_or_its_nulls_to_the_session(dialect, data):
    case = data.draw(cases())
    spine = data.draw(spines(case.spine))
    written = dialect_named(dialect)
    views = {each.view.reference: each.view for each in case.service.selections}.values()
    for strategy in (None, *written.strategies):
        if strategy == "bucket" and any(view.known_at for view in views):
            continue
        join = PointInTimeJoin(case.service, spine, dialect=written, native=NATIVE)
        check_order(training_query(join, strategy=strategy), dialect)
    for view in views if dialect in PUSHED else ():
        check_order(latest_rows(ViewQuery(view, dialect=written, native=NATIVE), now=NOON, sample=9), dialect)


def check_order(query: exp.Expr, dialect: str) -> None:
    text = render(query, dialect=dialect_named(dialect))
    bare = _NAMES_AND_TEXTS.sub("_", text)
    terms = sum(1 for _ in sqlglot.parse_one(text, dialect=dialect).find_all(exp.Ordered))
    assert len(re.findall(r"\b(?:ASC|DESC) NULLS (?:FIRST|LAST)\b", bare)) == terms, text


@pytest.mark.parametrize(
    "term",
    [
        pytest.param(exp.column("a"), id="a bare term"),
        pytest.param(exp.Ordered(this=exp.column("a")), id="no direction"),
        pytest.param(exp.Ordered(this=exp.column("a"), desc=True), id="no place of nulls"),
    ],
)
def test_an_order_that_leaves_something_to_the_session_is_not_written(term):
    with pytest.raises(ValueError, match="ORDER BY"):
        render(exp.select("a").from_("t").order_by(term), dialect=NATIVE)


@pytest.mark.parametrize("dialect", KNOWN)
def test_the_example_reads_back_as_it_was_written(example, dialect):
    asked = (
        "--since",
        "2013-01-02",
        "--until",
        "2013-01-03",
        "--sample",
        "0.5",
        "--limit",
        "9",
        "--order-by",
        "origin",
    )
    for arguments in ((), asked):
        done = example.feature_sync(
            "sql", "departure_delay_model", "--spine", "departures", *arguments, "--dialect", dialect
        )
        assert done.returncode == 0, done.stderr
        assert read_back(done.stdout, dialect) == done.stdout
        assert done.stderr.count("\n") == (dialect in WARNED), done.stderr


def test_a_dialect_warns_unless_the_engine_itself_has_run_its_queries():
    assert {name for name, dialect in DIALECTS.items() if dialect.caveat is not None} == WARNED


def tokens(text: str, dialect: str) -> list[tuple[object, str]]:
    """Take a query apart: sqlglot breaks lines elsewhere in a call that it read as SAFE's."""
    return [(each.token_type, each.text) for each in sqlglot.tokenize(text, read=dialect)]


def read_back(text: str, dialect: str) -> str:
    """Parse a query and write it again."""
    parsed = sqlglot.parse_one(text, dialect=dialect).transform(_spelled_as_usual)
    if dialect in ("spark", "databricks"):
        parsed = parsed.transform(_as_spark_calls)
    written = write(parsed, dialect=dialect_named(dialect)) + "\n"
    return re.sub(r"INTERVAL '(\d+)'", r"INTERVAL \1", written) if dialect in NUMBERED else written


def _spelled_as_usual(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Not) and isinstance(tested := node.this.unnest(), exp.Is):
        return is_not_null(tested.this)
    return node


def _as_spark_calls(node: exp.Expr) -> exp.Expr:
    """Undo what sqlglot makes of Spark's functions: it adds a cast to TIMESTAMP, which is the session's to choose."""
    if not isinstance(node, (exp.FromTimeZone, exp.AtTimeZone)):
        return node
    name = "TO_UTC_TIMESTAMP" if isinstance(node, exp.FromTimeZone) else "FROM_UTC_TIMESTAMP"
    moment = node.this.this.transform(_as_spark_calls)
    return exp.Anonymous(this=name, expressions=[moment, node.args["zone"]])
