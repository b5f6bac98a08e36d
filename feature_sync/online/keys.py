"""All keys of the online store, laid out in one place.

<prefix>:store                        the random id of this store
<prefix>:views                        the references of all views pushed
<prefix>:<reference>:schema           a view's schemas, by id
<prefix>:<reference>:push             the mark of its newest push
<prefix>:<reference>:lease, :fence    who may write to it
<prefix>:<reference>:{<join keys>}    a row
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from feature_sync.value_types import EPOCH, ValueType

_SPECIAL = re.compile(r"[%|{}]")
_EMPTY = "%"


KeyWriter = Callable[[Sequence[Sequence[Any]]], list[bytes]]
"""Writes the keys of many rows at once, from columns of join keys in wire form."""


def store_key(prefix: str) -> str:
    """Return the key of the store's id."""
    return f"{prefix}:store"


def views_key(prefix: str) -> str:
    """Return the key of the references of all views pushed."""
    return f"{prefix}:views"


def name_of(prefix: str, reference: str) -> str:
    """Return what the keys of a feature view begin with; the warehouse keeps the state of its pushes by this name.

    >>> name_of("shop", "carrier_delays.v1")
    'shop:carrier_delays.v1'
    """
    return f"{prefix}:{reference}"


@dataclass(frozen=True, slots=True)
class ViewKeys:
    """The keys of one feature view that hold no row."""

    name: str

    @property
    def schemas(self) -> str:
        """The hash of schemas by id."""
        return f"{self.name}:schema"

    @property
    def mark(self) -> str:
        """The mark of the newest push."""
        return f"{self.name}:push"

    @property
    def lease(self) -> str:
        """Who may write."""
        return f"{self.name}:lease"

    @property
    def fence(self) -> str:
        """The number of the newest lease."""
        return f"{self.name}:fence"

    @property
    def rows(self) -> str:
        """What the keys of rows begin with."""
        return f"{self.name}:{{"


def row_key_writer(prefix: str, reference: str, types: Sequence[ValueType]) -> KeyWriter:
    """Return the function that writes the keys of rows of a view, whose join keys are of these types.

    The braces put all views of an entity on one slot of a Redis Cluster.

    >>> row_key_writer("shop", "orders", [ValueType("string"), ValueType("int64")])([["a|b"], [7]])
    [b'shop:orders:{a%7Cb|7}']
    """
    writers = [_WRITERS.get(kind.kind, str) for kind in types]
    begin = ViewKeys(name_of(prefix, reference)).rows
    empty = f"{begin}{_EMPTY}}}".encode()

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
