"""What one event loop knows of a Redis server: its connection, and the requests that wait for one."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Iterable
from itertools import islice
from math import inf
from typing import Any

from hiredis import ProtocolError

from feature_sync.errors import OnlineStoreError
from feature_sync.serving.async_connection import AsyncConnection, Request
from feature_sync.serving.endpoint import Closed, Command, Endpoint, Packed, batches, is_timeout, pack

_BATCHES_AT_ONCE = 2


class AsyncLink:
    """What one event loop knows of the server: its connection, and the requests that wait for one."""

    def __init__(self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._endpoint = endpoint
        self._connection: AsyncConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._queued: deque[Request] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf

    def send(self, request: Request) -> None:
        """Send a request as soon as there is a connection."""
        if self._connection is not None:
            self._connection.send(request)
        else:
            self._queue(request)
        if request.deadline < self._alarm_at:
            self._set_alarm(request.deadline)

    def lose(self, connection: AsyncConnection, cause: BaseException) -> None:
        """Send what waited at a lost connection over a new one, unless it was sent twice already."""
        if self._connection is connection:
            self._connection = None
        connection.abort()
        waiting, connection.waiting = connection.waiting, deque()
        for request in waiting:
            if not request.may_retry or isinstance(cause, ProtocolError):
                request.end(self._endpoint.failed(cause, request.allowed))
            elif not request.answer.done():
                request.may_retry = False
                request.replies = []
                self._queue(request)

    def _queue(self, request: Request) -> None:
        self._queued.append(request)
        if self._connecting is None:
            self._connecting = self.loop.create_task(self._connect())

    async def _connect(self) -> None:
        """Connect, and send what is queued; a silent server is tried until no request has time left."""
        try:
            while self._queued and self._connection is None:
                latest = max(request.deadline for request in self._queued)
                try:
                    async with asyncio.timeout_at(latest):
                        self._connection = await self._log_in()
                except (OSError, ProtocolError) as cause:
                    self._end_queued(None if is_timeout(cause) else cause)
                except OnlineStoreError as refused:
                    self._end_queued(refused)
        finally:
            self._connecting = None
        while self._connection is not None and self._queued:
            if not (request := self._queued.popleft()).answer.done():
                self._connection.send(request)

    async def _log_in(self) -> AsyncConnection:
        """Open a connection and log in.

        Raises:
            OSError: Redis cannot be reached.
            OnlineStoreError: Redis refuses the login, or the server is not Redis.
        """
        connection = AsyncConnection(self.loop, self.lose)
        commands = self._endpoint.login
        requests = [Request(self.loop, pack(each), 1, self._endpoint.timeout, inf) for each in commands]
        for request in requests:
            request.may_retry = False
            connection.send(request)
        try:
            await self._open(connection)
            await asyncio.sleep(0)  # a server that accepts no more clients says so and closes: read it before writing
            connection.resume_writing()
            for command, request in zip(commands, requests, strict=True):
                self._endpoint.check_login(command, (await request.received())[0])
            if connection.is_lost:
                raise Closed  # noqa: TRY301
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _open(self, connection: AsyncConnection) -> None:
        options = self._endpoint.address.options
        if "path" in options:
            await self.loop.create_unix_connection(lambda: connection, options["path"])
            return
        context = self._endpoint.tls_context()
        transport, _ = await self.loop.create_connection(
            lambda: connection, options["host"], options["port"], ssl=context
        )
        keeps_alive = options.get("socket_keepalive", True)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, keeps_alive)

    def _end_queued(self, cause: BaseException | None) -> None:
        """Fail what is queued; with no cause, only forget what has ended."""
        queued, self._queued = self._queued, deque()
        if cause is None:
            self._queued.extend(request for request in queued if not request.answer.done())
            return
        for request in queued:
            if isinstance(cause, OnlineStoreError):
                failure = type(cause)(str(cause))  # its own for each task: raising adds to its traceback
                failure.__cause__ = cause.__cause__
                request.end(failure)
            else:
                request.end(self._endpoint.failed(cause, request.allowed))

    def _set_alarm(self, moment: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_at = None, moment
        if moment < inf:
            self._alarm = self.loop.call_at(moment, self._ring)

    def _ring(self) -> None:
        """End the requests whose time is over; a connection that kept one of them waiting is given up."""
        now = self.loop.time()
        connection = self._connection
        sent = () if connection is None else connection.waiting
        late = [each for each in (*sent, *self._queued) if each.deadline <= now and not each.answer.done()]
        was_sent = any(each in sent for each in late[:1])
        for request in late:
            request.end(self._endpoint.failed(TimeoutError(), request.allowed))
        if connection is not None and was_sent:
            self.lose(connection, TimeoutError())
        sent = () if self._connection is None else self._connection.waiting
        left = (each.deadline for each in (*sent, *self._queued) if not each.answer.done())
        self._set_alarm(min(left, default=inf))

    async def close(self) -> None:
        """Close the connection; requests that wait fail."""
        self._set_alarm(inf)
        connection, self._connection = self._connection, None
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        closed = OnlineStoreError("the client of Redis was closed before the reply came")
        self._end_queued(closed)
        if connection is not None:
            self._queued, connection.waiting = connection.waiting, deque()
            self._end_queued(closed)
            connection.abort()
            await connection.ended


class Sending:
    """Commands that are sent in batches, of which two wait for replies at once; the first two are sent at once."""

    def __init__(self, link: AsyncLink, commands: Iterable[Command | Packed], allowed: float, deadline: float) -> None:
        """Send the first batches.

        Args:
            link: Where to.
            commands: The words of each.
            allowed: How many seconds a request may take, for messages.
            deadline: By the clock of the event loop.
        """
        self._link = link
        self._batches = batches(commands)
        self._allowed, self._deadline = allowed, deadline
        self._waiting: deque[Request] = deque()
        self._send(_BATCHES_AT_ONCE)

    def _send(self, count: int) -> None:
        for packed, commands in islice(self._batches, count):
            self._waiting.append(Request(self._link.loop, packed, commands, self._allowed, self._deadline))
            self._link.send(self._waiting[-1])

    async def received(self) -> list[Any]:
        """Send the other batches, and wait for the replies.

        Raises:
            OnlineStoreError: There are none.
        """
        replies: list[Any] = []
        while self._waiting:
            replies += await self._waiting.popleft().received()
            self._send(1)
        return replies
