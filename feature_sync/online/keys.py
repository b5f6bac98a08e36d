"""The keys of the online store: one for each entity and feature view version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

from feature_sync.value_types import ValueType, shown_key

_EMPTY = "%"
_NULLS = ("NAType", "NaTType")
"""The types of pandas' own nulls, which is not imported for their sake."""


def view_prefix(prefix: str, reference: str) -> str:
    """The beginning of all keys of a feature view: the store's prefix and the view's reference.

    >>> view_prefix("shop", "carrier_delays.v1")
    'shop:carrier_delays.v1:'
    """
    return f"{prefix}:{reference}:"


def row_key(prefix: str, values: Sequence[Any], kinds: Sequence[ValueType]) -> bytes:
    """Write the key of one entity from its join keys in wire form; `prefix` is that of the view.

    The braces put all views of an entity on one slot of a Redis Cluster.

    >>> row_key("shop:orders:", ["a|b", 7], [ValueType("string"), ValueType("int64")])
    b'shop:orders:{a%7Cb|7}'
    """
    return key_writer(prefix, kinds)([(value,) for value in values])[0]


def key_writer(prefix: str, kinds: Sequence[ValueType]) -> Callable[[Sequence[Sequence[Any]]], list[bytes]]:
    """Return what writes the keys of many entities at once, from columns of join keys in wire form."""
    writers = [_key_text(kind) for kind in kinds]
    begin, empty = f"{prefix}{{", f"{prefix}{{{_EMPTY}}}".encode()

    def write(columns: Sequence[Sequence[Any]]) -> list[bytes]:
        texts = [map(writer, column) for writer, column in zip(writers, columns, strict=True)]
        if len(texts) == 1:
            return [f"{begin}{text}}}".encode() if text else empty for text in texts[0]]
        return [f"{begin}{'|'.join(parts)}}}".encode() for parts in zip(*texts, strict=True)]

    return write


def is_null_key(value: Any) -> bool:
    """True if a value stands for null: None, NaN, and the NA and NaT of pandas and NumPy."""
    if value is None or type(value).__name__ in _NULLS:
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, Real):
        return bool(value != value)  # noqa: PLR0124 - only NaN differs from itself
    return _is_of_numpy(value, "datetime64") and str(value) == "NaT"


def wire_key(value: Any, kind: ValueType) -> Any:
    """Read a join key that is not null into wire form.

    Raises:
        ValueError: The value is not of the key's type, or not exactly.
    """
    form = None if kind.scalar is None else kind.scalar.key
    if form is None:
        raise ValueError(f"{kind} cannot be a key")
    if _is_of_numpy(value, "datetime64"):
        if kind.is_time:
            return form.read(str(value))  # its own item() is a bare number where it counts nanoseconds
    elif type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    try:
        return form.read(value)
    except (ArithmeticError, UnicodeError) as wrong:
        raise ValueError(f"{shown_key(value)} is not a {kind} that can be a key") from wrong


def _is_of_numpy(value: Any, name: str) -> bool:
    return type(value).__module__ == "numpy" and type(value).__name__ == name


def _key_text(kind: ValueType) -> Callable[[Any], str]:
    return str if kind.scalar is None or kind.scalar.key is None else kind.scalar.key.text
