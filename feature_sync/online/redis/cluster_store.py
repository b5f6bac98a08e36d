"""The online store in a Redis Cluster: connects, and lists what pushes wrote under a key prefix."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from feature_sync.online.base import ClusterHealth, ComposeCard, NodeState, OnlineStore, ServerState
from feature_sync.online.keys import card_key, services_key, store_key, views_key
from feature_sync.online.redis.address import Address
from feature_sync.online.redis.cluster_cards import ClusterCards
from feature_sync.online.redis.cluster_health import read_health
from feature_sync.online.redis.cluster_nodes import ClusterNodes
from feature_sync.online.redis.cluster_reader import ClusterReader
from feature_sync.online.redis.cluster_scripts import Call, command
from feature_sync.online.redis.cluster_state import read_states, server_state_of
from feature_sync.online.redis.cluster_view import ClusterView
from feature_sync.online.slots import slot_of

_MOST_SCANS = 100


class ClusterStore(OnlineStore):
    """The connections to the nodes of a cluster; `feature_sync.online.keys` holds the layout of the keys."""

    def __init__(self, address: Address, *, key_prefix: str, timeout: float) -> None:
        """Connect to a node.

        Args:
            address: The address of a cluster.
            key_prefix: The start of all Redis keys.
            timeout: How many seconds to wait for an answer.

        Raises:
            OnlineStoreError: No node can be reached, or one refuses the user or is not a node of a cluster.
        """
        self.key_prefix = key_prefix
        self._nodes = ClusterNodes(address, timeout)
        self._reader = ClusterReader(self._nodes)
        self._cards = ClusterCards(self._reader, key_prefix, self.now)

    def close(self) -> None:
        """See `OnlineStore`."""
        self._nodes.close()

    def view(self, reference: str) -> ClusterView:
        """See `OnlineStore`."""
        return ClusterView(self._nodes, self._reader, key_prefix=self.key_prefix, reference=reference, now=self.now)

    def services(self) -> set[str]:
        """See `OnlineStore`."""
        return {each for each in self._members(services_key(self.key_prefix)) if self.card(each) is not None}

    def card(self, service: str) -> bytes | None:
        """See `OnlineStore`."""
        found: bytes | None = self._reader.ask(command(card_key(self.key_prefix, service), "GET"))
        return found

    def publish(self, service: str, compose: ComposeCard) -> None:
        """See `OnlineStore`."""
        self._cards.publish(service, compose)

    def withdraw(self, services: Collection[str]) -> None:
        """See `OnlineStore`, but for the one atomic step: the cards go first, then the revision changes."""
        self._cards.withdraw(services)

    def settle_revision(self) -> None:
        """See `OnlineStore`."""
        self._cards.settle_revision()

    def store_id(self, *, create: bool = True) -> str:
        """See `OnlineStore`."""
        key = store_key(self.key_prefix)
        if create:
            self._reader.ask(command(key, "SET", secrets.token_hex(8), "NX"))
        return str((self._reader.ask(command(key, "GET")) or b"").decode(errors="backslashreplace"))

    def references(self) -> set[str]:
        """See `OnlineStore`."""
        return self._members(views_key(self.key_prefix))

    def prefixes(self) -> list[str]:
        """See `OnlineStore`."""
        ending = views_key("").encode()  # of the set that every push writes
        batches = self._reader.scan(f"*{ending.decode()}", "TYPE", "set", most=_MOST_SCANS)
        found = {key.removesuffix(ending) for keys in batches for key in keys}
        return sorted(each.decode(errors="backslashreplace") for each in found)

    def server_state(self) -> ServerState:
        """See `OnlineStore`."""
        return server_state_of(read_states(self._reader, self._nodes))

    def nodes(self) -> tuple[NodeState, ...]:
        """See `OnlineStore`."""
        return tuple(each.state for each in read_states(self._reader, self._nodes).values())

    def cluster_health(self) -> ClusterHealth:
        """See `OnlineStore`."""
        return read_health(self._reader, self._nodes)

    def now(self) -> datetime:
        """See `OnlineStore`; the clock of the node that has the store's id, whichever that becomes."""
        slot = slot_of(store_key(self.key_prefix).encode())
        seconds, microseconds = self._reader.ask(Call(slot, ("TIME",)))
        return datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(microseconds))

    def _members(self, key: str) -> set[str]:
        return {each.decode() for each in self._reader.ask(command(key, "SMEMBERS")) if _is_text(each)}


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
