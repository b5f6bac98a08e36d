"""Arrays of floats as Redis holds them: packed as binary numbers, or as a MessagePack array if an item is null."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from feature_sync.value_types import ValueType

_CODES = {"float32": "f", "float64": "d"}
"""The codes by which `struct` writes a float, little endian on every machine."""


def is_packed(kind: ValueType) -> bool:
    """True for arrays of floats, of which a value is packed unless an item is null."""
    return kind.element is not None and kind.element.kind in _CODES


def packer(kind: ValueType) -> Callable[[Any], Any]:
    """Return the function that packs lists of a packed type as 4 or 8 bytes an item.

    Null stays null, and a list with nulls stays a list.
    """
    element = kind.element
    if element is None or element.scalar is None:
        raise ValueError(f"{kind} is not packed")
    code, read = _CODES[element.kind], element.scalar.from_wire

    def pack(values: Sequence[float | None] | None) -> Any:
        if values is None:
            return None
        try:
            return struct.pack(f"<{len(values)}{code}", *values)
        except struct.error:  # a null among them; to look for one first would cost as much as packing
            return [each if each is None or read is None else read(each) for each in values]

    return pack


def unpack(packed: bytes, kind: ValueType) -> list[float]:
    """Return the numbers of a packed array.

    Raises:
        ValueError: The bytes are not a whole number of items.
    """
    code = _CODES["" if kind.element is None else kind.element.kind]
    items, rest = divmod(len(packed), struct.calcsize(f"<{code}"))
    if rest:
        raise ValueError(f"{len(packed)} bytes are not a whole number of {kind.element}")
    return list(struct.unpack(f"<{items}{code}", packed))
