"""The keys of the online store: one for each entity and feature view version."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from feature_sync.value_types import EPOCH, ValueType, as_utc

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


def wire_key(value: Any, kind: ValueType) -> Any:
    """Read a join key as a person or a program gives it, text or value, into wire form.

    Raises:
        ValueError: The value is not of the key's type.
    """
    return _READERS[kind.kind](value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")  # noqa: TRY004 - one kind of error for whatever cannot be a key
    return value


def _boolean(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError(f"{value!r} is neither true nor false")
    return str(value).lower() == "true"


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\s*[+-]?\d+\s*", str(value)):
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


def _decimal(value: Any) -> str:
    try:
        return str(Decimal(str(value)))
    except InvalidOperation as wrong:
        raise ValueError(f"{value!r} is no number") from wrong


def _days(value: Any) -> int:
    day = value if isinstance(value, date) else date.fromisoformat(str(value))
    return (day - EPOCH.date()).days


def _microseconds(value: Any) -> int:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return (as_utc(moment) - EPOCH) // timedelta(microseconds=1)


def _uuid(value: Any) -> str:
    return str(UUID(str(value)))


_READERS: dict[str, Callable[[Any], Any]] = {
    "bool": _boolean,
    "date": _days,
    "decimal": _decimal,
    "int64": _integer,
    "string": _text,
    "timestamp": _microseconds,
    "timestamptz": _microseconds,
    "uuid": _uuid,
    "wideint": _integer,
}
