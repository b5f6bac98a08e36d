"""The least that a reader of the same rows does: one MGET and MessagePack, by redis-py and over a bare socket."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import hiredis
import msgspec

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
        self._socket.sendall(packed)
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
