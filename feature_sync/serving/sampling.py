"""Samples entities by a hash of their keys, so that the same entity is always in a sample, or always out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

from feature_sync.online.keys import is_null_key, wire_key
from feature_sync.serving.card import Card, types_of
from feature_sync.value_types import ValueType

HASHES = 2**32
"""Hashes are from 0 up to this number."""
_PLAIN_KEYS = {"int64": int, "string": str}
"""Types of keys whose text in Redis is that of the value, as callers mostly pass it."""


class EntityHash:
    """Hashes the keys of a service: 32 bits that depend on the entity alone, not on how its keys are written."""

    def __init__(self, card: Card) -> None:
        self._keys = tuple((name, kind, _PLAIN_KEYS.get(kind.kind)) for name, kind in types_of(card.keys))

    def __call__(self, entity: Mapping[str, Any]) -> int:
        """Return the CRC-32 of the texts of an entity's keys: a tenth of the time of a cryptographic hash."""
        texts = []
        for name, kind, python in self._keys:
            value = entity[name]
            if type(value) is python:
                texts.append(value if python is str else str(value))
            else:
                texts.append(_text(value, kind))
        return crc32("|".join(texts).encode(errors="surrogatepass"))


def _text(value: Any, kind: ValueType) -> str:
    if is_null_key(value):
        return ""
    try:
        wire = wire_key(value, kind)
    except ValueError:  # on_error="null" answers for such keys, too
        return repr(value)
    is_written = kind.kind != "string" and kind.scalar is not None and kind.scalar.key is not None
    return kind.scalar.key.text(wire) if is_written else str(wire)  # type: ignore[union-attr]
