"""Spark and Databricks, whose TIMESTAMP_LTZ is an instant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from sqlglot import exp

from feature_sync.errors import UnfitValue
from feature_sync.sql.dialects.base import Dialect, call
from feature_sync.sql.dialects.clocks import last_reading
from feature_sync.value_types import ValueType

_Type = exp.DType


class Spark(Dialect):
    """Moments are TIMESTAMP_LTZ; a wall clock is cast from text that names a zone, independent of the session's."""

    name = "spark"
    moment_type = "timestampltz"
    naive_type = "timestampntz"
    has_far_times = True
    plain_decimals: ClassVar[Mapping[exp.DType, tuple[int, int]]] = {_Type.DECIMAL: (10, 0)}
    # The meaning of TIMESTAMP is a setting of the session.
    explicit_types: ClassVar[Mapping[exp.DType, str]] = {
        _Type.TIMESTAMP: "timestamp_ntz",
        _Type.DATETIME: "timestamp_ntz",
        _Type.TIMESTAMPTZ: "timestamp_ltz",
    }

    def fold(self, name: str) -> str:
        return name.lower()

    def utc(self, moment: exp.Expr, kind: ValueType, *, timezone: str) -> exp.Expr:
        if kind.kind == "timestamptz":
            return moment
        midnight = " 00:00:00" if kind.kind == "date" else ""
        clock = self._cast(call("CONCAT", exp.cast(moment, "text"), f"{midnight} UTC"))
        if timezone.upper() == "UTC":
            return clock
        return last_reading(
            clock,
            read=lambda moment: call("TO_UTC_TIMESTAMP", moment, timezone),
            show=lambda moment: call("FROM_UTC_TIMESTAMP", moment, timezone),
            move=lambda moment, days: self.later(moment, timedelta(days=days)),
        )

    def later(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        return self._moved(exp.Add, moment, duration) if duration else moment

    def earlier(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        return self._moved(exp.Sub, moment, duration) if duration else moment

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        return call("UNIX_MICROS", moment)

    def days(self, date: exp.Expr) -> exp.Expr:
        return call("UNIX_DATE", date)

    def convert_array(self, value: exp.Expr, item: exp.Identifier, converted: exp.Expr) -> exp.Expr:
        return call("TRANSFORM", value, exp.Lambda(this=converted, expressions=[item]))

    def any_item(self, value: exp.Expr, item: exp.Identifier, condition: exp.Expr) -> exp.Expr:
        return exp.Anonymous(this="EXISTS", expressions=[value, exp.Lambda(this=condition, expressions=[item])])

    def refuse(self, name: str, reason: str, value: exp.Expr) -> exp.Expr:
        del value
        return call("RAISE_ERROR", UnfitValue.written(name, reason))

    def json_text(self, value: exp.Expr) -> exp.Expr:
        return call("TO_JSON", value)

    def ordered_text(self, value: exp.Expr, kind: ValueType) -> exp.Expr:
        """Use JSON unchanged: Spark stores it as text, for which TO_JSON is not defined."""
        return exp.cast(value, "text") if kind.kind == "json" else self.json_text(value)

    def _moved(self, how: type[exp.Binary], moment: exp.Expr, duration: timedelta) -> exp.Expr:
        """Move by microseconds: an interval of a day would be as long as that day in the session's zone."""
        distance = exp.Literal.number(duration // timedelta(microseconds=1))
        return call("TIMESTAMP_MICROS", how(this=self.microseconds(moment), expression=distance))


class Databricks(Spark):
    """Databricks, whose SQL is written as Spark's."""

    name = "databricks"
    caveat = "are tested on Spark, but not executed by us on Databricks"
