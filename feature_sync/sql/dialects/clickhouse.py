"""ClickHouse, whose DateTime is an instant, whichever zone it is displayed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from sqlglot import exp

from feature_sync.sql.columns import is_not_null
from feature_sync.sql.dialects.base import Dialect, call, in_units, wall_clock
from feature_sync.sql.dialects.clocks import last_reading
from feature_sync.value_types import ValueType

_Type = exp.DType
_MICROSECONDS = exp.Literal.number(6)
_INSTANT = "Nullable(DateTime64(6, 'UTC'))"
_SETTINGS = {
    "join_use_nulls": 1,
    "join_default_strictness": "ALL",
    # Other warehouses resolve a name to a column first, and to an alias of the query second.
    "prefer_column_name_to_alias": 1,
    # Ties are decided by JSON text, which quotes no numbers in other warehouses.
    "output_format_json_quote_64bit_integers": 0,
}
"""Settings that a query needs for the meaning it has in other warehouses, whatever the session sets."""


class ClickHouse(Dialect):
    """Moments are DateTime64(6, 'UTC'); a naive timestamp is what its column displays in UTC.

    Columns of an unmatched row in a left join are null only with the setting `join_use_nulls`.
    """

    name = "clickhouse"
    number_type = "Nullable(UInt64)"
    puts_nan_highest = False
    names_by_table = True
    plain_decimals: ClassVar[Mapping[exp.DType, tuple[int, int]]] = {_Type.DECIMAL: (10, 0)}
    explicit_types: ClassVar[Mapping[exp.DType, str]] = {
        # A plain DateTime has no fractions of a second and ends in 2106; a plain Date begins in 1970.
        _Type.DATE: "Nullable(Date32)",
        **dict.fromkeys((_Type.DATETIME, _Type.TIMESTAMP, _Type.TIMESTAMPNTZ), _INSTANT),
        **dict.fromkeys((_Type.TIMESTAMPTZ, _Type.TIMESTAMPLTZ), _INSTANT),
    }

    def utc(self, moment: exp.Expr, kind: ValueType, *, timezone: str) -> exp.Expr:
        moment = _precise(moment)
        if kind.kind == "timestamptz" or timezone.upper() == "UTC":
            return moment
        return last_reading(moment, _reading(timezone), _showing(timezone), _days)

    def moment(self, moment: datetime) -> exp.Expr:
        return _precise(exp.Literal.string(wall_clock(moment)))

    def literal(self, moment: datetime, kind: ValueType) -> exp.Expr:
        if kind.kind == "date":
            return call("toDate32", moment.date().isoformat())
        return self.moment(moment if kind.kind == "timestamptz" else moment.replace(tzinfo=UTC))

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        return call("toUnixTimestamp64Micro", moment)

    def json_text(self, value: exp.Expr) -> exp.Expr:
        # toJSONString writes NULL as the text "null", which would win ties.
        return exp.Case(ifs=[exp.If(this=is_not_null(value), true=call("toJSONString", value.copy()))])

    def ordered_text(self, value: exp.Expr, kind: ValueType) -> exp.Expr:
        """Use JSON unchanged: it may be stored as text, which toJSONString would quote once more."""
        return call("toString", value) if kind.kind == "json" else self.json_text(value)

    def finished(self, query: exp.Select) -> exp.Select:
        for select in query.find_all(exp.Select):
            named = [
                exp.alias_(each, each.name, quoted=True) if isinstance(each, exp.Column) and each.table else each
                for each in select.expressions
            ]
            select.set("expressions", named)
        query.set("settings", [exp.var(name).eq(exp.convert(value)) for name, value in _SETTINGS.items()])
        return query

    def _interval(self, duration: timedelta) -> exp.Interval:
        size, unit = in_units(duration)
        return exp.Interval(this=exp.Literal.number(size), unit=exp.var(unit))


def _precise(moment: exp.Expr) -> exp.Expr:
    return call("toDateTime64", moment, _MICROSECONDS.copy(), "UTC")


def _offset(moment: exp.Expr, timezone: str) -> exp.Expr:
    """Return by how many seconds a zone is ahead of UTC at a moment."""
    return call("timeZoneOffset", call("toTimeZone", moment, timezone))


def _reading(timezone: str) -> Callable[[exp.Expr], exp.Expr]:
    """Return the conversion of a wall clock by the zone's offset at that time in UTC.

    It is hours off near a change of the clock; `last_reading` asks a day away from it.
    """
    return lambda clock: call("subtractSeconds", clock, _offset(clock.copy(), timezone))


def _showing(timezone: str) -> Callable[[exp.Expr], exp.Expr]:
    return lambda moment: call("addSeconds", moment.copy(), _offset(moment.copy(), timezone))


def _days(moment: exp.Expr, days: int) -> exp.Expr:
    return call("addDays", moment, exp.Literal.number(days))
