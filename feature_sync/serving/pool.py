"""Connections to one server that threads share: each is used by one request at a time, and idle ones wait here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any

from feature_sync.serving.connection import Connection, Exchange, connect
from feature_sync.serving.endpoint import Command, Endpoint, Packed, is_timeout


class Pool:
    """The connections to one server."""

    __slots__ = ("_idle", "endpoint")

    def __init__(self, endpoint: Endpoint) -> None:
        """Take the address; the first request connects."""
        self.endpoint = endpoint
        self._idle: deque[Connection] = deque()

    def ask(self, commands: Sequence[Command], allowed: float, deadline: float) -> list[Any]:
        """See `Connection.exchange`; a lost connection is replaced once."""
        idle = self._idle  # after a fork, or `forget`, the pool has another: what returns to this one is closed with it
        try:
            connection = idle.pop()
        except IndexError:
            connection = None
        if connection is None:
            connection = connect(self.endpoint, deadline)
        try:
            replies = connection.exchange(commands, allowed, deadline)
        except OSError as lost:
            if is_timeout(lost):
                raise
            idle.clear()  # the others are as old, and as likely to be lost
            connection = connect(self.endpoint, deadline)
            replies = connection.exchange(commands, deadline - monotonic(), deadline)
        idle.append(connection)
        return replies

    def asking(self, commands: Iterable[Command | Packed], deadline: float) -> Exchange:
        """Send commands, yield, and return their replies once resumed; a lost connection is replaced once.

        After a lost connection it yields again.

        Args:
            commands: The words of each.
            deadline: By the monotonic clock.

        Raises:
            OSError: The connection is lost; a `TimeoutError` at the deadline.
            ProtocolError: Something else than replies came.
            OnlineStoreError: Redis refuses the login.
        """
        idle = self._idle
        try:
            connection = idle.pop()
        except IndexError:
            connection = connect(self.endpoint, deadline)
            replies = yield from connection.exchanging(commands, deadline)
            idle.append(connection)
            return replies
        try:
            replies = yield from connection.exchanging(commands, deadline)
        except OSError as lost:
            if is_timeout(lost):
                raise
            idle.clear()
            connection = connect(self.endpoint, deadline)
            replies = yield from connection.exchanging(commands, deadline)
        idle.append(connection)
        return replies

    def forget(self) -> None:
        """Let go of all connections: idle ones are closed now, those in use when they no longer are."""
        self._idle = deque()
