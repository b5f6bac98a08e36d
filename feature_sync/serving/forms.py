"""How each type is read from rows: the check of wire values, and their conversion to Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec

from feature_sync.online.codec import read_value
from feature_sync.service_schema import canonical
from feature_sync.value_types import ValueType

_Int64 = Annotated[int, msgspec.Meta(le=2**63 - 1)]
_TYPED: dict[type, Any] = {int: _Int64}
_EXACT = ("bool", "int64", "float64", "string", "bytes", "interval")
"""Types whose values are read as they are; the decoder has checked them."""


class Form(msgspec.Struct, frozen=True):
    """How values of one type are read.

    Args:
        annotation: What msgspec checks while it decodes a row.
        convert: Converts a value in wire form, which is not null, to Python; None if both are the same.
        check: Raises ArithmeticError or ValueError if one of many values in wire form, nulls among them, cannot be
            converted; None if the decoder has checked all.
    """

    annotation: Any
    convert: Callable[[Any], Any] | None
    check: Callable[[Sequence[Any]], object] | None


def form_of(kind: ValueType) -> Form:
    """Return how values of a type are read.

    Args:
        kind: The type in Redis; values are served as those of its canonical type, as training sets hold them.
    """
    kind = canonical(kind)
    if kind.kind in _EXACT and kind.scalar is not None:
        return Form(_TYPED.get(kind.scalar.wire, kind.scalar.wire) | None, None, None)

    def convert(value: Any) -> Any:
        return read_value(value, kind)

    if kind.is_time:
        return Form(_Int64 | None, convert, lambda values: _check_ends(values, convert))
    annotation: Any = Any if kind.scalar is None else kind.scalar.wire | None
    return Form(annotation, convert, lambda values: [convert(each) for each in values if each is not None])


def _check_ends(values: Sequence[Any], convert: Callable[[Any], Any]) -> None:
    """Check the least and the largest of some times: all others lie between."""
    numbers = [each for each in values if each is not None]
    if numbers:
        convert(min(numbers))
        convert(max(numbers))
