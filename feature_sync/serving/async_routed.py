"""Asks the nodes of a Redis Cluster, or the primary behind Sentinels, from asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from feature_sync.errors import OnlineStoreError
from feature_sync.online.topology import Node
from feature_sync.serving.async_connection import Request
from feature_sync.serving.async_link import AsyncLink, Sending
from feature_sync.serving.endpoint import Command, Endpoint, forget_after_fork, is_timeout, pack
from feature_sync.serving.routes import Outcome, Round, is_lost, route_of

_Links = dict[Node, AsyncLink]


class AsyncRoutedSocket:
    """A connection to each server for each event loop; forked processes get connections of their own.

    A pickled one keeps the URL and the options, and connects anew.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Take the URL; the first request connects."""
        self._endpoint = endpoint
        self._route = route_of(endpoint)
        self.revision_period = self._route.revision_period
        self._links: dict[asyncio.AbstractEventLoop, _Links] = {}
        forget_after_fork(self)

    async def run(
        self,
        commands: Sequence[Command],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        left: float | None = None,
    ) -> list[Any]:
        """Send commands, each to the server that has its keys; see `RoutedSockets.run`.

        Args:
            commands: The words of each.
            timeout: See `AsyncRedisSocket.run`.
            left: See `AsyncRedisSocket.run`.

        Raises:
            OnlineStoreError: See `AsyncRedisSocket.run`; or no server has the keys.
        """
        loop = asyncio.get_running_loop()
        links = self._links.get(loop)
        if links is None:
            links = self._links_of(loop)
        allowed = self._endpoint.timeout if timeout is None else timeout
        deadline = loop.time() + (allowed if left is None else left)
        if len(commands) == 1 and (node := self._route.direct(commands)) is not None:
            request = Request(loop, pack(commands[0]), 1, allowed, deadline)
            self._link(loop, links, node).send(request)
            try:
                replies = await request.received()
            except OnlineStoreError as failed:
                if not is_lost(failed):
                    raise
                self._route.doubt(node)
                if failed.__cause__ is not None and is_timeout(failed.__cause__):
                    raise
            else:
                if self._route.is_answer(replies[0]):
                    return replies
        steps = self._route.steps(commands, deadline, loop.time)
        try:
            asked = next(steps)
            while True:
                asked = steps.send(await self._carry(loop, links, asked, allowed, deadline))
        except StopIteration as done:
            answered: list[Any] = done.value
            return answered

    async def _carry(
        self, loop: asyncio.AbstractEventLoop, links: _Links, asked: Round, allowed: float, deadline: float
    ) -> dict[Node, Outcome]:
        """Ask servers at once."""
        if asked.pause:
            await asyncio.sleep(asked.pause)
        now = loop.time()
        deadline = now + (deadline - now) * asked.share
        sendings = {
            node: Sending(self._link(loop, links, node), commands, allowed, deadline)
            for node, commands in asked.asked.items()
        }
        outcomes: dict[Node, Outcome] = {}
        for node, sending in sendings.items():
            try:
                outcomes[node] = replies = await sending.received()
            except OnlineStoreError as failed:
                outcomes[node] = failed
            else:
                if asked.keep is not None:
                    asked.keep(node, replies)
        return outcomes

    def _links_of(self, loop: asyncio.AbstractEventLoop) -> _Links:
        for ended in [each for each in list(self._links) if each.is_closed()]:  # threads share it
            self._links.pop(ended, None)
        return self._links.setdefault(loop, {})

    def _link(self, loop: asyncio.AbstractEventLoop, links: _Links, node: Node) -> AsyncLink:
        link = links.get(node)
        if link is None:
            link = links[node] = AsyncLink(self._route.endpoint(node), loop)
        return link

    async def close(self) -> None:
        """Close the connections of this event loop; see `AsyncRedisSocket.close`."""
        for link in self._links.pop(asyncio.get_running_loop(), {}).values():
            await link.close()

    def forget(self) -> None:
        """See `Forgetful`."""
        self._links = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(_unpickled, *self._endpoint.arguments), ()

    def __repr__(self) -> str:
        return f"AsyncRoutedSocket({self._endpoint!r})"


def _unpickled(url: str, timeout: float, client_name: str) -> AsyncRoutedSocket:
    return AsyncRoutedSocket(Endpoint(url, timeout=timeout, client_name=client_name))
