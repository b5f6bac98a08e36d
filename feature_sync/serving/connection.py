"""One connection to a Redis server over a socket of our own: the login, commands in batches, and their replies."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from time import monotonic, sleep
from typing import Any

from hiredis import ProtocolError, Reader

from feature_sync.serving.endpoint import BATCH_BYTES, Closed, Command, Endpoint, Packed, batches, pack

_BYTES_PER_READ = 65_536
_LEAST_CHANGE = 0.001
"""Seconds. The timeout of a socket is not set anew for less; a request may take as much longer."""
_PAUSE = 0.002
"""Seconds between two tries at a unix socket on which too many connections wait to be accepted."""
_BATCHES_AT_ONCE = 2
Exchange = Generator[None, None, list[Any]]
"""Has sent commands when it yields, and returns the replies when it is resumed."""


class Connection:
    """A connection; its socket is closed with it."""

    __slots__ = ("_feed", "_gets", "_receive", "_send", "_socket", "_timeout")

    def __init__(self, connected: socket.socket) -> None:
        reader = Reader()
        self._socket = connected
        self._timeout = connected.gettimeout() or 0.0
        self._feed, self._gets = reader.feed, reader.gets
        self._receive, self._send = connected.recv, connected.sendall

    def exchange(self, commands: Sequence[Command], allowed: float, deadline: float) -> list[Any]:
        """Send commands and return their replies, errors among them.

        Args:
            commands: The words of each.
            allowed: How many seconds are left until the deadline.
            deadline: By the monotonic clock.

        Raises:
            OSError: The connection is lost; a `TimeoutError` at the deadline.
            ProtocolError: Something else than that many replies came.
        """
        try:
            if self._timeout != allowed:
                self._set_timeout(allowed)
            if len(commands) == 1:  # most requests: one view
                self._send(packed := pack(commands[0]))
                if len(packed) > BATCH_BYTES:  # less fits into the buffer of the socket, and took no time
                    self._shorten(deadline)
                self._feed(self._receive(_BYTES_PER_READ))  # nothing if it is closed, which `_read` finds
                replies = [self._gets()]
                if replies[0] is False:
                    replies.clear()
                    self._read(replies, 1, deadline)
            else:
                replies = self._exchange_batches(commands, deadline)
            if self._gets() is not False:
                raise ProtocolError("more replies than commands")  # noqa: TRY301
        except BaseException:  # an interrupt, too: replies may be unread
            self.close()
            raise
        return replies

    def _exchange_batches(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        replies: list[Any] = []
        answered = due = 0
        for packed, count in batches(commands):
            if due:
                self._read(replies, answered, deadline)
                self._shorten(deadline)
            self._send(packed)
            answered, due = due, due + count
        self._read(replies, due, deadline)
        return replies

    def exchanging(self, commands: Iterable[Command | Packed], deadline: float) -> Exchange:
        """Send commands, yield, and read their replies once resumed: other servers can be asked in between.

        Args:
            commands: The words of each.
            deadline: By the monotonic clock.

        Raises:
            OSError: See `exchange`.
            ProtocolError: See `exchange`.
        """
        try:
            self._set_timeout(deadline - monotonic())
            waiting = batches(commands)
            counts = [self._sent(packed, count) for packed, count in islice(waiting, _BATCHES_AT_ONCE)]
            yield
            replies: list[Any] = []
            due = 0
            while counts:
                due += counts.pop(0)
                self._read_all(replies, due, deadline)
                counts += (self._sent(packed, count) for packed, count in islice(waiting, 1))
            if len(replies) != due:
                raise ProtocolError("more replies than commands")  # noqa: TRY301
        except BaseException:  # not being resumed, too: replies may be unread
            self.close()
            raise
        return replies

    def _sent(self, packed: bytes, count: int) -> int:
        self._send(packed)
        return count

    def log_in(self, endpoint: Endpoint, deadline: float) -> None:
        """Send the login, and judge each reply as it comes: after an error there may be no other.

        Raises:
            OnlineStoreError: Redis refuses it, or it is no Redis.
        """
        commands = endpoint.login
        with suppress(ConnectionError):  # a server that accepts no more clients may say so before it closes
            for packed, _ in batches(commands):
                self._send(packed)
        replies: list[Any] = []
        for at, command in enumerate(commands):
            self._read(replies, at + 1, deadline)
            endpoint.check_login(command, replies[at])

    def _read(self, replies: list[Any], count: int, deadline: float) -> None:
        """Read until there are that many replies."""
        while len(replies) < count:
            if (reply := self._gets()) is not False:  # RESP2 has no booleans
                replies.append(reply)
                continue
            self._shorten(deadline)
            received = self._receive(_BYTES_PER_READ)
            if not received:
                raise Closed
            self._feed(received)

    def _read_all(self, replies: list[Any], count: int, deadline: float) -> None:
        """Read until there are that many replies, or more."""
        gets, keep = self._gets, replies.append
        while True:
            while (reply := gets()) is not False:
                keep(reply)
            if len(replies) >= count:
                return
            self._shorten(deadline)
            received = self._receive(_BYTES_PER_READ)
            if not received:
                raise Closed
            self._feed(received)

    def _shorten(self, deadline: float) -> None:
        """Give the socket no more time than is left, or hardly more."""
        left = deadline - monotonic()
        if self._timeout - left > _LEAST_CHANGE:
            self._set_timeout(left)

    def _set_timeout(self, seconds: float) -> None:
        if seconds <= 0:
            raise TimeoutError
        self._socket.settimeout(seconds)
        self._timeout = seconds

    def close(self) -> None:
        """Close the socket; nothing is sent."""
        self._socket.close()

    def __del__(self) -> None:
        with suppress(AttributeError):  # an interrupt came before it had a socket
            self.close()


def connect(endpoint: Endpoint, deadline: float) -> Connection:
    """Connect and log in.

    Raises:
        OSError: There is no connection; a `TimeoutError` at the deadline.
        ProtocolError: It is no Redis.
        OnlineStoreError: Redis refuses the login.
    """
    connected = _reach(endpoint.address.options, deadline)
    try:
        connected.settimeout(_left(deadline))
        if (context := endpoint.tls_context()) is not None:
            connected = context.wrap_socket(connected, server_hostname=endpoint.address.options["host"])
        connection = Connection(connected)
        connection.log_in(endpoint, deadline)
    except BaseException:
        connected.close()
        raise
    return connection


def _reach(options: Mapping[str, Any], deadline: float) -> socket.socket:
    """Connect a socket. Of the addresses of a host, each has its share of the time that is left."""
    if "path" in options:
        return _open(socket.AF_UNIX, options["path"], deadline)
    found = socket.getaddrinfo(options["host"], options["port"], type=socket.SOCK_STREAM)
    for others, (family, _, _, _, address) in zip(reversed(range(len(found))), found, strict=True):
        share = (deadline - monotonic()) / (others + 1)
        try:
            opened = _open(family, address, monotonic() + share)
        except OSError:
            if not others:
                raise
        else:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, options.get("socket_keepalive", True))
            return opened
    raise OSError("the host has no address")


def _open(family: int, address: Any, deadline: float) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        while True:
            opened.settimeout(_left(deadline))
            try:
                opened.connect(address)
            except BlockingIOError:  # a unix socket on which too many wait
                sleep(_PAUSE)
            else:
                return opened
    except BaseException:
        opened.close()
        raise


def _left(deadline: float) -> float:
    """Return the seconds that are left.

    Raises:
        TimeoutError: There are none.
    """
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    return left
