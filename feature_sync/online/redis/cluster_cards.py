"""Cards of feature services and the revision on a cluster, where each is in a slot of its own.

The order makes a cut harmless: a service is listed before its card is there, and until its card is gone; the revision
comes last, and readers go by it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import ComposeCard
from feature_sync.online.codec import RowSchema
from feature_sync.online.keys import ViewKeys, card_key, name_of, revision_key, services_key
from feature_sync.online.redis.cards import new_revision
from feature_sync.online.redis.cluster_reader import ClusterReader
from feature_sync.online.redis.cluster_scripts import REPLACE, command, script_call
from feature_sync.online.redis.schemas import readable_schemas
from feature_sync.online.slots import slot_of

_MOST_TRIES = 50


class ClusterCards:
    """The cards of one store."""

    def __init__(self, reader: ClusterReader, key_prefix: str, now: Callable[[], datetime]) -> None:
        """Prepare to publish.

        Args:
            reader: Sends to the nodes.
            key_prefix: The key prefix of the store.
            now: Reads the clock of the cluster.
        """
        self._reader = reader
        self._key_prefix = key_prefix
        self._now = now

    def publish(self, service: str, compose: ComposeCard) -> None:
        """Store a card; see `OnlineStore.publish`."""
        is_changed = False
        for _ in range(_MOST_TRIES):
            is_stored, is_new = self._publish_once(service, compose)
            is_changed = is_changed or is_new
            if is_stored:
                if is_changed:
                    self._set_revision()
                return
        raise OnlineStoreError(f"the card of {service} is changed by others all the time; push again")

    def withdraw(self, services: Collection[str]) -> None:
        """Remove cards; see `OnlineStore.withdraw`."""
        self._reader.run([command(card_key(self._key_prefix, each), "DEL") for each in services])
        self._set_revision()
        self._reader.run([command(services_key(self._key_prefix), "SREM", *services)])

    def _publish_once(self, service: str, compose: ComposeCard) -> tuple[bool, bool]:
        """Try once; returns whether nothing that was read has changed, and whether readers find the card changed."""
        key = card_key(self._key_prefix, service)
        seen: dict[str, Any] = {}

        def schemas_of(reference: str) -> Mapping[bytes, RowSchema]:
            schemas = ViewKeys(name_of(self._key_prefix, reference)).schemas
            found = self._reader.ask(command(schemas, "HGETALL"))
            seen[schemas] = found
            pairs = dict(zip(found[::2], found[1::2], strict=True))
            readable = readable_schemas(schemas, pairs, strict=False)
            return {schema_id: schema for schema_id, schema in readable.items() if schema.id == schema_id}

        held = self._reader.ask(command(key, "GET"))
        composed = compose(held, schemas_of)
        if composed is None:
            return True, False
        content, is_new = composed
        self._reader.run([command(services_key(self._key_prefix), "SADD", service)])
        replaced = self._reader.run([script_call(REPLACE, slot_of(key.encode()), [key], [held or b"", content])])[0]
        again = self._reader.run([command(each, "HGETALL") for each in seen])
        return bool(replaced) and again == [*seen.values()], bool(replaced) and is_new

    def _set_revision(self) -> None:
        self._reader.run([command(revision_key(self._key_prefix), "SET", new_revision(self._now()))])
