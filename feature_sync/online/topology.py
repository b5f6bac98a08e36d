"""The nodes of a Redis Cluster as a value: which serves a hash slot, and where they say that a slot has gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from feature_sync.errors import OnlineStoreError
from feature_sync.online.slots import SLOTS

_UNKNOWN_HOST = "?"
"""What a node announces that shall be known by its host name, and has none."""


class Node(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Topology(msgspec.Struct, frozen=True):
    """Which node serves which slot.

    Args:
        owners: For each of the 16,384 slots its primary; None for a slot that nobody serves.
        replicas: The replicas of each primary.
    """

    owners: tuple[Node | None, ...]
    replicas: Mapping[Node, tuple[Node, ...]]

    @property
    def primaries(self) -> tuple[Node, ...]:
        """The nodes that serve slots, in the order of their first slot."""
        return tuple(dict.fromkeys(each for each in self.owners if each is not None))

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, primaries first."""
        behind = (replica for each in self.replicas.values() for replica in each)
        return tuple(dict.fromkeys((*self.primaries, *behind)))

    @property
    def unserved(self) -> int:
        """How many slots no node serves."""
        return self.owners.count(None)

    def slots_of(self, node: Node) -> list[int]:
        """Return the slots that a primary serves, in order."""
        return [slot for slot, owner in enumerate(self.owners) if owner == node]

    def with_moved(self, redirections: Sequence[Redirection]) -> Topology:
        """Return the topology after slots have moved."""
        owners = [*self.owners]
        for each in redirections:
            owners[each.slot] = each.node
        return Topology(tuple(owners), self.replicas)


class Redirection(NamedTuple):
    """A node's answer that a slot is served elsewhere: from now on (MOVED), or for this one request (ASK)."""

    is_moved: bool
    slot: int
    node: Node


def read_topology(reply: Any, asked: Node) -> Topology:
    """Read the reply to CLUSTER SLOTS.

    Args:
        reply: Ranges of slots as `[first, last, primary, replica...]`, a node as `[host, port, id, details...]`; texts
            may be bytes.
        asked: The node that answered: an empty host in its reply stands for the host at which it was asked.

    Raises:
        OnlineStoreError: The reply is not of that form.
    """
    owners: list[Node | None] = [None] * SLOTS
    replicas: dict[Node, tuple[Node, ...]] = {}
    try:
        for first, last, primary, *behind in reply:
            node = _announced(primary, asked)
            owners[first : last + 1] = [node] * _width(first, last)
            if node is not None:
                replicas[node] = tuple(each for each in (_announced(one, asked) for one in behind) if each is not None)
    except (TypeError, ValueError, IndexError) as wrong:
        raise OnlineStoreError(f"what Redis at {asked} answers to CLUSTER SLOTS cannot be read") from wrong
    return Topology(tuple(owners), replicas)


def _width(first: int, last: int) -> int:
    if not 0 <= first <= last < SLOTS:
        raise ValueError("no such slots")
    return last + 1 - first


def _announced(entry: Sequence[Any], asked: Node) -> Node | None:
    """Read a node of CLUSTER SLOTS; None if it does not say where it is."""
    host, port = entry[0], entry[1]
    text = _text(host) if host is not None else ""
    if text == _UNKNOWN_HOST or not port:
        return None
    return Node(text or asked.host, int(port))


def read_redirection(message: str, asked: Node) -> Redirection | None:
    """Read `MOVED 3999 host:port` or `ASK 3999 host:port`; None if the message is something else.

    Args:
        message: The text of an error reply.
        asked: The node that answered: a redirection without a host stands for the host at which it was asked.
    """
    kind, _, rest = message.partition(" ")
    slot, _, place = rest.partition(" ")
    host, colon, port = place.partition(" ")[0].rpartition(":")
    if kind not in ("MOVED", "ASK") or not colon or not (slot.isdecimal() and port.isdecimal()):
        return None
    if int(slot) >= SLOTS or host == _UNKNOWN_HOST:
        return None
    return Redirection(kind == "MOVED", int(slot), Node(host.strip("[]") or asked.host, int(port)))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
