"""The card of a feature service in Redis: all that a reader in any language needs; docs/online-format.md describes it.

A card holds no address and no name of a table: it is the same for development and production.
"""

from __future__ import annotations

from typing import Any

import msgspec

from feature_sync.errors import OnlineStoreError
from feature_sync.service_schema import Pin, SchemaFeature, ServiceSchema
from feature_sync.service_schema.pin import pin_of
from feature_sync.service_schema.schema import schema_of
from feature_sync.value_types import ValueType, parse

FORMAT = 1
"""The version of the card's format; readers refuse a newer one."""
_UNREADABLE = (msgspec.MsgspecError, ArithmeticError, RecursionError, TypeError, ValueError)


class CardFeature(msgspec.Struct, frozen=True, omit_defaults=True):
    """A feature of a card.

    Args:
        name: The column's name, as in the layouts of rows.
        output: The name in feature vectors.
        type: The type of its values in Redis.
        default: What answers if no row does, in wire form; floats that JSON lacks and integers beyond 2^53 are text.
    """

    name: str
    output: str
    type: str
    default: Any = None


class CardSelection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The features that a service selects from one view, and how to find and read its rows.

    Args:
        view: The reference of the view.
        schemas: The Redis key of the hash of the view's row schemas, by id.
        rows: What the Redis keys of its rows begin with; the join keys and `}` follow.
        keys: For each join key, in order: the name in requests, and the type.
        join_keys: The names of the join keys in the view's row schemas; empty if they are those of `keys`.
        features: The selected features, in order.
        ttl: The TTL in microseconds; None for any age. Redis expires rows by itself unless `as_of` is set.
        as_of: The fixed clock of the push in microseconds since 1970 UTC, at which readers judge age; else None.
        layouts: Names and types of the values of a row, by its schema id in hexadecimal digits.
        newest: The schema id of rows that are pushed now, a key of `layouts`.
    """

    view: str
    schemas: str
    rows: str
    keys: tuple[tuple[str, str], ...]
    join_keys: tuple[str, ...] = ()
    features: tuple[CardFeature, ...]
    ttl: int | None = None
    as_of: int | None = None
    layouts: dict[str, tuple[tuple[str, str], ...]]
    newest: str

    @property
    def schema_keys(self) -> tuple[tuple[str, str], ...]:
        """Names and types of the join keys, as the row schemas of the view have them."""
        names = self.join_keys or tuple(name for name, _ in self.keys)
        return tuple(zip(names, (kind for _, kind in self.keys), strict=True))


class Card(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The card of a service.

    Args:
        format: The version of this format.
        service: The name of the service.
        keys: Names and types of all keys that a request names, in order.
        selections: The views with their features, in the order of the service.
        shape: The shape id.
        logic: The logic id; empty if it is unknown.
        manifest_at: When dbt wrote the manifest that defines the service, in ISO 8601; empty if it is unknown.
        invocation_id: The id of the dbt command that wrote it; empty if it is unknown.
    """

    format: int = FORMAT
    service: str
    keys: tuple[tuple[str, str], ...]
    selections: tuple[CardSelection, ...]
    shape: str = ""
    logic: str = ""
    manifest_at: str = ""
    invocation_id: str = ""

    @property
    def schema(self) -> ServiceSchema:
        """The schema of the service."""
        return schema_of(
            [(name, parse(kind)) for name, kind in self.keys],
            [
                SchemaFeature(each.output, parse(each.type), each.default, selection.ttl)
                for selection in self.selections
                for each in selection.features
            ],
        )

    @property
    def pin(self) -> Pin:
        """What a model that is trained now is pinned to."""
        return pin_of(self.service, self.schema, self.logic)

    def says_the_same(self, other: Card) -> bool:
        """True if readers find the same in both: only who wrote them, and when, may differ."""
        return self == msgspec.structs.replace(other, manifest_at=self.manifest_at, invocation_id=self.invocation_id)

    def to_json(self) -> bytes:
        """Write the card as Redis holds it; equal cards give equal bytes."""
        return msgspec.json.encode(self, order="sorted")


class NewerFormat(OnlineStoreError):
    """A card is of a newer format than this version reads."""


def read_card(content: bytes | str, where: str) -> Card:
    """Read a card.

    Args:
        content: What Redis or a file holds.
        where: Where it stands, for the error.

    Raises:
        OnlineStoreError: It is not a card, or of a newer format than this version reads.
    """
    try:
        newer = msgspec.json.decode(content, type=_Format).format
        if newer > FORMAT:
            raise NewerFormat(
                f"{where} is a card of format {newer}, which this version of feature-sync does not read; upgrade it"
            )
        card = msgspec.json.decode(content, type=Card)
        for selection in card.selections:
            _check(selection)
    except _UNREADABLE as unreadable:
        raise OnlineStoreError(
            f"{where} is not a card that can be read ({unreadable}); delete it and push again"
        ) from unreadable
    return card


class _Format(msgspec.Struct):
    format: int = FORMAT


def _check(selection: CardSelection) -> None:
    """Raise ValueError unless a selection can be read: known types, and features that rows have."""
    if selection.newest not in selection.layouts:
        raise ValueError(f"{selection.view} has no layout {selection.newest}")
    newest = dict(selection.layouts[selection.newest])
    for feature in selection.features:
        if newest.get(feature.name) != feature.type:
            raise ValueError(f"{selection.view} has no {feature.name} of type {feature.type}")
        parse(feature.type)
    for _, kind in selection.keys:
        if not parse(kind).can_be_key:
            raise ValueError(f"{kind} cannot be a key")


def types_of(named: tuple[tuple[str, str], ...]) -> tuple[tuple[str, ValueType], ...]:
    """Parse the types of names."""
    return tuple((name, parse(kind)) for name, kind in named)
