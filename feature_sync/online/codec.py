"""The bytes of the online store: a row is a MessagePack array, and a schema says what its values mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from feature_sync.errors import OnlineStoreError
from feature_sync.online.floats import is_packed, unpack
from feature_sync.value_types import MICROSECOND, ValueType, from_microseconds, parse, to_microseconds

if TYPE_CHECKING:
    from feature_sync.definitions import FeatureView

SCHEMA_ID_BYTES = 4
_LONGEST_TYPE = 65_536
_DEEPEST_TYPE = 100
_NESTED = {"array": list, "struct": dict}
"""The types that hold others, in wire form."""
_UNREADABLE = (msgspec.DecodeError, ArithmeticError, RecursionError, TypeError, ValueError)
"""What damaged bytes make the readers raise."""
encode_row: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
_decode_row: Callable[[bytes], Any] = msgspec.msgpack.Decoder().decode


class RowSchemaRecord(msgspec.Struct):
    """A row schema as the JSON in Redis; `ttl` is in microseconds, `as_of` in microseconds UTC.

    The schema with the largest `fence` is the newest: the fence grows with every push of the view.
    """

    keys: list[tuple[str, str]]
    features: list[tuple[str, str]]
    defaults: dict[str, Any] = {}
    ttl: int | None = None
    as_of: int | None = None
    fence: int = 0


class RowSchema(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of one feature view hold, in order.

    Args:
        keys: Names and types of the join keys.
        features: Names and types of the features.
        defaults: Defaults of features by name, in wire form.
        ttl: The TTL of the view; None for any age.
        as_of: The fixed clock of the push; None at the real clock.
        fence: The fence of the push that wrote the schema.
    """

    keys: tuple[tuple[str, ValueType], ...]
    features: tuple[tuple[str, ValueType], ...]
    defaults: dict[str, Any] = {}
    ttl: timedelta | None = None
    as_of: datetime | None = None
    fence: int = 0

    @property
    def id(self) -> bytes:
        """The first 4 bytes of the SHA-256 of the canonical JSON of keys and [[name, type]]."""
        from hashlib import sha256

        shape = {
            "features": [[name, str(kind)] for name, kind in self.features],
            "keys": [[name, str(kind)] for name, kind in self.keys],
        }
        return sha256(msgspec.json.encode(shape, order="sorted")).digest()[:SCHEMA_ID_BYTES]

    @property
    def ttl_microseconds(self) -> int | None:
        """The TTL in microseconds, as Redis and its readers count it."""
        return None if self.ttl is None else self.ttl // MICROSECOND

    def to_json(self) -> bytes:
        """Return the schema as Redis holds it."""
        record = RowSchemaRecord(
            keys=[(name, str(kind)) for name, kind in self.keys],
            features=[(name, str(kind)) for name, kind in self.features],
            defaults=self.defaults,
            ttl=self.ttl_microseconds,
            as_of=None if self.as_of is None else to_microseconds(self.as_of),
            fence=self.fence,
        )
        return msgspec.json.encode(record, order="sorted")


def row_schema_of(
    view: FeatureView,
    keys: Mapping[str, ValueType],
    features: Mapping[str, ValueType],
    *,
    as_of: datetime | None = None,
    fence: int = 0,
) -> RowSchema:
    """Return the row schema of a view.

    Args:
        view: The view, for its defaults and TTL.
        keys: The types of its join keys, by name.
        features: The types of its features, by name.
        as_of: The fixed clock of the push; None at the real clock.
        fence: The fence of the push.
    """
    return RowSchema(
        keys=tuple(keys.items()),
        features=tuple(features.items()),
        defaults={feature.name: feature.default for feature in view.features if feature.default is not None},
        ttl=view.ttl,
        as_of=as_of,
        fence=fence,
    )


def read_row_schema(content: bytes) -> RowSchema:
    """Read a schema from Redis.

    Raises:
        OnlineStoreError: It is not what a push of this version writes.
    """
    try:
        record = msgspec.json.decode(content, type=RowSchemaRecord)
        if record.ttl is not None and record.ttl < 0:
            raise ValueError("its TTL is negative")
        return RowSchema(
            keys=_read_types(record.keys),
            features=_read_types(record.features),
            defaults=record.defaults,
            ttl=None if record.ttl is None else timedelta(microseconds=record.ttl),
            as_of=None if record.as_of is None else from_microseconds(record.as_of),
            fence=record.fence,
        )
    except _UNREADABLE as unreadable:
        raise OnlineStoreError(
            f"a schema in Redis cannot be read ({unreadable}); push again: feature-sync push --full-refresh"
        ) from unreadable


