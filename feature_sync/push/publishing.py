"""Publishes the cards of feature services after their views were pushed.

Several pushes may publish at once, of other views or by other manifests. So each card is written in a transaction that
fails if the card, or a schema that it describes, changes meanwhile; and the definition of the newer manifest counts.
A view that was held back leaves the old card in place, brought up to what Redis holds of its views.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from feature_sync.definitions import FeatureService
from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import OnlineStore, SchemasOf
from feature_sync.online.codec import RowSchema
from feature_sync.online.keys import KEYS_OF_VIEWS
from feature_sync.serving.card import Card, NewerFormat, read_card
from feature_sync.serving.composing import NotAsDefined, NotPushed, Origin, compose_card, refresh_card

_VIEW_OF_SERVICES = "service"
"""The view whose Redis keys begin as those of cards do."""


@dataclass(frozen=True, slots=True)
class Unpublished:
    """A service whose card could not be written by its definition, and why; its old card, if any, stays."""

    service: str
    reason: str


def publish_cards(
    online: OnlineStore, services: Collection[FeatureService], origin_of: Callable[[FeatureService], Origin]
) -> Iterator[Unpublished]:
    """Publish the cards of services; yields those that could not be published.

    Args:
        online: The online store.
        services: The services of the project. Those with a view that is not online are left out.
        origin_of: Returns what the card says of a service's definition.

    Raises:
        OnlineStoreError: Redis failed.
    """
    online.settle_revision()
    schemas_of = cache(lambda reference: online.view(reference).schemas())
    for service in services:
        if service.name in KEYS_OF_VIEWS and _VIEW_OF_SERVICES in online.references():
            yield Unpublished(
                service.name, f"its card has a Redis key of the view {_VIEW_OF_SERVICES}; rename one of them"
            )
        elif all(each.view.online for each in service.selections):
            composing = _Composing(service, online.key_prefix, origin_of(service))
            if composing.compose(online.card(service.name), schemas_of) is not None:  # else nothing has changed
                online.publish(service.name, composing.compose)
            if composing.reason:
                yield Unpublished(service.name, composing.reason)


def forgotten_services(
    online: OnlineStore, services: Collection[FeatureService], *, manifest_at: str
) -> tuple[list[str], list[str]]:
    """List the services that have a card and that the project no longer defines, or no longer serves.

    Args:
        online: The online store.
        services: The services of the project.
        manifest_at: When dbt wrote the project's manifest.

    Returns:
        Those to remove, and those whose card is of a newer manifest or version, which stay.

    Raises:
        OnlineStoreError: Redis failed.
    """
    served = {each.name for each in services if all(selection.view.online for selection in each.selections)}
    forgotten = sorted(online.services() - served)
    newer = [name for name in forgotten if _is_of_newer(online.card(name), manifest_at)]
    return [name for name in forgotten if name not in newer], newer


def _is_of_newer(stored: bytes | None, manifest_at: str) -> bool:
    try:
        card = _read(stored)
    except NewerFormat:
        return True
    return card is not None and _is_newer(card.manifest_at, manifest_at)


def views_in_use(online: OnlineStore, references: Collection[str]) -> dict[str, str]:
    """Return those of some views to which cards in Redis lead, each with a service that reads it.

    A card of a newer format may lead to any of them.

    Args:
        online: The online store.
        references: The references of the views.

    Raises:
        OnlineStoreError: Redis failed.
    """
    used: dict[str, str] = {}
    for name in sorted(online.services()) if references else ():
        try:
            card = _read(online.card(name))
        except NewerFormat:
            used.update(dict.fromkeys(references, name))
        else:
            selected = {each.view for each in card.selections} if card is not None else set()
            used.update(dict.fromkeys(selected.intersection(references), name))
    return used


class _Composing:
    """Composes one card, from what Redis holds at the moment."""

    def __init__(self, service: FeatureService, key_prefix: str, origin: Origin) -> None:
        self._service = service
        self._prefix = key_prefix
        self._origin = origin
        self.reason = ""

    def compose(self, stored: bytes | None, schemas_of: SchemasOf) -> tuple[bytes, bool] | None:
        """Return the card to store and whether readers find it changed; None to leave what is stored."""
        self.reason = ""
        try:
            before = _read(stored)
        except NewerFormat:
            self.reason = "its card is of a newer version of feature-sync; upgrade this one"
            return None
        card = None
        if before is not None and _is_newer(before.manifest_at, self._origin.manifest_at):
            self.reason = f"its card is of a newer manifest, of {before.manifest_at}; run dbt parse, or build again"
        else:
            card = self._of_definition(schemas_of)
        if card is None and before is not None:
            card = self._refreshed(before, schemas_of)
        if card is None or card == before:
            return None
        return card.to_json(), before is None or not card.says_the_same(before)

    def _of_definition(self, schemas_of: SchemasOf) -> Card | None:
        schemas: Mapping[str, Mapping[bytes, RowSchema]] = {
            each.view.reference: schemas_of(each.view.reference) for each in self._service.selections
        }
        try:
            return compose_card(self._service, schemas, key_prefix=self._prefix, origin=self._origin)
        except (NotPushed, NotAsDefined) as unfit:
            self.reason = str(unfit)
            return None

    def _refreshed(self, card: Card, schemas_of: SchemasOf) -> Card | None:
        schemas = {each.view: schemas_of(each.view) for each in card.selections}
        try:
            return refresh_card(card, schemas, key_prefix=self._prefix)
        except (NotPushed, NotAsDefined):
            return None  # readers meet rows that the card does not fit, and say so


def _is_newer(stored: str, ours: str) -> bool:
    """True if a manifest is newer than another; one whose moment is unknown is not."""
    try:
        return datetime.fromisoformat(stored) > datetime.fromisoformat(ours)
    except (TypeError, ValueError):
        return False


def _read(stored: bytes | None) -> Card | None:
    """Read the stored card; one that cannot be read counts as none, and is replaced.

    Raises:
        NewerFormat: It is of a newer version, and stays.
    """
    try:
        return None if stored is None else read_card(stored, "the stored card")
    except NewerFormat:
        raise
    except OnlineStoreError:
        return None
