"""Asks Redis from asyncio: all tasks of an event loop share one connection."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from functools import partial
from math import inf
from typing import Any

from hiredis import ProtocolError, ReplyError

from feature_sync.errors import OnlineStoreError
from feature_sync.serving.async_connection import AsyncConnection, Request
from feature_sync.serving.endpoint import Closed, Command, Endpoint, batches, forget_after_fork, is_timeout, pack


class AsyncRedisSocket:
    """A connection to one Redis server for each event loop; forked processes get connections of their own.

    A pickled one keeps the URL and the options, and connects anew.
    """

    def __init__(self, url: str, *, timeout: float, client_name: str = "feature-sync") -> None:
        """Read the URL; the first request connects.

        Args:
            url: `redis://`, `rediss://` or `unix://`.
            timeout: How many seconds a whole request may take.
            client_name: The name of its connections in `CLIENT LIST`.

        Raises:
            OnlineStoreError: The URL cannot be read.
        """
        self._endpoint = Endpoint(url, timeout=timeout, client_name=client_name)
        self._links: dict[asyncio.AbstractEventLoop, _Link] = {}
        forget_after_fork(self)

    async def run(
        self,
        commands: Sequence[Command],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        left: float | None = None,
    ) -> list[Any]:
        """Send commands and return the reply to each; if the connection is lost, once more, so perhaps twice.

        Args:
            commands: The words of each.
            timeout: How many seconds all of it may take: connecting, the login and a retry, too. A request that
                takes longer costs the others of its event loop their connection: they are sent once more.
            left: How many of these seconds are left, if others were used before; None for all.

        Raises:
            OnlineStoreError: Redis cannot be reached, does not answer in time, or refuses the login or a command.
        """
        loop = asyncio.get_running_loop()
        link = self._links.get(loop) or self._link(loop)
        allowed = self._endpoint.timeout if timeout is None else timeout
        deadline = loop.time() + (allowed if left is None else left)
        if len(commands) == 1:
            request = Request(loop, pack(commands[0]), 1, allowed, deadline)
            link.send(request)
            replies = await request.received()
        else:
            replies = await _run_batches(link, commands, allowed, deadline)
        for at, reply in enumerate(replies):
            if isinstance(reply, ReplyError):
                raise self._endpoint.refused(reply, commands[at])
        return replies

    def _link(self, loop: asyncio.AbstractEventLoop) -> _Link:
        for ended in [each for each in list(self._links) if each.is_closed()]:  # threads share it
            self._links.pop(ended, None)
        return self._links.setdefault(loop, _Link(self._endpoint, loop))

    async def close(self) -> None:
        """Close the connection of this event loop; requests that wait for a reply fail. A later request connects."""
        if (link := self._links.pop(asyncio.get_running_loop(), None)) is not None:
            await link.close()

    def forget(self) -> None:
        """See `Forgetful`."""
        self._links = {}

    def __reduce__(self) -> tuple[Any, ...]:
        url, timeout, client_name = self._endpoint.arguments
        return partial(AsyncRedisSocket, url, timeout=timeout, client_name=client_name), ()

    def __repr__(self) -> str:
        return f"AsyncRedisSocket({self._endpoint!r})"


async def _run_batches(link: _Link, commands: Sequence[Command], allowed: float, deadline: float) -> list[Any]:
    """Send commands in batches, of which two wait for replies at once."""
    replies: list[Any] = []
    waiting: deque[Request] = deque()

    async def collect() -> None:
        replies.extend(await waiting.popleft().received())

    for packed, count in batches(commands):
        if len(waiting) > 1:
            await collect()
        waiting.append(Request(link.loop, packed, count, allowed, deadline))
        link.send(waiting[-1])
    while waiting:
        await collect()
    return replies


class _Link:
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
                failure = OnlineStoreError(str(cause))  # its own for each task: raising adds to its traceback
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
