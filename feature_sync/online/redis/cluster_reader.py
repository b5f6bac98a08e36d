"""Reads from the nodes of a cluster: keys wherever they are, and all keys of a pattern although slots move."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import redis

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.cluster_nodes import ClusterNodes
from feature_sync.online.redis.cluster_scripts import Call
from feature_sync.online.redis.cluster_sender import ClusterSender
from feature_sync.online.redis.wording import wrong_type
from feature_sync.online.topology import Node

T = TypeVar("T")
_KEYS_PER_SCAN = 1000
_SECONDS_BETWEEN_SCANS = (0.1, 0.5, 2.0, 5.0)


class ClusterReader:
    """Reads; threads may share it.

    Raises:
        OnlineStoreError: From every method: a node failed, or a slot is not served.
    """

    def __init__(self, nodes: ClusterNodes) -> None:
        """Prepare to read."""
        self._nodes = nodes

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """Run calls, and return their replies."""
        with self._sending() as sender:
            return sender.run(calls)

    def ask(self, call: Call) -> Any:
        """Run one call; if its key holds another type of value, the error names it."""
        try:
            return self.run([call])[0]
        except OnlineStoreError as failed:
            if isinstance(failed.__cause__, redis.ResponseError) and "WRONGTYPE" in str(failed.__cause__):
                key = call.words[1]
                raise OnlineStoreError(wrong_type(key if isinstance(key, str) else key.decode())) from failed.__cause__
            raise

    def at(self, node: Node, *words: bytes | str) -> Any:
        """Run a command at a node."""
        with self._sending() as sender:
            return sender.at(node, *words)

    def scan(self, pattern: str, *kind: str, most: int | None = None) -> Iterator[list[bytes]]:
        """Find keys on all primaries, each that exists throughout at least once, in batches that are not empty.

        A slot that moves meanwhile may be missed on both nodes, so that all are searched again.

        Args:
            pattern: A glob.
            kind: `TYPE` and a type of values, to find only those.
            most: End after so many requests to each node, and then whether or not slots move.

        Raises:
            OnlineStoreError: Slots move all the time.
        """

        def scan() -> Generator[list[bytes], None, bool]:
            for node in self._nodes.topology.primaries:
                yield from self._scan(node, pattern, kind, most)
            return most is not None

        return self.unmoved(scan)

    def unmoved(self, scan: Callable[[], Generator[T, None, bool]]) -> Iterator[T]:
        """Yield what a scan finds, again and again until no slot has moved meanwhile.

        Args:
            scan: Begins it; returns True if it can have missed nothing.

        Raises:
            OnlineStoreError: Slots move all the time.
        """
        before = self._ownership()
        for pause in (*_SECONDS_BETWEEN_SCANS, None):
            if (yield from scan()):
                return
            after = self._ownership()
            if before == after and not any("[" in each for each in after):
                return
            if pause is not None:
                time.sleep(pause)
            before = self._ownership()
        raise OnlineStoreError(
            "slots of the Redis Cluster are moving between its nodes, so that keys may be missed; try again when that "
            "has ended (CLUSTER NODES shows slots that move in brackets)"
        )

    def _scan(self, node: Node, pattern: str, kind: Sequence[str], most: int | None) -> Iterator[list[bytes]]:
        cursor, requests = b"0", 0
        while requests != most:
            cursor, found = self.at(node, "SCAN", cursor, "MATCH", pattern, "COUNT", str(_KEYS_PER_SCAN), *kind)
            requests += 1
            if found:
                yield found
            if cursor == b"0":
                return

    def _ownership(self) -> list[str]:
        """Return what each primary says of the slots that it serves, and of those that move."""
        topology = self._nodes.whole()
        told = [bytes(self.at(node, "CLUSTER", "NODES")).decode() for node in topology.primaries]
        lines = (line.split(" ") for each in told for line in each.splitlines() if "myself" in line)
        return [" ".join((words[0], *words[8:])) for words in lines]

    @contextmanager
    def _sending(self) -> Iterator[ClusterSender]:
        sender = ClusterSender(self._nodes)
        try:
            yield sender
        finally:
            sender.close()
