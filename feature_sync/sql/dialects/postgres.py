"""PostgreSQL, and Redshift, which derives from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from sqlglot import exp

from feature_sync.errors import UnfitValue
from feature_sync.sql.dialects.base import Dialect, call, if_finite
from feature_sync.value_types import ValueType

_SENT = {
    "float64": ("FLOAT8SEND", "double"),
    "int64": ("INT8SEND", "bigint"),
    "timestamp": ("TIMESTAMP_SEND", "timestamp"),
    "timestamptz": ("TIMESTAMPTZ_SEND", "timestamptz"),
}

_SIGN_BIT = exp.Literal.number(7)
"""The highest bit of the first byte: PostgreSQL counts the bits of a byte from the lowest."""


class Postgres(Dialect):
    """PostgreSQL: with an index it looks rows up one by one, without one it puts them into buckets of moments."""

    name = "postgres"
    caveat = None
    strategies = ("bucket", "carry", "lateral")
    longest_name = 63
    looks_up_by_index = True
    # PostgreSQL misjudges how many rows the steps return, and then merges on the keys alone: every moment asked would
    # be compared with every row of its entity.
    numbers_across_entities = True
    has_distinct_on = True
    deep_from = 16
    hash_join_setting = "enable_hashjoin"
    hashes_rows = False  # hashing a row takes three times as long as comparing two rows
    materializes = True
    has_infinite_times = True
    has_numeric_nan = True
    hides_dimensions = True

    def fold(self, name: str) -> str:
        return name.lower()

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        """Count days and seconds of the day separately: these are exact as doubles, and much faster than numerics."""
        days = exp.Mul(
            this=exp.paren(super().days(exp.cast(moment, "date"))), expression=exp.Literal.number(86_400_000_000)
        )
        seconds = call("DATE_PART", "epoch", exp.cast(moment.copy(), "time"))
        rest = exp.cast(exp.Mul(this=seconds, expression=exp.Literal.number(1_000_000)), "bigint")
        return if_finite(moment, exp.Add(this=days, expression=rest))

    def days(self, date: exp.Expr) -> exp.Expr:
        return if_finite(date, super().days(date))

    def row_hash(self, values: Iterable[tuple[exp.Expr, ValueType]]) -> exp.Expr:
        """Hash the row's hash a second time.

        PostgreSQL's hash of a record is a sum over its columns, each times a power of 31. The sum of such hashes over
        many rows would stay the same when two rows exchange values.
        """
        parts = [part for value, kind in values for part in self._exact(value, kind)]
        return _hash_record([call("INT8SEND", _hash_record(parts))])

    def _exact(self, value: exp.Expr, kind: ValueType) -> list[exp.Expr]:
        """Write numbers and times as the bytes that PostgreSQL sends.

        As numbers, 0.0 and -0.0 are equal. And PostgreSQL folds the two halves of a 64-bit integer or time before it
        hashes them, so that 0 and 4294967297 would have the same hash.
        """
        if kind.kind in _SENT:
            sends, data_type = _SENT[kind.kind]
            return [call(sends, exp.cast(value, data_type))]
        return super()._exact(value, kind)

    def differ(self, one: exp.Expr, other: exp.Expr, kind: ValueType) -> exp.Expr:
        """Compare doubles as numbers, which is faster than as text, and zeros by their bytes, as 0.0 equals -0.0."""
        if kind.kind != "float64":
            return super().differ(one, other, kind)
        signs = exp.NEQ(this=call("FLOAT8SEND", one.copy()), expression=call("FLOAT8SEND", other.copy()))
        zeros = exp.and_(exp.EQ(this=one.copy(), expression=exp.Literal.number(0)), signs)
        return exp.or_(exp.NullSafeNEQ(this=one, expression=other), zeros)

    def refuse(self, name: str, reason: str, value: exp.Expr) -> exp.Expr:
        """Cast the message to a boolean, which fails.

        The message depends on the value: the planner would evaluate a constant, and fail every query.
        """
        nothing = call("LEFT", exp.cast(value.copy(), "text"), exp.Literal.number(0))
        return exp.cast(call("CONCAT", UnfitValue.written(name, reason), nothing), "boolean")

    def by_code_point(self, text: exp.Expr) -> exp.Expr:
        return exp.Collate(this=text, expression=exp.to_identifier("C", quoted=True))

    def distinguish_equals(self, value: exp.Expr, kind: ValueType) -> list[exp.Expr]:
        """Use bytes, which are cheaper than text; the text of an interval depends on the session.

        Equal decimals of a fixed scale are identical.
        """
        if kind.kind == "float64":
            sign = call("GET_BIT", call("FLOAT8SEND", exp.cast(value, "double")), _SIGN_BIT.copy())
            return [exp.paren(exp.EQ(this=sign, expression=exp.Literal.number(0)))]
        if kind.kind == "interval":
            return [call("INTERVAL_SEND", value)]
        if kind.kind == "decimal" and kind.precision is None:
            return [self.by_code_point(exp.cast(value, "text"))]
        return super().distinguish_equals(value, kind)

    def canonical_key(self, key: exp.Expr, kind: ValueType) -> exp.Expr:
        # 1.0 and 1.00 are one key; without a fixed scale, each row keeps its own number of zeros.
        return call("TRIM_SCALE", key) if kind.kind == "decimal" and kind.precision is None else key

    def distinguish_blanks(self, padded: exp.Expr) -> list[exp.Expr]:
        return [call("OCTET_LENGTH", padded)]


def _hash_record(parts: list[exp.Expr]) -> exp.Expr:
    return call("HASH_RECORD_EXTENDED", call("ROW", *parts), exp.Literal.number(0))


class Redshift(Dialect):
    """Redshift orders text by code point already, and stores JSON and arrays as SUPER."""

    name = "redshift"
    caveat = "are tested on PostgreSQL, but not executed by us on Redshift"
    longest_name = 127
    plain_decimals: ClassVar[Mapping[exp.DType, tuple[int, int]]] = {exp.DType.DECIMAL: (18, 0)}

    def fold(self, name: str) -> str:
        return name.lower()

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        epoch = self._cast(exp.Literal.string("1970-01-01"))
        return exp.Anonymous(this="DATEDIFF", expressions=[exp.var("MICROSECOND"), epoch, moment])

    def json_text(self, value: exp.Expr) -> exp.Expr:
        return call("JSON_SERIALIZE", value)
