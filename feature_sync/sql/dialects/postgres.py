"""PostgreSQL, and Redshift, which was one once."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect, call
from feature_sync.value_types import ValueType

_SENT = {
    "float64": ("FLOAT8SEND", "double"),
    "int64": ("INT8SEND", "bigint"),
    "timestamp": ("TIMESTAMP_SEND", "timestamp"),
    "timestamptz": ("TIMESTAMPTZ_SEND", "timestamptz"),
}


class Postgres(Dialect):
    """PostgreSQL: an index lets it look rows up one by one; without it, it counts where they belong among moments."""

    name = "postgres"
    caveat = None
    strategies = ("bucket", "carry", "lateral")
    longest_name = 63
    looks_up_by_index = True
    # PostgreSQL misjudges how many rows the steps leave, and then merges on the keys alone: every moment asked would
    # meet every row of its entity.
    numbers_across_entities = True
    materializes = True

    def fold(self, name: str) -> str:
        return name.lower()

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        """Count seconds and microseconds apart: each is exact as a double, and much faster than as a numeric."""
        seconds = exp.cast(call("DATE_PART", "epoch", call("DATE_TRUNC", "second", moment)), "bigint")
        within_minute = exp.cast(call("DATE_PART", "microseconds", moment.copy()), "bigint")
        second = exp.Literal.number(1_000_000)
        rest = exp.Mod(this=within_minute, expression=second)
        return exp.paren(exp.Add(this=exp.Mul(this=seconds, expression=second.copy()), expression=rest))

    def row_hash(self, values: Iterable[tuple[exp.Expr, ValueType]]) -> exp.Expr:
        parts = [part for value, kind in values for part in self._exact(value, kind)]
        return call("HASH_RECORD_EXTENDED", call("ROW", *parts), exp.Literal.number(0))

    def _exact(self, value: exp.Expr, kind: ValueType) -> list[exp.Expr]:
        """Write numbers and times as the bytes that PostgreSQL sends.

        As numbers, 0.0 and -0.0 are equal. Of 64 bits PostgreSQL hashes 32: the halves of an integer or a time, folded,
        so that 0 and 4294967297 would have the same hash.
        """
        if kind.kind in _SENT:
            sends, data_type = _SENT[kind.kind]
            return [call(sends, exp.cast(value, data_type))]
        return super()._exact(value, kind)

    def by_code_point(self, text: exp.Expr) -> exp.Expr:
        return exp.Collate(this=text, expression=exp.to_identifier("C", quoted=True))


class Redshift(Dialect):
    """Redshift orders text by code point already, and keeps JSON and arrays in SUPER."""

    name = "redshift"
    longest_name = 127

    def fold(self, name: str) -> str:
        return name.lower()

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        epoch = self._cast(exp.Literal.string("1970-01-01"))
        return exp.Anonymous(this="DATEDIFF", expressions=[exp.var("MICROSECOND"), epoch, moment])

    def json_text(self, value: exp.Expr) -> exp.Expr:
        return call("JSON_SERIALIZE", value)
