"""Asks Redis over sockets of our own: several times faster than redis-py, and with nothing of it to import."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Any, Protocol

from hiredis import ProtocolError, ReplyError

from feature_sync.online.redis.wording import SERVING, Advice
from feature_sync.serving.endpoint import Command, Endpoint, forget_after_fork
from feature_sync.serving.pool import Pool


class Sockets(Protocol):
    """Connections to one Redis server, to the nodes of a cluster, or to the server that Sentinels name."""

    revision_period: float
    """How many seconds a revision of the store that was read stays good; 0 if each request reads it."""

    def run(self, commands: Sequence[Command], *, timeout: float | None = None, left: float | None = None) -> list[Any]:
        """Send commands and return the reply to each; see `RedisSockets.run`."""

    def close(self) -> None:
        """Close the connections that are idle, and those in use when they no longer are; a later request connects."""


def open_sockets(url: str, *, timeout: float, client_name: str = "feature-sync", advice: Advice = SERVING) -> Sockets:
    """Return the connections that a URL asks for; the first request connects.

    Args:
        url: `redis://`, `rediss://` or `unix://`; with `+cluster` or `+sentinel` after the first two.
        timeout: How many seconds a whole request may take.
        client_name: The name of its connections in `CLIENT LIST`.
        advice: What messages advise.

    Raises:
        OnlineStoreError: The URL cannot be read.
    """
    endpoint = Endpoint(url, timeout=timeout, client_name=client_name, advice=advice)
    if endpoint.address.nodes:
        from feature_sync.serving.routed_sockets import RoutedSockets

        return RoutedSockets(endpoint)
    return RedisSockets(url, timeout=timeout, client_name=client_name, advice=advice)


class RedisSockets:
    """A pool of connections to one Redis server; threads may share it, forked processes get connections of their own.

    A pickled pool keeps the URL and the options, and connects anew.
    """

    revision_period = 0.0

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
        self._pool = Pool(self._endpoint)
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
            replies = self._pool.ask(commands, seconds, monotonic() + seconds)
        except (OSError, ProtocolError) as cause:
            raise self._endpoint.failed(cause, allowed) from cause
        for at, reply in enumerate(replies):
            if isinstance(reply, ReplyError):
                raise self._endpoint.refused(reply, commands[at])
        return replies

    def close(self) -> None:
        """Close the connections that are idle, and those in use when they no longer are; a later request connects."""
        self.forget()

    def forget(self) -> None:
        """See `Forgetful`."""
        self._pool.forget()

    def __reduce__(self) -> tuple[Any, ...]:
        url, timeout, client_name = self._endpoint.arguments
        advice = self._endpoint.advice
        return partial(RedisSockets, url, timeout=timeout, client_name=client_name, advice=advice), ()

    def __repr__(self) -> str:
        return f"RedisSockets({self._endpoint!r})"
