"""DuckDB."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect, call


class DuckDB(Dialect):
    """The embedded warehouse: it has an ASOF join of its own."""

    name = "duckdb"
    caveat = None
    strategies = ("asof", "carry", "lateral")
    materializes = True

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        return call("EPOCH_US", moment)

    def convert_array(self, value: exp.Expr, item: exp.Identifier, converted: exp.Expr) -> exp.Expr:
        return call("LIST_TRANSFORM", value, exp.Lambda(this=converted, expressions=[item]))
