"""BigQuery, whose TIMESTAMP is an instant and whose DATETIME is a wall clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from sqlglot import exp

from feature_sync.sql.columns import is_not_null, named, quoted
from feature_sync.sql.dialects.base import Dialect, call, in_units
from feature_sync.value_types import ValueType

_MOST_CLUSTERED = 4
_DAYS_TO_KEEP = 7
"""How long tables that a killed push left behind cost anything: the next push is to come before."""
_FIRST_MOMENT = datetime(1, 1, 1, tzinfo=UTC)
_HASH_VERSION = 2
"""Raise it when the same rows get other hashes."""
_HASH_DIGITS = 15
"""How many hexadecimal digits BigQuery reads as a positive INT64."""


class BigQuery(Dialect):
    """Moments are TIMESTAMPs; a DATETIME becomes one on purpose, and never meets one otherwise."""

    name = "bigquery"
    caveat = "are tested with Google's own analyzer and reference engine, but not executed by us on BigQuery"
    moment_type = "timestamptz"
    is_null_beyond_time = True
    puts_nan_highest = False
    # It has transactions, but none in which a table is made; and its keys are promises that nobody keeps.
    has_transactions = False

    def utc(self, moment: exp.Expr, kind: ValueType, *, timezone: str) -> exp.Expr:
        if kind.kind == "timestamptz":
            return moment
        if timezone.upper() == "UTC":
            return call("TIMESTAMP", moment, timezone)
        return _last_reading(exp.cast(moment, "datetime") if kind.kind == "date" else moment, timezone)

    def later(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        return _moved("SAFE.TIMESTAMP_ADD", moment, duration) if duration else moment

    def earlier(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        """Move back; before the first moment that BigQuery knows, that one stands, which no row precedes."""
        if not duration:
            return moment
        first = exp.If(this=is_not_null(moment.copy()), true=self.moment(_FIRST_MOMENT))
        return exp.Coalesce(this=_moved("SAFE.TIMESTAMP_SUB", moment, duration), expressions=[exp.Case(ifs=[first])])

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        return call("UNIX_MICROS", moment)

    def days(self, date: exp.Expr) -> exp.Expr:
        return call("UNIX_DATE", date)

    def row_hash(self, values: Iterable[tuple[exp.Expr, ValueType]]) -> exp.Expr:
        """Hash the row's JSON text to 60 bits, as a number whose sum does not overflow.

        Each value is named by its position: of two without a name, or with the same, the text may hold one.
        """
        parts: list[exp.Expr] = []
        for value, kind in values:
            parts += [value, *(self.tell_equals_apart(value.copy(), kind) if kind.kind == "float64" else [])]
        row = call("TO_JSON_STRING", call("STRUCT", *(named(each, f"_{at}") for at, each in enumerate(parts))))
        digits = exp.Substring(
            this=exp.MD5(this=row), start=exp.Literal.number(1), length=exp.Literal.number(_HASH_DIGITS)
        )
        return exp.cast(exp.cast(call("CONCAT", "0x", digits), "bigint"), "decimal")

    @property
    def hash_version(self) -> str:
        return f"{self.name} {_HASH_VERSION}"

    def json_text(self, value: exp.Expr) -> exp.Expr:
        # Of no value it makes the text "null", which would win ties.
        text = exp.If(this=is_not_null(value), true=call("TO_JSON_STRING", value.copy()))
        return exp.Case(ifs=[text])

    def tell_equals_apart(self, value: exp.Expr, kind: ValueType) -> list[exp.Expr]:
        """Write zeros by what they divide 1 to, arrays and structs as literals: as text and as JSON, -0.0 is 0."""
        if kind.kind == "float64":
            return [exp.cast(call("IEEE_DIVIDE", exp.Literal.number(1), value), "double")]
        if kind.kind in ("array", "struct"):
            return [call("FORMAT", "%T", value)] if kind.holds("float64") else []
        return super().tell_equals_apart(value, kind)

    def stored_json(self, value: exp.Expr) -> exp.Expr:
        return self.json_text(value)

    def layout(self, keys: Sequence[str]) -> exp.Properties:
        days = exp.TimestampAdd(
            this=call("CURRENT_TIMESTAMP"), expression=exp.Literal.number(_DAYS_TO_KEEP), unit=exp.var("DAY")
        )
        columns = [quoted(key) for key in keys[:_MOST_CLUSTERED]]
        return exp.Properties(expressions=[exp.ClusterProperty(expressions=columns), _expiring(days)])

    def kept(self, table: exp.Table) -> exp.Expr:
        options = exp.Properties(expressions=[_expiring(exp.null())])
        return exp.Alter(this=table, kind="TABLE", actions=[exp.AlterSet(expressions=[options])])


def _expiring(moment: exp.Expr) -> exp.Property:
    return exp.Property(this=exp.var("expiration_timestamp"), value=moment)


def _last_reading(wall_clock: exp.Expr, timezone: str) -> exp.Expr:
    """Read a wall clock; BigQuery takes the first of two readings, so see whether the next day's offset gives another.

    The last day that BigQuery knows has no next one: there SAFE gives null, and the first reading stays.
    """
    a_day = exp.Interval(this=exp.Literal.number(1), unit=exp.var("DAY"))
    next_day = call("SAFE.TIMESTAMP", call("SAFE.DATETIME_ADD", wall_clock, a_day), timezone)
    last = _moved("SAFE.TIMESTAMP_SUB", next_day, timedelta(days=1))
    shows_the_same = call("DATETIME", last.copy(), timezone).eq(wall_clock.copy())
    return exp.Case(
        ifs=[exp.If(this=shows_the_same, true=last)], default=call("TIMESTAMP", wall_clock.copy(), timezone)
    )


def _moved(how: str, moment: exp.Expr, duration: timedelta) -> exp.Expr:
    """Move a moment; beyond the years 1 to 9999, SAFE gives null instead of an error that ends the whole query."""
    size, unit = in_units(duration)
    return call(how, moment, exp.Interval(this=exp.Literal.number(size), unit=exp.var(unit)))
