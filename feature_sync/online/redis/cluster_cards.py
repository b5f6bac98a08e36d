"""Cards of feature services and the revision on a cluster, where each is in a slot of its own.

The order makes a cut harmless: a service is listed before its card is there, and until its card is gone; the revision
comes last, and readers go by it. Until it is set, a field of the card's slot, written with the card in one step, says
that it is due: the next push sets it if this one is cut off.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import ComposeCard
from feature_sync.online.codec import RowSchema
from feature_sync.online.keys import ViewKeys, card_key, name_of, revision_key, services_key, slot_key
from feature_sync.online.redis.cards import new_revision
from feature_sync.online.redis.cluster_reader import ClusterReader
from feature_sync.online.redis.cluster_scripts import CLEAR, REMOVE, REPLACE, Call, Script, command, script_call
from feature_sync.online.redis.cluster_slots import due_revision
from feature_sync.online.redis.schemas import readable_schemas
from feature_sync.online.slots import slot_of, tags

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
        is_changed, token = False, secrets.token_hex(8)
        for _ in range(_MOST_TRIES):
            is_stored, is_new = self._publish_once(service, compose, token)
            is_changed = is_changed or is_new
            if is_stored:
                if is_changed:
                    self._set_revision({service: token.encode()})
                return
        raise OnlineStoreError(f"the card of {service} is changed by others all the time; push again")

    def withdraw(self, services: Collection[str]) -> None:
        """Remove cards; see `OnlineStore.withdraw`."""
        due = dict.fromkeys(services, secrets.token_hex(8).encode())
        self._reader.run([self._of_card(REMOVE, each, due_revision(self._card(each)), due[each]) for each in services])
        self._set_revision(due)
        self._reader.run([command(services_key(self._key_prefix), "SREM", *services)])

    def settle_revision(self) -> None:
        """Set a revision that is due; see `OnlineStore.settle_revision`."""
        members = self._reader.ask(command(services_key(self._key_prefix), "SMEMBERS"))
        services = sorted(each.decode(errors="replace") for each in members)
        fields = [command(self._slot(each), "HGET", due_revision(self._card(each))) for each in services]
        due = {each: token for each, token in zip(services, self._reader.run(fields), strict=True) if token}
        if due:
            self._set_revision(due)

    def _publish_once(self, service: str, compose: ComposeCard, token: str) -> tuple[bool, bool]:
        """Try once; returns whether nothing that was read has changed, and whether readers find the card changed."""
        seen: dict[str, Any] = {}

        def schemas_of(reference: str) -> Mapping[bytes, RowSchema]:
            schemas = ViewKeys(name_of(self._key_prefix, reference)).schemas
            found = self._reader.ask(command(schemas, "HGETALL"))
            seen[schemas] = found
            pairs = dict(zip(found[::2], found[1::2], strict=True))
            readable = readable_schemas(schemas, pairs, strict=False)
            return {schema_id: schema for schema_id, schema in readable.items() if schema.id == schema_id}

        held = self._reader.ask(command(self._card(service), "GET"))
        composed = compose(held, schemas_of)
        if composed is None:
            return True, False
        content, is_new = composed
        self._reader.run([command(services_key(self._key_prefix), "SADD", service)])
        due = due_revision(self._card(service)), token if is_new else ""
        (replaced,) = self._reader.run([self._of_card(REPLACE, service, held or b"", content, *due)])
        again = self._reader.run([command(each, "HGETALL") for each in seen])
        return bool(replaced) and again == [*seen.values()], bool(replaced) and is_new

    def _set_revision(self, due: Mapping[str, bytes]) -> None:
        """Set a new revision, which was due for some services by these tokens."""
        self._reader.run([command(revision_key(self._key_prefix), "SET", new_revision(self._now()))])
        arguments = {each: (due_revision(self._card(each)), token) for each, token in due.items()}
        slots = {each: slot_of(self._card(each).encode()) for each in due}
        self._reader.run([script_call(CLEAR, slots[each], [self._slot(each)], arguments[each]) for each in due])

    def _of_card(self, script: Script, service: str, *arguments: bytes | str) -> Call:
        key = self._card(service)
        return script_call(script, slot_of(key.encode()), [key, self._slot(service)], arguments)

    def _card(self, service: str) -> str:
        return card_key(self._key_prefix, service)

    def _slot(self, service: str) -> bytes:
        """Return the key of the hash in the slot of a service's card."""
        return slot_key(self._key_prefix, tags()[slot_of(self._card(service).encode())])
