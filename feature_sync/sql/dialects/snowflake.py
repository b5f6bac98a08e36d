"""Snowflake."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect, call


class Snowflake(Dialect):
    """Moments are TIMESTAMP_NTZ in UTC: what a plain TIMESTAMP is depends on the account."""

    name = "snowflake"
    moment_type = naive_type = "timestampntz"

    def fold(self, name: str) -> str:
        return name.upper()

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        return call("DATE_PART", "epoch_microsecond", moment)

    def json_text(self, value: exp.Expr) -> exp.Expr:
        return call("TO_JSON", value)

    def _without_zone(self, instant: exp.Expr) -> exp.Expr:
        return self._cast(call("CONVERT_TIMEZONE", "UTC", instant))

    def _from_zone(self, wall_clock: exp.Expr, timezone: str) -> exp.Expr:
        return call("CONVERT_TIMEZONE", timezone, "UTC", wall_clock)
