"""The client of a feature service: reads feature vectors from Redis, and needs no project, dbt or warehouse."""

from __future__ import annotations

import os
from datetime import timedelta
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from feature_sync.errors import OnlineStoreError, RequestError
from feature_sync.serving.card import Card, read_card
from feature_sync.serving.card_sources import Answer, CardSource, FixedCard, RedisCard, Request
from feature_sync.serving.pins import PinGuard
from feature_sync.serving.requests import ServiceRequests
from feature_sync.serving.sockets import Sockets, open_sockets
from feature_sync.serving.vectors import FeatureVector, FeatureVectors

if TYPE_CHECKING:
    from feature_sync.service_schema.pin import PinSource
    from feature_sync.serving.served_log import ServedLog

TIMEOUT = 0.25
_ON_ERROR = ("raise", "null")
_MOST_SECONDS = 86_400
LEAST_TIMEOUT = 0.001
"""Seconds: what a later round trip of a request has at least."""


class FeatureClient:
    """Reads the feature vectors of one service from Redis: one round trip a request, whatever the number of views.

    Threads may share a client; a forked or unpickled copy makes connections of its own. The first request connects and
    reads the service's card; `warm_up` does so in advance. Changes of the card by a push (TTL, defaults, features) hold
    from the next request on.

    >>> client = FeatureClient("redis://...", "departure_delay_model", prefix="flights")      # doctest: +SKIP
    >>> client.get(carrier="B6", tailnum="N193JB", origin="JFK")["wind_speed"]                # doctest: +SKIP
    12.66
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
        """Prepare a client; connects with the first request.

        Args:
            url: `redis://`, `rediss://` or `unix://`; `redis+cluster://` or `rediss+cluster://` for a Redis Cluster,
                and `redis+sentinel://` or `rediss+sentinel://` for a primary behind Sentinels.
            service: The name of the feature service.
            prefix: The key prefix of the project in Redis: its name, unless pushes name another.
            card: The service's card as `feature-sync card` writes it, instead of `service` and `prefix`: the client
                then goes by this file, and not by changes that pushes make to the card.
            pin: What the model was trained on: a `Pin`, its JSON, a file of it, or a training set's sidecar.
            on_drift: What to do if the service no longer has the pin's shape: `"raise"` or `"warn"`. Another logic
                warns in both cases.
            max_age: The oldest age at which a row answers, besides its TTL; older ones count as expired.
            timeout: The seconds that a request may take as a whole, connecting and retrying included.
            log: Logs a sample of the vectors that are served; several clients may share it.

        Raises:
            OnlineStoreError: The URL or the card cannot be read.
            RequestError: An argument makes no sense, or the pin cannot be read.
        """
        self._timeout = checked_timeout(timeout)
        self._sockets = open_sockets(url, timeout=self._timeout)
        self._requests = ServiceRequests(
            source_of(service, prefix, card), max_age=max_age, revision_period=self._sockets.revision_period
        )
        self._guard = PinGuard(pin, on_drift)
        self._log = log

    def __repr__(self) -> str:
        return f"FeatureClient({self._sockets!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        self._sockets.close()

    def warm_up(self) -> Card:
        """Connect, read the card and check the pin; returns the card.

        Raises:
            OnlineStoreError: Redis failed, or has no card of the service.
            RequestError: The service no longer has the shape of the pin.
        """
        card = self._answer(self._requests.card())
        self._guard.check(card)
        return card

    def get(
        self,
        entity: Any = None,
        /,
        *,
        pin: PinSource | None = None,
        on_error: str = "raise",
        **keys: Any,
    ) -> FeatureVector:
        """Read the vector of one entity.

        Args:
            entity: The keys as a mapping; or the bare value of the only key. Instead of `keys`.
            pin: Check this pin, instead of that of the client.
            on_error: `"null"` answers null for what cannot be read, with the status `gone` or `invalid`.
            keys: The keys by name. None, NaN, NA and NaT are null, which no row has.

        Raises:
            OnlineStoreError: Redis failed, has no card, or holds a row that cannot be read or lacks a feature.
            RequestError: A key is missing, unknown or of the wrong type, or the service has not the shape of the pin.
        """
        lenient = on_error != "raise" and is_lenient(on_error)
        vector, deadline = None, monotonic() + self._timeout
        if asked := self._requests.ask(entity, keys, lenient=lenient):  # one round trip, if no push changed the card
            vector = self._requests.told(asked, self._sockets.run(asked[2:])[0])
        if vector is None:
            vector = self._answer(self._requests.get(entity, keys, lenient=lenient), deadline)
        self._guard.check(vector.card, pin)
        if self._log is not None:
            self._log.add(vector)
        return vector

    def get_many(self, entities: Any, *, pin: PinSource | None = None, on_error: str = "raise") -> FeatureVectors:
        """Read the vectors of many entities, in their order.

        Args:
            entities: Mappings from key to value; a pandas frame; whatever has `__arrow_c_stream__` (polars, Arrow,
                DuckDB); or bare values for a service with one key.
            pin: Check this pin, instead of that of the client.
            on_error: `"null"` answers null for what cannot be read, with the status `gone` or `invalid`.

        Raises:
            OnlineStoreError: Redis failed, has no card, or holds a row that cannot be read or lacks a feature.
            RequestError: A key is missing, unknown or of the wrong type, or the service has not the shape of the pin.
        """
        vectors = self._answer(self._requests.get_many(entities, lenient=is_lenient(on_error)))
        self._guard.check(vectors.card, pin)
        if self._log is not None:
            self._log.add_many(vectors)
        return vectors

    def _answer(self, request: Request[Answer], deadline: float | None = None) -> Answer:
        return answer(request, self._sockets, monotonic() + self._timeout if deadline is None else deadline)


def answer(request: Request[Answer], sockets: Sockets, deadline: float) -> Answer:
    """Carry a request's commands to Redis, and its replies back.

    Args:
        request: The request.
        sockets: Connections to Redis.
        deadline: When it ends as a whole, by `time.monotonic`.
    """
    try:
        commands = next(request)
        while True:
            left = max(deadline - monotonic(), LEAST_TIMEOUT)
            try:
                replies = sockets.run(commands, left=left)
            except OnlineStoreError as failed:
                commands = request.throw(failed)
            else:
                commands = request.send(replies)
    except StopIteration as done:
        found: Answer = done.value
        return found


def source_of(service: str | None, prefix: str | None, card: str | os.PathLike[str] | Card | None) -> CardSource:
    """Return where a client finds its card.

    Raises:
        OnlineStoreError: The card cannot be read.
        RequestError: Neither a card nor a service with its prefix is named, or both are.
    """
    if card is not None:
        if service is not None or prefix is not None:
            raise RequestError("name a service with its prefix, or a card, and not both")
        return FixedCard(card if isinstance(card, Card) else _card_of(card))
    if not service or not prefix:
        raise RequestError(
            "name the service and the key prefix under which it was pushed (the name of its dbt project, unless pushes "
            "name another), or card=..."
        )
    return RedisCard(prefix, service)


def _card_of(file: str | os.PathLike[str]) -> Card:
    from pathlib import Path

    path = Path(file)
    try:
        return read_card(path.read_bytes(), str(path))
    except OSError as unreadable:
        raise OnlineStoreError(f"{path} cannot be read: {unreadable.strerror or unreadable}") from unreadable


def is_lenient(on_error: str) -> bool:
    """Read `on_error`.

    Raises:
        RequestError: It is neither `"raise"` nor `"null"`.
    """
    if on_error not in _ON_ERROR:
        raise RequestError(f'on_error is "raise" or "null", and not {on_error!r}')
    return on_error == "null"


def checked_timeout(timeout: Any) -> float:
    """Read how many seconds a request may take.

    Raises:
        RequestError: It is not a positive number.
    """
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not is_number or not 0 < timeout <= _MOST_SECONDS:
        raise RequestError(f"timeout is a number of seconds, such as 0.25, and not {timeout!r}")
    return float(timeout)
