"""ClickHouse, whose DateTime is an instant whatever zone it shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlglot import exp

from feature_sync.sql.columns import is_not_null
from feature_sync.sql.dialects.base import Dialect, call, in_units, wall_clock
from feature_sync.value_types import ValueType

_MICROSECONDS = exp.Literal.number(6)


class ClickHouse(Dialect):
    """Moments are DateTime64(6, 'UTC'); a row that a join did not find is null, which ClickHouse must be told."""

    name = "clickhouse"
    number_type = "uint64"
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
        # Of no value it makes the text "null", which would win ties.
        return exp.Case(ifs=[exp.If(this=is_not_null(value), true=call("toJSONString", value.copy()))])

    def finished(self, query: exp.Select) -> exp.Select:
        # Elsewhere a name in a query means a column first, and what the query calls so second.
        settings = ("join_use_nulls", "prefer_column_name_to_alias")
        query.set("settings", [exp.var(name).eq(1) for name in settings])
        return query

    def _interval(self, duration: timedelta) -> exp.Interval:
        size, unit = in_units(duration)
        return exp.Interval(this=exp.Literal.number(size), unit=exp.var(unit))


def _precise(moment: exp.Expr) -> exp.Expr:
    return call("toDateTime64", moment, _MICROSECONDS.copy(), "UTC")
