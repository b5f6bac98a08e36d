"""The nodes of a Redis Cluster as pushes and their like reach them: who serves which slot, and a client of each."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.address import Address
from feature_sync.online.redis.connections import CONNECTIONS
from feature_sync.online.redis.reasons import translating
from feature_sync.online.topology import Node, Redirection, Topology, read_topology


class ClusterNodes:
    """Which node serves which slot, and a client of each node. Threads may share it."""

    def __init__(self, address: Address, timeout: float) -> None:
        """Connect to one of the nodes that the URL names, and ask it for the others.

        Args:
            address: The address of a cluster.
            timeout: How many seconds to wait for an answer.

        Raises:
            OnlineStoreError: None of the nodes answers, or one is not a node of a cluster.
        """
        self.address = address
        self.timeout = timeout
        self._clients: dict[Node, redis.Redis] = {}
        self._lock = Lock()
        self._topology: Topology | None = None
        self.refresh()

    @property
    def topology(self) -> Topology:
        """The topology as far as it is known; see `refresh`."""
        return self._topology or self.refresh()

    def whole(self) -> Topology:
        """Ask for the topology, of which every slot has a node.

        Raises:
            OnlineStoreError: A slot has none, or no node answers.
        """
        topology = self.refresh()
        if topology.unserved:
            raise OnlineStoreError(unserved(topology.unserved))
        return topology

    def refresh(self) -> Topology:
        """Ask one node after another for the topology.

        Raises:
            OnlineStoreError: None answers, or one is not a node of a cluster.
        """
        known = () if self._topology is None else self._topology.nodes
        failure: OnlineStoreError | None = None
        for node in dict.fromkeys((*known, *self.address.nodes)):
            try:
                found = self._ask(node)
            except OnlineStoreError as failed:
                if not isinstance(failed.__cause__, redis.ConnectionError | redis.TimeoutError):
                    raise
                failure = failure or failed
                continue
            with self._lock:
                self._topology = found
            return found
        raise failure or OnlineStoreError(f"the Redis URL {self.address.where} names no node")

    def _ask(self, node: Node) -> Topology:
        with self.translating(node):
            try:
                run: Any = self.client(node).execute_command
                reply = run("CLUSTER", "SLOTS")
            except redis.ResponseError as refused:
                if "cluster support disabled" in str(refused) or "unknown command" in str(refused).lower():
                    raise OnlineStoreError(
                        f"Redis at {self.address.at(node).where} is not a node of a Redis Cluster: begin the URL with "
                        "redis:// (rediss:// for TLS), or with redis+sentinel:// if it is a Sentinel"
                    ) from refused
                raise
        return read_topology(reply, node)

    def move(self, moved: Sequence[Redirection]) -> None:
        """Take note of slots that have moved."""
        with self._lock:
            if self._topology is not None:
                self._topology = self._topology.with_moved(moved)

    def client(self, node: Node) -> redis.Redis:
        """Return the client of a node, which sends each command once; it connects when it is used."""
        with self._lock:
            if node not in self._clients:
                self._clients[node] = redis.Redis.from_pool(self._pool(node))
            return self._clients[node]

    def _pool(self, node: Node) -> redis.ConnectionPool:
        address = self.address.at(node)
        return redis.ConnectionPool(
            connection_class=CONNECTIONS[address.scheme],
            protocol=2,
            driver_info=None,  # else CLIENT SETINFO, to which a user may have no right
            socket_connect_timeout=self.timeout,
            socket_timeout=self.timeout,
            retry=Retry(NoBackoff(), 0),
            **address.options,
        )

    def translating(self, node: Node) -> Any:
        """Turn the errors of a node's client into ours."""
        return translating(self.address.at(node), self.timeout)

    def close(self) -> None:
        """Close the connections to all nodes."""
        with self._lock:
            clients, self._clients = [*self._clients.values()], {}
        for client in clients:
            client.close()


def unserved(slots: int) -> str:
    """Return the whole message of slots that no node serves."""
    return (
        f"no node of the Redis Cluster serves {slots:,} of its slots; see CLUSTER INFO, and assign them with "
        "redis-cli --cluster fix"
    )
