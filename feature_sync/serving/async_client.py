"""The client of a feature service for asyncio: all tasks share one connection, on which their requests follow closely.

It is `FeatureClient` with `await`: the same arguments, answers and errors.
"""

from __future__ import annotations

import os
from datetime import timedelta
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from feature_sync.errors import OnlineStoreError
from feature_sync.serving.async_socket import open_async_socket
from feature_sync.serving.card import Card
from feature_sync.serving.card_sources import Answer, Request
from feature_sync.serving.client import LEAST_TIMEOUT, TIMEOUT, checked_timeout, is_lenient, source_of
from feature_sync.serving.pins import PinGuard
from feature_sync.serving.requests import ServiceRequests
from feature_sync.serving.vectors import FeatureVector, FeatureVectors

if TYPE_CHECKING:
    from feature_sync.service_schema.pin import PinSource
    from feature_sync.serving.served_log import ServedLog


class AsyncFeatureClient:
    """Reads the feature vectors of one service from Redis; see `FeatureClient`.

    A task that is cancelled leaves the connection in step: its replies are read and dropped.

    >>> async with AsyncFeatureClient("redis://...", "churn_model", prefix="shop") as client:  # doctest: +SKIP
    ...     vector = await client.get(customer_id=7)
    """

    def __init__(
        self,
        url: str,
        service: str | None = None,
        *,
        prefix: str | None = None,
        card: str | os.PathLike[str] | Card | None = None,
        pin: PinSource | None = None,
        on_drift: str = "raise",
        max_age: timedelta | None = None,
        timeout: float = TIMEOUT,
        log: ServedLog | None = None,
    ) -> None:
        """Prepare a client; see `FeatureClient` for the arguments and errors.

        Args:
            url: See `FeatureClient`.
            service: See `FeatureClient`.
            prefix: See `FeatureClient`.
            card: See `FeatureClient`.
            pin: See `FeatureClient`.
            on_drift: See `FeatureClient`.
            max_age: See `FeatureClient`.
            timeout: See `FeatureClient`.
            log: See `FeatureClient`.
        """
        self._timeout = checked_timeout(timeout)
        self._socket = open_async_socket(url, timeout=self._timeout)
        self._requests = ServiceRequests(
            source_of(service, prefix, card), max_age=max_age, revision_period=self._socket.revision_period
        )
        self._guard = PinGuard(pin, on_drift)
        self._log = log

    def __repr__(self) -> str:
        return f"AsyncFeatureClient({self._socket!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; the next request opens another one."""
        await self._socket.close()

    async def warm_up(self) -> Card:
        """Connect, read the card and check the pin; returns the card. See `FeatureClient.warm_up`."""
        card = await self._answer(self._requests.card())
        self._guard.check(card)
        return card

    async def get(
        self, entity: Any = None, /, *, pin: PinSource | None = None, on_error: str = "raise", **keys: Any
    ) -> FeatureVector:
        """Read the vector of one entity; see `FeatureClient.get`.

        Args:
            entity: See `FeatureClient.get`.
            pin: See `FeatureClient.get`.
            on_error: See `FeatureClient.get`.
            keys: See `FeatureClient.get`.
        """
        lenient = on_error != "raise" and is_lenient(on_error)
        vector, deadline = None, monotonic() + self._timeout
        if asked := self._requests.ask(entity, keys, lenient=lenient):
            vector = self._requests.told(asked, (await self._socket.run(asked[2:]))[0])
        if vector is None:
            vector = await self._answer(self._requests.get(entity, keys, lenient=lenient), deadline)
        self._guard.check(vector.card, pin)
        if self._log is not None:
            self._log.add(vector)
        return vector

    async def get_many(self, entities: Any, *, pin: PinSource | None = None, on_error: str = "raise") -> FeatureVectors:
        """Read the vectors of many entities, in their order; see `FeatureClient.get_many`.

        Args:
            entities: See `FeatureClient.get_many`.
            pin: See `FeatureClient.get_many`.
            on_error: See `FeatureClient.get_many`.
        """
        vectors = await self._answer(self._requests.get_many(entities, lenient=is_lenient(on_error)))
        self._guard.check(vectors.card, pin)
        if self._log is not None:
            self._log.add_many(vectors)
        return vectors

    async def _answer(self, request: Request[Answer], deadline: float | None = None) -> Answer:
        """Carry a request's commands to Redis, and its replies back."""
        deadline = monotonic() + self._timeout if deadline is None else deadline
        try:
            commands = next(request)
            while True:
                try:
                    replies = await self._socket.run(commands, left=max(deadline - monotonic(), LEAST_TIMEOUT))
                except OnlineStoreError as failed:
                    commands = request.throw(failed)
                else:
                    commands = request.send(replies)
        except StopIteration as done:
            found: Answer = done.value
            return found
