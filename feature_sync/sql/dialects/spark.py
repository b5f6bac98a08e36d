"""Spark and Databricks, whose TIMESTAMP is an instant."""

from __future__ import annotations

from datetime import timedelta

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect, call
from feature_sync.value_types import ValueType


class Spark(Dialect):
    """Moments are TIMESTAMPs; a wall clock becomes one by its text with a zone: the session's plays no part."""

    name = "spark"
    moment_type = "timestamptz"
    naive_type = "timestampntz"

    def fold(self, name: str) -> str:
        return name.lower()

    def utc(self, moment: exp.Expr, kind: ValueType, *, timezone: str) -> exp.Expr:
        if kind.kind == "timestamptz":
            return moment
        midnight = " 00:00:00" if kind.kind == "date" else ""
        return self._cast(call("CONCAT", exp.cast(moment, "text"), f"{midnight} {timezone}"))

    def later(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        return self._moved(exp.Add, moment, duration) if duration else moment

    def earlier(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        return self._moved(exp.Sub, moment, duration) if duration else moment

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        return call("UNIX_MICROS", moment)

    def json_text(self, value: exp.Expr) -> exp.Expr:
        return call("TO_JSON", value)

    def _moved(self, how: type[exp.Binary], moment: exp.Expr, duration: timedelta) -> exp.Expr:
        """Count in microseconds: an interval of a day is as long as the day is in the session's zone."""
        distance = exp.Literal.number(duration // timedelta(microseconds=1))
        return call("TIMESTAMP_MICROS", how(this=self.microseconds(moment), expression=distance))


class Databricks(Spark):
    """Databricks SQL is Spark's here."""

    name = "databricks"
