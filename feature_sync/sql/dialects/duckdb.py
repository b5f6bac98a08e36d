"""DuckDB."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect, call, if_finite
from feature_sync.value_types import ValueType


class DuckDB(Dialect):
    """The embedded warehouse: it has an ASOF join of its own."""

    name = "duckdb"
    caveat = None
    strategies = ("asof", "carry", "lateral")
    materializes = True
    has_endless_times = True

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        return call("EPOCH_US", moment)

    def days(self, date: exp.Expr) -> exp.Expr:
        return if_finite(date, super().days(date))

    def row_hash(self, values: Iterable[tuple[exp.Expr, ValueType]]) -> exp.Expr:
        """Hash all values, and a constant: DuckDB mixes what it has when the next value comes, so not the last."""
        parts = [part for value, kind in values for part in self._exact(value, kind)]
        return call("HASH", *parts, exp.Literal.number(0))

    @property
    def hash_version(self) -> str:
        from importlib.metadata import version

        return f"duckdb {version('duckdb')}"

    def _exact(self, value: exp.Expr, kind: ValueType) -> list[exp.Expr]:
        """HASH calls 0.0 and -0.0 equal; of a null, the sign is null too."""
        if kind.kind == "float64":
            return [value, call("SIGNBIT", value.copy())]
        return super()._exact(value, kind)

    def by_code_point(self, text: exp.Expr) -> exp.Expr:
        """Order as text, bytewise: a column may have its own collation, an ENUM the order of its declaration."""
        return exp.Collate(this=exp.cast(text, "text"), expression=exp.to_identifier("C", quoted=True))

    def tell_equals_apart(self, value: exp.Expr, kind: ValueType) -> list[exp.Expr]:
        """A sign is cheaper than text; TO_JSON drops the spacing of JSON, wherever it stands, and the text keeps it."""
        if kind.kind == "float64":
            return [exp.not_(call("SIGNBIT", value))]
        if kind.kind in ("json", "array", "struct"):
            return [self.by_code_point(value)] if kind.holds("json") else []
        return super().tell_equals_apart(value, kind)

    def convert_array(self, value: exp.Expr, item: exp.Identifier, converted: exp.Expr) -> exp.Expr:
        return call("LIST_TRANSFORM", value, exp.Lambda(this=converted, expressions=[item]))

    def any_item(self, value: exp.Expr, item: exp.Identifier, condition: exp.Expr) -> exp.Expr:
        found = call("LIST_FILTER", value, exp.Lambda(this=condition, expressions=[item]))
        return exp.GT(this=call("LEN", found), expression=exp.Literal.number(0))
