"""The route to the nodes of a Redis Cluster: each command goes to the primary that serves its slot.

Nodes say when a slot has moved (MOVED), is moving (ASK, TRYAGAIN), or is served by nobody (CLUSTERDOWN). Only primaries
are asked: a replica may answer with rows that a push has already replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

from hiredis import ReplyError

from feature_sync.errors import OnlineStoreError
from feature_sync.online.topology import Node, Topology, read_topology
from feature_sync.serving.endpoint import Command, Endpoint
from feature_sync.serving.routes import Round, Route, Steps, is_lost, pause_after
from feature_sync.serving.row_reads import Places, places_of
from feature_sync.serving.slot_parts import only_slot
from feature_sync.serving.slot_requests import SlotRequests

_REVISION_PERIOD = 1.0
_SECONDS_BETWEEN_REFRESHES = 1.0
_SHARE_OF_REFRESH = 0.4


class ClusterRoute(Route):
    """Which node serves which slot, and how requests follow slots that move."""

    revision_period = _REVISION_PERIOD

    def __init__(self, endpoint: Endpoint) -> None:
        """Take the nodes that the URL names."""
        super().__init__(endpoint)
        self._topology: Topology | None = None
        self._placed: tuple[Topology, Places] | None = None
        self._refreshed_at = 0.0
        self._refreshes = 0
        self._doubted: frozenset[Node] = frozenset()

    def direct(self, commands: Sequence[Command]) -> Node | None:
        """See `Route`."""
        topology = self._topology
        if topology is None or self._doubted or len(commands) != 1:
            return None
        slot = only_slot(commands[0])
        return None if slot is None else topology.owners[slot]

    def is_answer(self, reply: Any) -> bool:
        """See `Route`."""
        return not isinstance(reply, ReplyError)

    def doubt(self, node: Node) -> None:
        """See `Route`."""
        self._doubted |= {node}

    def forget(self) -> None:
        """See `Route`."""
        self._topology, self._doubted = None, frozenset()

    def steps(self, commands: Sequence[Command], deadline: float, clock: Callable[[], float]) -> Steps:
        """See `Route`."""
        requests = SlotRequests(commands, self.base)
        while not requests.is_answered:
            pause = pause_after(requests.rounds)
            if requests.trouble is not None and clock() + pause >= deadline:
                raise requests.trouble
            has_moved = requests.moved and clock() - self._refreshed_at > _SECONDS_BETWEEN_REFRESHES
            topology = self._topology
            if topology is None or self._doubted or requests.unserved or has_moved:
                topology = yield from self._refresh(clock)
            asked = requests.by_node(topology, self._places)
            requests.take(asked, (yield requests.round(asked, pause)))
            self._doubted |= requests.lost
            if requests.moved:
                self._topology = topology.with_moved(requests.moved)
        return requests.replies

    def _places(self, topology: Topology) -> Places:
        """Return the places of keys, made once for a topology."""
        placed = self._placed
        if placed is None or placed[0] is not topology:
            placed = self._placed = topology, places_of(topology)
        return placed[1]

    def _refresh(self, clock: Callable[[], float]) -> Steps:
        """Ask one node after another for the topology; returns it.

        Raises:
            OnlineStoreError: None answers, or one refuses.
        """
        failure: OnlineStoreError | None = None
        for node in self._candidates():
            outcome = (yield Round({node: [("CLUSTER", "SLOTS")]}, share=_SHARE_OF_REFRESH))[node]
            if not isinstance(outcome, OnlineStoreError):
                if not isinstance(outcome[0], ReplyError):
                    self._topology, self._doubted = (found := read_topology(outcome[0], node)), frozenset()
                    self._refreshed_at = clock()
                    return found
                outcome = self._refused(node, outcome[0])
            if not is_lost(outcome):
                raise outcome
            failure = failure or outcome
        raise failure or OnlineStoreError(f"the Redis URL {self.base} names no node")

    def _candidates(self) -> list[Node]:
        """Return the nodes to ask for the topology: each time another first, and those that were silent last."""
        known = () if self._topology is None else self._topology.nodes
        nodes = tuple(dict.fromkeys((*known, *self.base.address.nodes)))
        self._refreshes += 1
        start = self._refreshes % len(nodes) if known else 0
        turned = islice(cycle(nodes), start, start + len(nodes))
        return sorted(turned, key=self._doubted.__contains__)

    def _refused(self, node: Node, reply: ReplyError) -> OnlineStoreError:
        failure = self.endpoint(node).refused(reply)
        text = str(reply)
        if "cluster support disabled" in text or "unknown command" in text.lower():
            failure = OnlineStoreError(
                f"Redis at {self.endpoint(node)} is not a node of a Redis Cluster: begin the URL with redis:// "
                "(rediss:// for TLS), or with redis+sentinel:// if it is a Sentinel"
            )
            failure.__cause__ = reply
        return failure