def _read_types(named: Sequence[tuple[str, str]]) -> tuple[tuple[str, ValueType], ...]:
    """Read names with their types; damaged ones may be too long to parse, or too deep to work with."""
    if len({name for name, _ in named}) < len(named):
        raise ValueError("it has a name twice")
    if max((len(kind) for _, kind in named), default=0) > _LONGEST_TYPE:
        raise ValueError("a type in it is too long")
    types = tuple((name, parse(kind)) for name, kind in named)
    for _, kind in types:
        _check_depth(kind, _DEEPEST_TYPE)
    return types


def _check_depth(kind: ValueType, left: int) -> None:
    if not left:
        raise ValueError("a type in it is too deep")
    for _, each in (*kind.fields, *((("", kind.element),) if kind.element is not None else ())):
        _check_depth(each, left - 1)


class Row(msgspec.Struct, frozen=True):
    """A row as Redis holds it: the id of its schema, its event timestamp, and the values in wire form.

    The event timestamp is None if the view has none. The end of a row that ends but does not expire in Redis follows
    the values: see `split_end`.
    """

    schema_id: bytes
    event_timestamp: datetime | None
    values: list[Any]


def read_row(content: bytes) -> Row:
    """Split a row's bytes; the event timestamp becomes a datetime in UTC.

    Raises:
        OnlineStoreError: They are not what a push writes.
    """
    schema_id, event_timestamp, values = split_row(content)
    try:
        return Row(schema_id, None if event_timestamp is None else from_microseconds(event_timestamp), values)
    except OverflowError as beyond:
        raise OnlineStoreError(
            f"a row in Redis cannot be read (its event timestamp is {event_timestamp}); "
            "push again: feature-sync push --full-refresh"
        ) from beyond


def split_row(content: bytes) -> tuple[bytes, int | None, list[Any]]:
    """Split a row's bytes into schema id, event timestamp in microseconds UTC, and values, all in wire form.

    Raises:
        OnlineStoreError: They are not what a push writes.
    """
    try:
        schema_id, event_timestamp, *values = _decode_row(content)
        if type(schema_id) is not bytes or type(event_timestamp) not in (int, type(None)):
            raise TypeError("it does not begin with a schema id and an event timestamp")
    except _UNREADABLE as unreadable:
        raise OnlineStoreError(
            f"a row in Redis cannot be read ({unreadable}); push again: feature-sync push --full-refresh"
        ) from unreadable
    return schema_id, event_timestamp, values


def split_end(values: list[Any], schema: RowSchema) -> tuple[list[Any], int | None]:
    """Split what follows the event timestamp of a row into its values and its end, in microseconds UTC or None.

    Raises:
        ValueError: They do not fit the schema.
    """
    width = len(schema.features)
    if len(values) == width:
        return values, None
    if len(values) != width + 1 or type(values[width]) is not int:
        raise ValueError(f"it has {len(values)} values, its schema {width}")
    return values[:width], values[width]


def read_value(value: Any, kind: ValueType) -> Any:
    """Turn a value in wire form into the Python value that the warehouse's driver would give.

    Raises:
        ArithmeticError: It is beyond the numbers or times of its type.
        ValueError: It is of another type.
    """
    if value is None:
        return None
    if type(value) is bytes and is_packed(kind):
        return unpack(value, kind)
    scalar = kind.scalar
    expected, read = (_NESTED.get(kind.kind), None) if scalar is None else (scalar.wire, scalar.from_wire)
    if type(value) is not expected:
        raise ValueError(f"{type(value).__name__} instead of {kind.kind}")
    if kind.element is not None:
        return [read_value(each, kind.element) for each in value]
    if kind.kind == "struct":
        if missing := next((name for name, _ in kind.fields if name not in value), None):
            raise ValueError(f"a struct without its field {missing!r}")
        return {name: read_value(value[name], each) for name, each in kind.fields}
    return read(value) if read is not None else value
