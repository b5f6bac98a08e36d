"""ClickHouse, whose DateTime is an instant whatever zone it shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect, call, in_units, wall_clock
from feature_sync.value_types import ValueType

_MICROSECONDS = exp.Literal.number(6)


class ClickHouse(Dialect):
    """Moments are DateTime64(6, 'UTC'); a row that a join did not find is null, which ClickHouse must be told."""

    name = "clickhouse"
    puts_nan_highest = False

    def utc(self, moment: exp.Expr, kind: ValueType, *, timezone: str) -> exp.Expr:
        if kind.kind != "timestamptz" and timezone.upper() != "UTC":
            moment = call("toUTCTimestamp", _precise(moment), timezone)
        return _precise(moment)

    def moment(self, moment: datetime) -> exp.Expr:
        return _precise(exp.Literal.string(wall_clock(moment)))

    def literal(self, moment: datetime, kind: ValueType) -> exp.Expr:
        if kind.kind == "date":
            return call("toDate", moment.date().isoformat())
        return self.moment(moment if kind.kind == "timestamptz" else moment.replace(tzinfo=UTC))

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        return call("toUnixTimestamp64Micro", moment)

    def json_text(self, value: exp.Expr) -> exp.Expr:
        return call("toJSONString", value)

    def finished(self, query: exp.Select) -> exp.Select:
        query.set("settings", [exp.EQ(this=exp.var("join_use_nulls"), expression=exp.Literal.number(1))])
        return query

    def _interval(self, duration: timedelta) -> exp.Interval:
        size, unit = in_units(duration)
        return exp.Interval(this=exp.Literal.number(size), unit=exp.var(unit))


def _precise(moment: exp.Expr) -> exp.Expr:
    return call("toDateTime64", moment, _MICROSECONDS.copy(), "UTC")
