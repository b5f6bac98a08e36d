"""The layout of all Redis keys of the online store.

<prefix>:store                        the random id of this store
<prefix>:views                        the references of all views pushed
<prefix>:services                     the names of all services that have a card
<prefix>:service:<name>               a service's card
<prefix>:revision                     changes whenever a card or a view's newest schema does
<prefix>:<reference>:schema           a view's schemas, by id
<prefix>:<reference>:push             the mark of its newest push
<prefix>:<reference>:lease, :fence    who may write to it
<prefix>:<reference>:stream           what the last push has seen of the view's stream, and where writers stand
<prefix>:<reference>:journal          the keys that the stream wrote last, with the positions of those rows
<prefix>:<reference>:{<join keys>}    a row
<prefix>:<reference>:stream:{<tag>}, :journal:{<tag>}
                                      the same on a cluster, once in each hash slot, for the rows of that slot
<prefix>:slot:{<tag>}                 only on a cluster, once in each hash slot: the fence and the mark of each view,
                                      and what of the slot has changed without a new revision
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import msgspec

from feature_sync.value_types import ValueType, printable_key

_EMPTY = "%"
_NULLS = ("NAType", "NaTType")
"""Type names of pandas' own nulls: comparing names avoids the import of pandas."""


KEYS_OF_VIEWS = ("schema", "push", "lease", "fence", "stream", "journal")
"""What follows a view's name in its Redis keys that hold no row."""
NAME_OF_SLOTS = "slot"
"""The one reference that no view may have on a cluster: its rows would have the keys of the slots."""
KeyWriter = Callable[[Sequence[Sequence[Any]]], list[bytes]]
"""Writes the Redis keys of many rows at once, from columns of join keys in wire form."""


def store_key(key_prefix: str) -> str:
    """Return the Redis key of the store's id."""
    return f"{key_prefix}:store"


def views_key(key_prefix: str) -> str:
    """Return the Redis key of the set of references of all views pushed."""
    return f"{key_prefix}:views"


def services_key(key_prefix: str) -> str:
    """Return the Redis key of the set of names of all services that have a card."""
    return f"{key_prefix}:services"


def card_key(key_prefix: str, service: str) -> str:
    """Return the Redis key of a service's card."""
    return f"{key_prefix}:service:{service}"


def revision_key(key_prefix: str) -> str:
    """Return the Redis key of the revision, by which readers notice that cards or schemas have changed."""
    return f"{key_prefix}:revision"


def slot_key(key_prefix: str, tag: bytes) -> bytes:
    """Return the Redis key of what pushes keep in a hash slot of a cluster; `tag` puts it there."""
    return b"%b:%b:{%b}" % (key_prefix.encode(), NAME_OF_SLOTS.encode(), tag)


def name_of(key_prefix: str, reference: str) -> str:
    """Return the start of all Redis keys of a feature view; also names the view in the warehouse's records of pushes.

    >>> name_of("shop", "carrier_delays.v1")
    'shop:carrier_delays.v1'
    """
    return f"{key_prefix}:{reference}"


class ViewKeys(msgspec.Struct, frozen=True):
    """The Redis keys of one feature view that hold no row."""

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
        """The holder of the lease: who may write."""
        return f"{self.name}:lease"

    @property
    def fence(self) -> str:
        """The number of the newest lease."""
        return f"{self.name}:fence"

    @property
    def stream(self) -> str:
        """The hash of what is known of the view's stream; only views that stream have it."""
        return f"{self.name}:stream"

    @property
    def journal(self) -> str:
        """The hash of the keys that the stream wrote last, with their positions."""
        return f"{self.name}:journal"

    @property
    def rows(self) -> str:
        """What the Redis keys of all rows begin with."""
        return f"{self.name}:{{"


def row_key_writer(key_prefix: str, reference: str, types: Sequence[ValueType]) -> KeyWriter:
    """Return the function that writes the Redis keys of rows of a view.

    The braces put all views of an entity on one slot of a Redis Cluster.

    Args:
        key_prefix: The key prefix of the store.
        reference: The reference of the view.
        types: The types of its join keys, in order.

    >>> row_key_writer("shop", "orders", [ValueType("string"), ValueType("int64")])([["a|b"], [7]])
    [b'shop:orders:{a%7Cb|7}']
    """
    return key_writer(ViewKeys(name_of(key_prefix, reference)).rows, types)


def key_writer(begin: str, types: Sequence[ValueType]) -> KeyWriter:
    """Return the function that writes Redis keys of rows.

    Args:
        begin: What the keys begin with, up to the opening brace.
        types: The types of the join keys, in order.
    """
    writers = [_key_text(kind) for kind in types]
    empty = f"{begin}{_EMPTY}}}".encode()
    if [kind.kind for kind in types] == ["int64"]:  # the commonest key, in a third of the time
        numbered = begin.encode().replace(b"%", b"%%") + b"%d}"
        return lambda columns: [numbered % each for each in columns[0]]

    def write(columns: Sequence[Sequence[Any]]) -> list[bytes]:
        texts = [map(writer, column) for writer, column in zip(writers, columns, strict=True)]
        if len(texts) == 1:  # a lone empty text has a form of its own: Redis Cluster ignores the braces of `{}`
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
    """Convert a join key that is not null to wire form.

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
        raise ValueError(f"{printable_key(value)} is not a {kind} that can be a key") from wrong


def _is_of_numpy(value: Any, name: str) -> bool:
    return type(value).__module__ == "numpy" and type(value).__name__ == name


def _key_text(kind: ValueType) -> Callable[[Any], str]:
    return str if kind.scalar is None or kind.scalar.key is None else kind.scalar.key.text
