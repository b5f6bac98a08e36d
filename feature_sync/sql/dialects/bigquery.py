"""BigQuery, whose TIMESTAMP is an instant and whose DATETIME is a wall clock."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlglot import exp

from feature_sync.sql.columns import is_not_null
from feature_sync.sql.dialects.base import Dialect, call, in_units
from feature_sync.value_types import ValueType


class BigQuery(Dialect):
    """Moments are TIMESTAMPs; a DATETIME becomes one on purpose, and never meets one otherwise."""

    name = "bigquery"
    caveat = "are tested with Google's own analyzer and reference engine, but not executed by us on BigQuery"
    moment_type = "timestamptz"
    puts_nan_highest = False

    def utc(self, moment: exp.Expr, kind: ValueType, *, timezone: str) -> exp.Expr:
        if kind.kind == "timestamptz":
            return moment
        if timezone.upper() == "UTC":
            return call("TIMESTAMP", moment, timezone)
        return _last_reading(exp.cast(moment, "datetime") if kind.kind == "date" else moment, timezone)

    def later(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        return _moved(exp.TimestampAdd, moment, duration) if duration else moment

    def earlier(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        return _moved(exp.TimestampSub, moment, duration) if duration else moment

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        return call("UNIX_MICROS", moment)

    def days(self, date: exp.Expr) -> exp.Expr:
        return call("UNIX_DATE", date)

    def row_hash(self, values: Iterable[tuple[exp.Expr, ValueType]]) -> exp.Expr:
        """Hash the row's JSON text, as a number whose sum does not overflow."""
        row = call("STRUCT", *(value for value, _ in values))
        return exp.cast(call("FARM_FINGERPRINT", call("TO_JSON_STRING", row)), "decimal")

    def json_text(self, value: exp.Expr) -> exp.Expr:
        # Of no value it makes the text "null", which would win ties.
        text = exp.If(this=is_not_null(value), true=call("TO_JSON_STRING", value.copy()))
        return exp.Case(ifs=[text])

    def stored_json(self, value: exp.Expr) -> exp.Expr:
        return self.json_text(value)


def _last_reading(wall_clock: exp.Expr, timezone: str) -> exp.Expr:
    """Read a wall clock; BigQuery takes the first of two readings, so see whether the next day's offset gives another.

    The last day that BigQuery knows has no next one: there SAFE gives null, and the first reading stays.
    """
    a_day = exp.Interval(this=exp.Literal.number(1), unit=exp.var("DAY"))
    next_day = call("TIMESTAMP", call("SAFE.DATETIME_ADD", wall_clock, a_day), timezone)
    last = _moved(exp.TimestampSub, next_day, timedelta(days=1))
    shows_the_same = call("DATETIME", last.copy(), timezone).eq(wall_clock.copy())
    return exp.Case(
        ifs=[exp.If(this=shows_the_same, true=last)], default=call("TIMESTAMP", wall_clock.copy(), timezone)
    )


def _moved(how: type[exp.Expr], moment: exp.Expr, duration: timedelta) -> exp.Expr:
    size, unit = in_units(duration)
    return how(this=moment, expression=exp.Literal.number(size), unit=exp.var(unit))
