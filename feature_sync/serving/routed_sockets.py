"""Asks the nodes of a Redis Cluster, or the primary behind Sentinels, over sockets of our own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic, sleep
from typing import Any

from hiredis import ProtocolError

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.wording import Advice
from feature_sync.online.topology import Node
from feature_sync.serving.connection import Exchange
from feature_sync.serving.endpoint import Command, Endpoint, forget_after_fork, is_timeout
from feature_sync.serving.pool import Pool
from feature_sync.serving.routes import Outcome, Round, route_of


class RoutedSockets:
    """A pool of connections to each server; threads may share it, forked processes get connections of their own.

    A pickled one keeps the URL and the options, and connects anew.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Take the URL; the first request connects."""
        self._endpoint = endpoint
        self._route = route_of(endpoint)
        self.revision_period = self._route.revision_period
        self._pools: dict[Node, Pool] = {}
        forget_after_fork(self)

    def run(self, commands: Sequence[Command], *, timeout: float | None = None, left: float | None = None) -> list[Any]:
        """Send commands, each to the server that has its keys, and return the reply to each.

        All servers are asked before the first answer is awaited. What a server that is lost, or no longer has the keys,
        does not answer is asked again, as long as there is time; so perhaps twice.

        Args:
            commands: The words of each.
            timeout: See `RedisSockets.run`.
            left: See `RedisSockets.run`.

        Raises:
            OnlineStoreError: See `RedisSockets.run`; or no server has the keys.
        """
        allowed = self._endpoint.timeout if timeout is None else timeout
        seconds = allowed if left is None else left
        deadline = monotonic() + seconds
        if (node := self._route.direct(commands)) is not None:
            try:
                replies = self._pool(node).ask(commands, seconds, deadline)
            except (OSError, ProtocolError) as lost:
                self._route.doubt(node)
                if is_timeout(lost):
                    raise self._route.endpoint(node).failed(lost, allowed) from lost
            else:
                if all(map(self._route.is_answer, replies)):
                    return replies
        steps = self._route.steps(commands, deadline, monotonic)
        try:
            asked = next(steps)
            while True:
                asked = steps.send(self._carry(asked, allowed, deadline))
        except StopIteration as done:
            answered: list[Any] = done.value
            return answered

    def _carry(self, asked: Round, allowed: float, deadline: float) -> dict[Node, Outcome]:
        """Ask servers at once."""
        if asked.pause:
            sleep(asked.pause)
        now = monotonic()
        deadline = now + (deadline - now) * asked.share
        outcomes: dict[Node, Outcome] = {}
        exchanges: list[tuple[Node, Exchange]] = []
        for node, commands in asked.asked.items():
            exchange = self._pool(node).asking(commands, deadline)
            if (failed := self._resume(node, exchange, allowed)) is None:
                exchanges.append((node, exchange))
            else:
                outcomes[node] = failed
        for node, exchange in exchanges:
            while (outcome := self._resume(node, exchange, allowed)) is None:
                pass  # the connection was lost, and another one has been asked
            outcomes[node] = outcome
            if asked.keep is not None and not isinstance(outcome, OnlineStoreError):
                asked.keep(node, outcome)
        return outcomes

    def _resume(self, node: Node, exchange: Exchange, allowed: float) -> Outcome | None:
        """Go on with an exchange; None if it waits for its replies."""
        try:
            next(exchange)
        except StopIteration as done:
            replies: list[Any] = done.value
            return replies
        except OnlineStoreError as refused:
            return refused
        except (OSError, ProtocolError) as cause:
            return self._route.endpoint(node).failed(cause, allowed)
        return None

    def _pool(self, node: Node) -> Pool:
        pool = self._pools.get(node)
        return pool or self._pools.setdefault(node, Pool(self._route.endpoint(node)))  # threads share it

    def close(self) -> None:
        """See `RedisSockets.close`."""
        self.forget()

    def forget(self) -> None:
        """See `Forgetful`."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.forget()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(_unpickled, *self._endpoint.arguments, self._endpoint.advice), ()

    def __repr__(self) -> str:
        return f"RoutedSockets({self._endpoint!r})"


def _unpickled(url: str, timeout: float, client_name: str, advice: Advice) -> RoutedSockets:
    return RoutedSockets(Endpoint(url, timeout=timeout, client_name=client_name, advice=advice))
