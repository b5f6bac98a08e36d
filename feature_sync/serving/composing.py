"""Makes the card of a service from its definition and from what Redis holds of its views.

Types, TTLs, defaults and clocks are those of the newest row schemas in Redis, so that a card always describes the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from feature_sync.definitions import FeatureService, Selection
from feature_sync.errors import OnlineStoreError
from feature_sync.online.codec import RowSchema, read_row_schema
from feature_sync.online.keys import ViewKeys, name_of, revision_key
from feature_sync.serving.card import Card, CardFeature, CardSelection
from feature_sync.serving.card_sources import CardSource, Request
from feature_sync.value_types import to_microseconds, wire_default

Schemas = Mapping[str, Mapping[bytes, RowSchema]]
"""The row schemas of views by reference and id, the newest last."""


class NotPushed(OnlineStoreError):
    """Redis has no schema of a view; `reference` names it."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"{reference} was never pushed")
        self.reference = reference


class NotAsDefined(OnlineStoreError):
    """A view in Redis differs from its definition, so that its services have no new card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a card says of the definition that it is from.

    Args:
        logic: The logic id of the service; empty if it is unknown.
        manifest_at: When dbt wrote the manifest, in ISO 8601.
        invocation_id: The id of the dbt command that wrote it.
    """

    logic: str = ""
    manifest_at: str = ""
    invocation_id: str = ""


def compose_card(
    service: FeatureService, schemas: Schemas, *, key_prefix: str, origin: Origin, strict: bool = True
) -> Card:
    """Make the card of a service.

    Args:
        service: The definition.
        schemas: The row schemas of its views.
        key_prefix: The key prefix of the store.
        origin: Which definition it is.
        strict: Refuse a view whose TTL or defaults in Redis differ from the definition.

    Raises:
        NotPushed: Redis has no schema of a view.
        NotAsDefined: A view in Redis lacks a feature, or has other keys or, if `strict`, another TTL or default.
    """
    selections = []
    for each in service.selections:
        found = schemas.get(each.view.reference)
        if not found:
            raise NotPushed(each.view.reference)
        _check(each, _newest(found), strict=strict)
        named = [CardFeature(name, service.output_name(each, name), "") for name in each.features]
        selections.append(_selection(each.view.reference, key_prefix, each.spine_keys, named, found))
    types = {name: kind for each in selections for name, kind in each.keys}
    card = Card(
        service=service.name,
        keys=tuple((name, types[name]) for name in service.join_keys),
        selections=tuple(selections),
        logic=origin.logic,
        manifest_at=origin.manifest_at,
        invocation_id=origin.invocation_id,
    )
    return msgspec.structs.replace(card, shape=card.schema.shape)


def refresh_card(card: Card, schemas: Schemas, *, key_prefix: str) -> Card:
    """Return a card with what Redis now holds of its views: types, TTLs, defaults, clocks and layouts.

    Args:
        card: The card.
        schemas: The row schemas of its views.
        key_prefix: The key prefix of the store.

    Raises:
        NotPushed: Redis has no schema of a view.
        NotAsDefined: A view in Redis lacks a feature, or has other keys.
    """
    selections = []
    for each in card.selections:
        found = schemas.get(each.view)
        if not found:
            raise NotPushed(each.view)
        newest = tuple(name for name, _ in _newest(found).keys)
        if newest != tuple(name for name, _ in each.schema_keys):
            raise NotAsDefined(f"{each.view} was pushed with other keys ({', '.join(newest)})")
        names = tuple(name for name, _ in each.keys)
        selections.append(_selection(each.view, key_prefix, names, each.features, found))
    types = {name: kind for each in selections for name, kind in each.keys}
    keys = tuple((name, types[name]) for name, _ in card.keys)
    card = msgspec.structs.replace(card, selections=tuple(selections), keys=keys)
    return msgspec.structs.replace(card, shape=card.schema.shape)


def _newest(found: Mapping[bytes, RowSchema]) -> RowSchema:
    return [*found.values()][-1]


