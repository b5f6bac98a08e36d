"""The keys of the online store: one for each entity and feature view version."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from feature_sync.online.asked_keys import wire_key
from feature_sync.value_types import EPOCH, ValueType

__all__ = ["key_writer", "row_key", "view_prefix", "wire_key"]

_SPECIAL = re.compile(r"[%|{}]")
_EMPTY = "%"


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
    writers = [_WRITERS.get(kind.kind, str) for kind in kinds]
    begin, empty = f"{prefix}{{", f"{prefix}{{{_EMPTY}}}".encode()

    def write(columns: Sequence[Sequence[Any]]) -> list[bytes]:
        texts = [map(writer, column) for writer, column in zip(writers, columns, strict=True)]
        if len(texts) == 1:
            return [f"{begin}{text}}}".encode() if text else empty for text in texts[0]]
        return [f"{begin}{'|'.join(parts)}}}".encode() for parts in zip(*texts, strict=True)]

    return write


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"%{ord(match[0]):02X}", text) if _SPECIAL.search(text) else text


def _plain(number: str) -> str:
    plain = format(Decimal(number), "f")  # normalize() would round to the context's precision
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain == "-0" else plain


_WRITERS: dict[str, Callable[[Any], str]] = {
    "bool": lambda value: "true" if value else "false",
    "date": lambda days: (EPOCH + timedelta(days=days)).date().isoformat(),
    "decimal": _plain,
    "string": _escaped,
    "uuid": str.lower,
}
