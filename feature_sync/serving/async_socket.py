"""Asks Redis from asyncio: all tasks of an event loop share one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from hiredis import ReplyError

from feature_sync.serving.async_connection import Request
from feature_sync.serving.async_link import AsyncLink, Sending
from feature_sync.serving.endpoint import Command, Endpoint, forget_after_fork, pack


class AsyncSocket(Protocol):
    """Connections of asyncio to one Redis server, to the nodes of a cluster, or to the server that Sentinels name."""

    revision_period: float
    """See `Sockets`."""

    async def run(
        self,
        commands: Sequence[Command],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        left: float | None = None,
    ) -> list[Any]:
        """Send commands and return the reply to each; see `AsyncRedisSocket.run`."""

    async def close(self) -> None:
        """Close the connections of this event loop; requests that wait for a reply fail. A later request connects."""


def open_async_socket(url: str, *, timeout: float, client_name: str = "feature-sync") -> AsyncSocket:
    """Return the connections that a URL asks for; the first request connects.

    Args:
        url: See `open_sockets`.
        timeout: How many seconds a whole request may take.
        client_name: The name of its connections in `CLIENT LIST`.

    Raises:
        OnlineStoreError: The URL cannot be read.
    """
    endpoint = Endpoint(url, timeout=timeout, client_name=client_name)
    if endpoint.address.nodes:
        from feature_sync.serving.async_routed import AsyncRoutedSocket

        return AsyncRoutedSocket(endpoint)
    return AsyncRedisSocket(url, timeout=timeout, client_name=client_name)


class AsyncRedisSocket:
    """A connection to one Redis server for each event loop; forked processes get connections of their own.

    A pickled one keeps the URL and the options, and connects anew.
    """

    revision_period = 0.0

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
        self._links: dict[asyncio.AbstractEventLoop, AsyncLink] = {}
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
            replies = await Sending(link, commands, allowed, deadline).received()
        for at, reply in enumerate(replies):
            if isinstance(reply, ReplyError):
                raise self._endpoint.refused(reply, commands[at])
        return replies

    def _link(self, loop: asyncio.AbstractEventLoop) -> AsyncLink:
        for ended in [each for each in list(self._links) if each.is_closed()]:  # threads share it
            self._links.pop(ended, None)
        return self._links.setdefault(loop, AsyncLink(self._endpoint, loop))

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
