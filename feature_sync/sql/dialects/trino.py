"""Trino."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect, call


class Trino(Dialect):
    """Moments are TIMESTAMP(6): a plain TIMESTAMP truncates to milliseconds."""

    name = "trino"
    caveat = "are not executed by us"
    moment_type = naive_type = "timestamp(6)"
    plain_decimals: ClassVar[Mapping[exp.DType, tuple[int, int]]] = {exp.DType.DECIMAL: (38, 0)}

    def fold(self, name: str) -> str:
        return name.lower()

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        instant = call("WITH_TIMEZONE", moment, "UTC")
        return exp.cast(exp.Mul(this=call("TO_UNIXTIME", instant), expression=exp.Literal.number(1_000_000)), "bigint")

    def json_text(self, value: exp.Expr) -> exp.Expr:
        return call("JSON_FORMAT", exp.cast(value, "json"))

    def md5(self, text: exp.Expr) -> exp.Expr:
        return exp.MD5(this=call("TO_UTF8", text))

    def _without_zone(self, instant: exp.Expr) -> exp.Expr:
        return self._cast(call("AT_TIMEZONE", instant, "UTC"))

    def _from_zone(self, wall_clock: exp.Expr, timezone: str) -> exp.Expr:
        return self._without_zone(call("WITH_TIMEZONE", wall_clock, timezone))
