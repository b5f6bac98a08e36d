"""Filters in a source's `meta`: a column, an operator and a value, with the meaning that SQL gives them."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from feature_sync.errors import RequestError

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.compute

_COMPARISONS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MEMBERSHIPS = ("in", "not in")
OPERATORS = (*_COMPARISONS, *_MEMBERSHIPS)
_PARTS = 3


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on one column; a null never passes. `value` is a list for `in` and `not in`, as YAML reads it."""

    column: str
    operator: str
    value: Any

    def typed(self, schema: pyarrow.Schema) -> Any:
        """Return the value, or the list of values, as Python holds one of the column's type.

        Raises:
            RequestError: The value is not one of that type.
        """
        kind = schema.field(self.column).type
        if isinstance(self.value, list):
            return [_typed(each, kind, self) for each in self.value]
        return _typed(self.value, kind, self)

    def expression(self, schema: pyarrow.Schema) -> pyarrow.compute.Expression:
        """Return the condition for Arrow."""
        import pyarrow
        import pyarrow.compute

        kind, field, value = schema.field(self.column).type, pyarrow.compute.field(self.column), self.typed(schema)
        if self.operator in _COMPARISONS:
            return _COMPARISONS[self.operator](field, pyarrow.scalar(value, kind))
        known = field.is_valid()
        found = field.isin(pyarrow.array(value, kind))
        return known & (found if self.operator == "in" else ~found)

    def __str__(self) -> str:
        return f"[{self.column}, {self.operator!r}, {self.value}]"


def read_filters(written: Any) -> tuple[Filter, ...]:
    """Read the list of a source's `meta`.

    Raises:
        RequestError: It is not a list of `[column, operator, value]`.
    """
    if not isinstance(written, list):
        raise RequestError(f"filters: {written!r} is not a list of [column, operator, value]")
    return tuple(map(_read, written))


def _read(written: Any) -> Filter:
    if not isinstance(written, list) or len(written) != _PARTS or not isinstance(written[0], str):
        raise RequestError(f"filters: {written!r} is not [column, operator, value], such as [country, '=', NL]")
    column, name, value = written
    if name not in OPERATORS:
        raise RequestError(f"filters: there is no operator {name!r}; there are {', '.join(OPERATORS)}")
    if (name in _MEMBERSHIPS) != isinstance(value, list):
        raise RequestError(f"filters: {column!r} {name} takes {'a list' if name in _MEMBERSHIPS else 'one value'}")
    if value is None or isinstance(value, Mapping) or (isinstance(value, list) and None in value):
        raise RequestError(f"filters: {column!r} is compared with {value!r}, which no row equals; write a value")
    return Filter(column, name, value)


def _typed(value: Any, kind: pyarrow.DataType, condition: Filter) -> Any:
    import pyarrow

    types = pyarrow.types
    try:
        if types.is_timestamp(kind):
            return _moment(value, zoned=kind.tz is not None)
        if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
            if not isinstance(value, str):
                raise RequestError(f"filters: {condition} compares text with {value!r}; put it into quotes")
            return value
        plain = pyarrow.scalar(value)
        if types.is_boolean(plain.type) != types.is_boolean(kind):
            raise pyarrow.ArrowInvalid("a boolean is compared with another type")
        return plain.cast(kind).as_py()
    except (pyarrow.ArrowException, ValueError, TypeError) as unfit:
        raise RequestError(f"filters: {condition} compares {condition.column!r}, which is {kind}: {unfit}") from unfit


def _moment(value: Any, *, zoned: bool) -> datetime:
    """Read a moment; without a zone it is in UTC."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    else:
        moment = datetime.fromisoformat(value)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC) if zoned else moment.astimezone(UTC).replace(tzinfo=None)