def _check(selection: Selection, newest: RowSchema, *, strict: bool) -> None:
    """Raise NotAsDefined unless a view in Redis fits its definition."""
    view = selection.view
    if tuple(name for name, _ in newest.keys) != view.join_keys:
        raise NotAsDefined(
            f"{view.reference} was pushed with other keys ({', '.join(name for name, _ in newest.keys)}); push it again"
        )
    if strict and newest.ttl != view.ttl:
        raise NotAsDefined(f"{view.reference} was pushed with another TTL; push it again")
    for name in selection.features if strict else ():
        if newest.defaults.get(name) != view.feature(name).default:
            raise NotAsDefined(f"{view.reference} was pushed with another default of {name}; push it again")


def _selection(
    reference: str,
    key_prefix: str,
    names: Sequence[str],
    features: Sequence[CardFeature],
    found: Mapping[bytes, RowSchema],
) -> CardSelection:
    newest, keys = _newest(found), ViewKeys(name_of(key_prefix, reference))
    kinds, join_keys = dict(newest.features), tuple(name for name, _ in newest.keys)
    if gone := next((each.name for each in features if each.name not in kinds), None):
        raise NotAsDefined(f"{reference} in Redis has no {gone}; push it again")
    return CardSelection(
        view=reference,
        schemas=keys.schemas,
        rows=keys.rows,
        keys=tuple((name, str(kind)) for name, (_, kind) in zip(names, newest.keys, strict=True)),
        join_keys=join_keys if join_keys != tuple(names) else (),
        features=tuple(
            CardFeature(each.name, each.output, str(kinds[each.name]), _default(reference, newest, each.name))
            for each in features
        ),
        ttl=newest.ttl_microseconds,
        as_of=None if newest.as_of is None else to_microseconds(newest.as_of),
        layouts={
            schema_id.hex(): tuple((name, str(kind)) for name, kind in schema.features)
            for schema_id, schema in found.items()
            if schema.keys == newest.keys
        },
        newest=newest.id.hex(),
    )


def _default(reference: str, newest: RowSchema, name: str) -> Any:
    try:
        return wire_default(dict(newest.features)[name], newest.defaults.get(name))
    except ValueError as wrong:
        raise NotAsDefined(f"{reference}: the default of {name} in Redis: {wrong}; push it again") from wrong


class DefinedCard(CardSource):
    """The card of a service that has none in Redis, such as a view alone: made from the project's definition."""

    def __init__(self, service: FeatureService, key_prefix: str) -> None:
        """Prepare to read.

        Args:
            service: The definition.
            key_prefix: The key prefix of the store.
        """
        self._service = service
        self._prefix = key_prefix
        self.watches = revision_key(key_prefix).encode()

    def read(self, *, in_turn: bool = False) -> Request[tuple[Card, bytes | None]]:
        """See `CardSource`."""
        references = list(dict.fromkeys(each.view.reference for each in self._service.selections))
        commands = [("HGETALL", ViewKeys(name_of(self._prefix, each)).schemas) for each in references]
        # The revision first: a schema that changes after it makes the next request read again.
        asked = ("MGET", revision_key(self._prefix))
        if in_turn:
            ((revision,),) = yield [asked]
            hashes = list((yield commands))
        else:
            (revision,), *hashes = yield [asked, *commands]
        schemas = {each: _readable(fields) for each, fields in zip(references, hashes, strict=True)}
        card = compose_card(self._service, schemas, key_prefix=self._prefix, origin=Origin(), strict=False)
        return card, revision


def _readable(fields: Sequence[bytes]) -> Mapping[bytes, RowSchema]:
    """Read the schemas of a hash that can be read, the newest last; `fields` are ids and schemas in turn."""
    schemas: dict[bytes, RowSchema] = {}
    for schema_id, content in zip(fields[::2], fields[1::2], strict=True):
        try:
            schema = read_row_schema(content)
        except OnlineStoreError:
            continue  # rows of this schema cannot be read, and say so
        if schema.id == schema_id:
            schemas[schema_id] = schema
    return dict(sorted(schemas.items(), key=lambda each: each[1].fence))
