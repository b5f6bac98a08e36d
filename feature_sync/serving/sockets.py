"""Asks Redis over sockets of our own: several times faster than redis-py, and with nothing of it to import."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic, sleep
from typing import Any

from hiredis import ProtocolError, Reader, ReplyError

from feature_sync.online.redis.wording import SERVING, Advice
from feature_sync.serving.endpoint import (
    BATCH_BYTES,
    Closed,
    Command,
    Endpoint,
    batches,
    forget_after_fork,
    is_timeout,
    pack,
)

_BYTES_PER_READ = 131_072
_LEAST_CHANGE = 0.001
"""Seconds. The timeout of a socket is not set anew for less; a request may take as much longer."""
_PAUSE = 0.002
"""Seconds between two tries at a unix socket on which too many connections wait to be accepted."""


class RedisSockets:
    """A pool of connections to one Redis server; threads may share it, forked processes get connections of their own.

    A pickled pool keeps the URL and the options, and connects anew.
    """

    def __init__(
        self, url: str, *, timeout: float, client_name: str = "feature-sync", advice: Advice = SERVING
    ) -> None:
        """Read the URL; the first request connects.

        Args:
            url: `redis://`, `rediss://` or `unix://`.
            timeout: How many seconds a whole request may take.
            client_name: The name of its connections in `CLIENT LIST`.
            advice: What messages advise.

        Raises:
            OnlineStoreError: The URL cannot be read.
        """
        self._endpoint = Endpoint(url, timeout=timeout, client_name=client_name, advice=advice)
        self._timeout = timeout
        self._idle: deque[_Connection] = deque()
        forget_after_fork(self)

    def run(self, commands: Sequence[Command], *, timeout: float | None = None, left: float | None = None) -> list[Any]:
        """Send commands and return the reply to each; if the connection is lost, once more, so perhaps twice.

        Args:
            commands: The words of each.
            timeout: How many seconds all of it may take: connecting, the login and a retry, too. Looking up a
                host name takes as long as the machine's resolver does.
            left: How many of these seconds are left, if others were used before; None for all.

        Raises:
            OnlineStoreError: Redis cannot be reached, does not answer in time, or refuses the login or a command.
        """
        allowed = self._timeout if timeout is None else timeout
        try:
            seconds = allowed if left is None else left
            replies = self._ask(commands, seconds, monotonic() + seconds)
        except (OSError, ProtocolError) as cause:
            raise self._endpoint.failed(cause, allowed) from cause
        for at, reply in enumerate(replies):
            if isinstance(reply, ReplyError):
                raise self._endpoint.refused(reply, commands[at])
        return replies

    def _ask(self, commands: Sequence[Command], allowed: float, deadline: float) -> list[Any]:
        """See `_Connection.exchange`; a lost connection is replaced once."""
        idle = self._idle  # after a fork, or `close`, the pool has another: what returns to this one is closed with it
        try:
            connection = idle.pop()
        except IndexError:
            connection = None
        if connection is None:
            connection = _connect(self._endpoint, deadline)
        try:
            replies = connection.exchange(commands, allowed, deadline)
        except OSError as lost:
            if is_timeout(lost):
                raise
            idle.clear()  # the others are as old, and as likely to be lost
            connection = _connect(self._endpoint, deadline)
            replies = connection.exchange(commands, deadline - monotonic(), deadline)
        idle.append(connection)
        return replies

    def close(self) -> None:
        """Close the connections that are idle, and those in use when they no longer are; a later request connects."""
        self.forget()

    def forget(self) -> None:
        """See `Forgetful`."""
        self._idle = deque()

    def __reduce__(self) -> tuple[Any, ...]:
        url, timeout, client_name = self._endpoint.arguments
        advice = self._endpoint.advice
        return partial(RedisSockets, url, timeout=timeout, client_name=client_name, advice=advice), ()

    def __repr__(self) -> str:
        return f"RedisSockets({self._endpoint!r})"


class _Connection:
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


def _connect(endpoint: Endpoint, deadline: float) -> _Connection:
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
        connection = _Connection(connected)
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
