"""The least that a reader of the same rows does: MGET and MessagePack, by redis-py and over bare sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import unquote, urlsplit

import hiredis
import msgspec
import redis

from feature_sync.online.slots import slot_of
from feature_sync.online.topology import Node, read_topology

_BYTES_PER_READ = 131_072
_HEADER = 2
"""A row begins with its schema's id and its event timestamp."""

decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder().decode


def by_redis_py(client: Any, keys: Sequence[bytes]) -> Callable[[], list[Any]]:
    """Read rows with redis-py."""
    return lambda: [decode(content) for content in client.mget(keys)]


def by_socket(bare: BareSocket, keys: Sequence[bytes]) -> Callable[[], list[Any]]:
    """Read rows with one socket and hiredis."""
    return lambda: [decode(content) for content in bare.ask(hiredis.pack_command(("MGET", *keys)), 1)[0]]


def values_of(rows: Sequence[Sequence[Any]], count: int = 1) -> list[list[Any]]:
    """Put the rows of all views together, entity by entity."""
    return [[value for row in rows[at::count] for value in row[_HEADER:]] for at in range(count)]


class BareSocket:
    """A socket to Redis."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._reader = hiredis.Reader()
        if parts.scheme == "unix":
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(unquote(parts.path))
        else:
            self._socket = socket.create_connection((parts.hostname or "", parts.port or 0))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, packed: bytes, count: int) -> list[Any]:
        """Send commands and return their replies."""
        self.send(packed)
        return self.read(count)

    def send(self, packed: bytes) -> None:
        """Send commands."""
        self._socket.sendall(packed)

    def read(self, count: int) -> list[Any]:
        """Return the replies to so many commands."""
        replies: list[Any] = []
        while len(replies) < count:
            reply = self._reader.gets()
            if reply is False:
                self._reader.feed(self._socket.recv(_BYTES_PER_READ))
            else:
                replies.append(reply)
        return replies

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class BareNodes:
    """Sockets to the nodes of a cluster, each with the commands for the entities that it has."""

    def __init__(self, stack: ExitStack, ports: Sequence[int], entities: Sequence[Sequence[bytes]]) -> None:
        """Group and encode in advance.

        Args:
            stack: Closes the sockets.
            ports: The nodes.
            entities: The row keys of each entity, which share a slot.
        """
        with closing(redis.Redis(port=ports[0])) as client:
            owners = read_topology(client.execute_command("CLUSTER", "SLOTS"), Node("127.0.0.1", ports[0])).owners
        by_node: dict[Any, list[Sequence[bytes]]] = {}
        for keys in entities:
            by_node.setdefault(owners[slot_of(keys[0])], []).append(keys)
        self._nodes = [
            (stack.enter_context(closing(BareSocket(f"redis://{node}"))), _packed(some), some)
            for node, some in by_node.items()
        ]

    def ask(self, keys: Sequence[bytes]) -> list[Any]:
        """Send to all nodes, read from all, and return the rows in the order of the keys."""
        for bare, packed, _ in self._nodes:
            bare.send(packed)
        found: dict[bytes, Any] = {}
        for bare, _, some in self._nodes:
            for row_keys, reply in zip(some, bare.read(len(some)), strict=True):
                found.update(zip(row_keys, reply, strict=True))
        return [found[key] for key in keys]


def _packed(entities: Sequence[Sequence[bytes]]) -> bytes:
    return b"".join([hiredis.pack_command(("MGET", *keys)) for keys in entities])
