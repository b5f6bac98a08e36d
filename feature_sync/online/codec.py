"""The bytes of the online store: a row is a MessagePack array, and a schema says what its values mean."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from feature_sync.definitions import FeatureView
from feature_sync.errors import OnlineStoreError
from feature_sync.value_types import EPOCH, ValueType, parse, since_epoch

MICROSECOND = timedelta(microseconds=1)
encode_row: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
_decode_row: Callable[[bytes], Any] = msgspec.msgpack.Decoder().decode


class SchemaRecord(msgspec.Struct):
    """A schema as the JSON that stands in Redis; `ttl` and `as_of` are in microseconds.

    `fence` tells which of several schemas is the newest: it grows with every push of the view.
    """

    keys: list[tuple[str, str]]
    features: list[tuple[str, str]]
    defaults: dict[str, Any] = {}
    ttl: int | None = None
    as_of: int | None = None
    fence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What the rows of one feature view hold, in order. `as_of` is the fixed clock of the push, if it had one."""

    keys: tuple[tuple[str, ValueType], ...]
    features: tuple[tuple[str, ValueType], ...]
    defaults: dict[str, Any] = field(default_factory=dict)
    ttl: timedelta | None = None
    as_of: datetime | None = None
    fence: int = 0

    @property
    def id(self) -> bytes:
        """The first 4 bytes of the SHA-256 of the canonical JSON of keys and [[name, type]]."""
        shape = {
            "features": [[name, str(kind)] for name, kind in self.features],
            "keys": [[name, str(kind)] for name, kind in self.keys],
        }
        return hashlib.sha256(msgspec.json.encode(shape, order="sorted")).digest()[:4]

    @property
    def ttl_microseconds(self) -> int | None:
        """The TTL as Redis and its readers count it."""
        return None if self.ttl is None else self.ttl // MICROSECOND

    def to_json(self) -> bytes:
        """Write the schema as Redis holds it."""
        record = SchemaRecord(
            keys=[(name, str(kind)) for name, kind in self.keys],
            features=[(name, str(kind)) for name, kind in self.features],
            defaults=self.defaults,
            ttl=self.ttl_microseconds,
            as_of=None if self.as_of is None else to_microseconds(self.as_of),
            fence=self.fence,
        )
        return msgspec.json.encode(record, order="sorted")


def schema_of(
    view: FeatureView,
    keys: Mapping[str, ValueType],
    features: Mapping[str, ValueType],
    *,
    as_of: datetime | None = None,
    fence: int = 0,
) -> Schema:
    """Make the schema of a view whose types are known."""
    return Schema(
        keys=tuple(keys.items()),
        features=tuple(features.items()),
        defaults={feature.name: feature.default for feature in view.features if feature.default is not None},
        ttl=view.ttl,
        as_of=as_of,
        fence=fence,
    )


def read_schema(content: bytes) -> Schema:
    """Read a schema from Redis.

    Raises:
        OnlineStoreError: It is not what a push of this version writes.
    """
    try:
        record = msgspec.json.decode(content, type=SchemaRecord)
        return Schema(
            keys=tuple((name, parse(kind)) for name, kind in record.keys),
            features=tuple((name, parse(kind)) for name, kind in record.features),
            defaults=record.defaults,
            ttl=None if record.ttl is None else timedelta(microseconds=record.ttl),
            as_of=None if record.as_of is None else from_microseconds(record.as_of),
            fence=record.fence,
        )
    except (msgspec.DecodeError, ValueError) as unreadable:
        raise OnlineStoreError(
            f"a schema in Redis cannot be read ({unreadable}); push again with --full-refresh"
        ) from unreadable


@dataclass(frozen=True, slots=True)
class Row:
    """A row as Redis holds it: the id of its schema, its event timestamp, and the values in wire form.

    The event timestamp is None where the view has none, and beyond the years 1 to 9999.
    """

    schema_id: bytes
    event_timestamp: datetime | None
    values: list[Any]


def read_row(content: bytes) -> Row:
    """Split a row's bytes.

    Raises:
        OnlineStoreError: They are not what a push writes.
    """
    schema_id, event_timestamp, values = split_row(content)
    return Row(schema_id, since_epoch(event_timestamp), values)


def split_row(content: bytes) -> tuple[bytes, int | None, list[Any]]:
    """Split a row's bytes into schema id, event timestamp in microseconds UTC, and values, all in wire form.

    Raises:
        OnlineStoreError: They are not what a push writes.
    """
    try:
        schema_id, event_timestamp, *values = _decode_row(content)
        if not isinstance(schema_id, bytes) or not isinstance(event_timestamp, int | None):
            raise TypeError("it does not begin with a schema id and an event timestamp")  # noqa: TRY301 - told as one
    except (msgspec.DecodeError, TypeError, ValueError) as unreadable:
        raise OnlineStoreError(
            f"a row in Redis cannot be read ({unreadable}); push again with --full-refresh"
        ) from unreadable
    return schema_id, event_timestamp, values


def read_value(value: Any, kind: ValueType) -> Any:
    """Turn a value in wire form into the Python value that the warehouse's driver would give."""
    if value is None:
        return None
    if kind.element is not None:
        return [read_value(each, kind.element) for each in value]
    if kind.kind == "struct":
        return {name: read_value(value.get(name), each) for name, each in kind.fields}
    read = _READERS.get(kind.kind)
    return read(value) if read is not None else value


def to_microseconds(moment: datetime) -> int:
    """Count the microseconds since 1970 of an aware moment."""
    return (moment - EPOCH) // MICROSECOND


def from_microseconds(count: int) -> datetime:
    """The aware moment, in UTC, of a count of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=count)


_READERS: dict[str, Callable[[Any], Any]] = {
    "date": lambda days: (EPOCH + timedelta(days=days)).date(),
    "decimal": Decimal,
    "timestamp": lambda count: from_microseconds(count).replace(tzinfo=None),
    "timestamptz": from_microseconds,
    "uuid": UUID,
    "wideint": int,
}
