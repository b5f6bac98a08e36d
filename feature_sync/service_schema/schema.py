"""The canonical schema of a feature service: what its training sets hold is exactly what is served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from feature_sync.value_types import ValueType

_ID_DIGITS = 16
_AS_TEXT = ("uuid", "json")
"""Types that training sets and feature vectors hold as text."""


def canonical(kind: ValueType) -> ValueType:
    """Return the type as which values of a type are trained on and served, the same in every warehouse.

    >>> str(canonical(ValueType("array", element=ValueType("uuid"))))
    'array<string>'
    """
    if kind.element is not None:
        return msgspec.structs.replace(kind, element=canonical(kind.element))
    if kind.kind == "struct":
        return msgspec.structs.replace(kind, fields=tuple((name, canonical(each)) for name, each in kind.fields))
    return ValueType("string") if kind.kind in _AS_TEXT else kind


class SchemaFeature(msgspec.Struct, frozen=True):
    """A feature of a service.

    Args:
        name: The output name, as in training sets and feature vectors.
        kind: The canonical type.
        default: What answers if no row does, in wire form; floats that JSON lacks and integers beyond 2^53 are text.
        ttl: The TTL of its view in microseconds; None for any age.
    """

    name: str
    kind: ValueType
    default: Any = None
    ttl: int | None = None


class ServiceSchema(msgspec.Struct, frozen=True, kw_only=True):
    """The features of a service in order, and the keys that a request names.

    Args:
        keys: Names and canonical types of the keys, in the order of the service.
        features: The features, in the order of the service.
    """

    keys: tuple[tuple[str, ValueType], ...]
    features: tuple[SchemaFeature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The output names of all features."""
        return tuple(each.name for each in self.features)

    @property
    def kinds(self) -> tuple[ValueType, ...]:
        """The canonical types of all features."""
        return tuple(each.kind for each in self.features)

    @property
    def shape(self) -> str:
        """The shape id: a hash of keys, names, types, defaults, TTLs and their order; 16 hexadecimal digits.

        It holds no name of a table or a database: development and production, training and serving have the same.
        """
        record = {
            "keys": [[name, str(kind)] for name, kind in self.keys],
            "features": [[each.name, str(each.kind), each.default, each.ttl] for each in self.features],
        }
        return hash_of(record)


def hash_of(record: Any) -> str:
    """Hash a JSON value in its canonical form: 16 hexadecimal digits of its SHA-256."""
    from hashlib import sha256  # loads OpenSSL, which a client without a pin does not need

    return sha256(msgspec.json.encode(record, order="sorted")).hexdigest()[:_ID_DIGITS]


def schema_of(keys: Sequence[tuple[str, ValueType]], features: Sequence[SchemaFeature]) -> ServiceSchema:
    """Return the schema with all types in their canonical form.

    Args:
        keys: Names and types of the keys.
        features: The features with types of any form.
    """
    return ServiceSchema(
        keys=tuple((name, canonical(kind)) for name, kind in keys),
        features=tuple(msgspec.structs.replace(each, kind=canonical(each.kind)) for each in features),
    )
