"""Snowflake."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect, call
from feature_sync.sql.dialects.clocks import last_reading

_Type = exp.DType


class Snowflake(Dialect):
    """Moments are TIMESTAMP_NTZ in UTC: the meaning of a plain TIMESTAMP depends on the account and the session."""

    name = "snowflake"
    caveat = "are tested on an emulator, which proves names and shapes, but not executed by us on Snowflake"
    moment_type = naive_type = "timestampntz"
    infinity = "inf"
    has_float32 = False
    plain_decimals: ClassVar[Mapping[exp.DType, tuple[int, int]]] = {_Type.DECIMAL: (38, 0)}
    explicit_types: ClassVar[Mapping[exp.DType, str]] = {
        _Type.TIMESTAMP: "timestampntz",
        _Type.DATETIME: "timestampntz",
    }

    def fold(self, name: str) -> str:
        return name.upper()

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        return call("DATE_PART", "epoch_microsecond", moment)

    def json_text(self, value: exp.Expr) -> exp.Expr:
        return call("TO_JSON", value)

    def _without_zone(self, instant: exp.Expr) -> exp.Expr:
        return self._cast(call("CONVERT_TIMEZONE", "UTC", instant))

    def _from_zone(self, wall_clock: exp.Expr, timezone: str) -> exp.Expr:
        """Convert by `last_reading`: which of two readings CONVERT_TIMEZONE takes is not documented."""
        return last_reading(
            wall_clock,
            read=lambda clock: call("CONVERT_TIMEZONE", timezone, "UTC", clock),
            show=lambda moment: call("CONVERT_TIMEZONE", "UTC", timezone, moment),
            move=lambda moment, days: self.later(moment, timedelta(days=days)),
        )
