"""BigQuery, whose TIMESTAMP is an instant and whose DATETIME is a wall clock."""

from __future__ import annotations

from datetime import timedelta

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect, call, in_units
from feature_sync.value_types import ValueType


class BigQuery(Dialect):
    """Moments are TIMESTAMPs; a DATETIME becomes one on purpose, and never meets one otherwise."""

    name = "bigquery"
    moment_type = "timestamptz"
    puts_nan_highest = False

    def utc(self, moment: exp.Expr, kind: ValueType, *, timezone: str) -> exp.Expr:
        return moment if kind.kind == "timestamptz" else call("TIMESTAMP", moment, timezone)

    def later(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        return _moved(exp.TimestampAdd, moment, duration) if duration else moment

    def earlier(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        return _moved(exp.TimestampSub, moment, duration) if duration else moment

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        return call("UNIX_MICROS", moment)

    def json_text(self, value: exp.Expr) -> exp.Expr:
        return call("TO_JSON_STRING", value)


def _moved(how: type[exp.Expr], moment: exp.Expr, duration: timedelta) -> exp.Expr:
    size, unit = in_units(duration)
    return how(this=moment, expression=exp.Literal.number(size), unit=exp.var(unit))
