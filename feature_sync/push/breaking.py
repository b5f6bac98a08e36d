"""Refuses a push that would break feature services in place: what Redis serves of a view is what its cards say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from feature_sync.errors import FeatureSyncError, OnlineStoreError, ViewsFailed
from feature_sync.online.base import OnlineStore
from feature_sync.online.codec import RowSchema
from feature_sync.serving.card import CardSelection, read_card


class BreakingChange(OnlineStoreError):
    """A push would change what a served feature service reads: `services` holds the reasons, by service."""

    def __init__(self, reference: str, services: Mapping[str, tuple[str, ...]]) -> None:
        told = "; ".join(f"{name}: {', '.join(reasons)}" for name, reasons in services.items())
        super().__init__(
            f"{reference} is served by Redis, and this push would break {told}. Give the dbt model a new version, "
            "which is pushed beside the old one; or if all readers are ready, add --allow-breaking"
        )
        self.services = services


def check_served(online: OnlineStore, reference: str, schema: RowSchema) -> None:
    """Raise if rows of a schema would break a service that has a card.

    A new feature, default or TTL breaks none: readers take them from the card.

    Args:
        online: The online store.
        reference: The reference of the view.
        schema: The schema of the rows to push.

    Raises:
        BreakingChange: A card selects a feature that is gone or has another type, or names other keys.
        OnlineStoreError: Redis failed.
    """
    broken: dict[str, tuple[str, ...]] = {}
    for service in sorted(online.services()):
        reasons = [reason for each in _selections(online.card(service), reference) for reason in _reasons(each, schema)]
        if reasons:
            broken[service] = tuple(dict.fromkeys(reasons))
    if broken:
        raise BreakingChange(reference, broken)


def services_kept(failed: FeatureSyncError) -> frozenset[str]:
    """Return the services whose old cards stay, since pushes were refused for their sake."""
    failures = failed.failures.values() if isinstance(failed, ViewsFailed) else (failed,)
    return frozenset(name for each in failures if isinstance(each, BreakingChange) for name in each.services)


def _selections(stored: bytes | None, reference: str) -> list[CardSelection]:
    """Return what a card selects of a view; a card that this version cannot read breaks no promise of this version."""
    if stored is None:
        return []
    try:
        card = read_card(stored, "the stored card")
    except OnlineStoreError:
        return []
    return [each for each in card.selections if each.view == reference]


def _reasons(selection: CardSelection, schema: RowSchema) -> Iterator[str]:
    keys = tuple((name, str(kind)) for name, kind in schema.keys)
    if keys != selection.schema_keys:
        yield f"its keys change from {_keys(selection.schema_keys)} to {_keys(keys)}"
    kinds = {name: str(kind) for name, kind in schema.features}
    for feature in selection.features:
        if feature.name not in kinds:
            yield f"the feature {feature.name} is gone"
        elif kinds[feature.name] != feature.type:
            yield f"the feature {feature.name} changes from {feature.type} to {kinds[feature.name]}"


def _keys(keys: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in keys)
