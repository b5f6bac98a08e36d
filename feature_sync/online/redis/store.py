"""The online store in one Redis server: connects, and lists what pushes wrote under a key prefix."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from feature_sync.errors import RequestError
from feature_sync.online.base import ComposeCard, OnlineStore, ServerState
from feature_sync.online.keys import card_key, services_key, store_key, views_key
from feature_sync.online.redis.address import read_address
from feature_sync.online.redis.cards import publish_card, withdraw_cards
from feature_sync.online.redis.commands import Commands
from feature_sync.online.redis.connections import CONNECTIONS
from feature_sync.online.redis.lease import server_time
from feature_sync.online.redis.reasons import translating
from feature_sync.online.redis.retries import RetryingRedis
from feature_sync.online.redis.sentinels import sentinel_options
from feature_sync.online.redis.view import RedisView, read_server_state, reading

_SECONDS_TO_ANSWER = 10.0
_MOST_SECONDS = 86_400
_KEYS_PER_SCAN = 1000
_MOST_SCANS = 100


class RedisStore(OnlineStore):
    """A connection to Redis; `feature_sync.online.keys` holds the layout of the keys."""

    def __init__(self, url: str, *, key_prefix: str, timeout: float = _SECONDS_TO_ANSWER) -> None:
        """Connect. The password in the URL never reaches a message.

        Args:
            url: `redis://`, `rediss://` or `unix://`; or the first two with `+sentinel`.
            key_prefix: The start of all Redis keys.
            timeout: How many seconds to wait for an answer.

        Raises:
            OnlineStoreError: The URL cannot be read, Redis cannot be reached, or it refuses the user.
        """
        self.key_prefix = key_prefix
        self._address = read_address(url)
        self._timeout = timeout
        kind: dict[str, Any] = (
            sentinel_options(self._address, timeout)
            if self._address.is_sentinel
            else {"connection_class": CONNECTIONS[self._address.scheme]}
        )
        pool = redis.ConnectionPool(
            **kind,
            protocol=2,  # the writer compares replies byte for byte
            driver_info=None,  # else CLIENT SETINFO, which fills the ACL log of a user without a right to it
            socket_connect_timeout=timeout,
            socket_timeout=timeout,
            retry=Retry(NoBackoff(), 0),  # `RetryingRedis` retries whole commands
            **self._address.options,
        )
        self._client = RetryingRedis.from_pool(pool)
        self._commands = cast("Commands", self._client)
        with self._translating():
            if not self._commands.ping():
                raise redis.InvalidResponse("it answers PING with something else")

    def close(self) -> None:
        """See `OnlineStore`."""
        self._client.close()

    def view(self, reference: str) -> RedisView:
        """See `OnlineStore`."""
        return RedisView(
            self._client,
            self._translating,
            key_prefix=self.key_prefix,
            reference=reference,
            awaits_replica=self._address.is_sentinel,
        )

    def services(self) -> set[str]:
        """See `OnlineStore`."""
        return self._members(services_key(self.key_prefix))

    def card(self, service: str) -> bytes | None:
        """See `OnlineStore`."""
        key = card_key(self.key_prefix, service)
        with self._reading(key):
            return self._commands.get(key)

    def publish(self, service: str, compose: ComposeCard) -> None:
        """See `OnlineStore`."""
        with self._reading(card_key(self.key_prefix, service)):
            publish_card(self._client, self.key_prefix, service, compose)

    def withdraw(self, services: Collection[str]) -> None:
        """See `OnlineStore`."""
        with self._translating():
            withdraw_cards(self._client, self.key_prefix, services)

    def store_id(self, *, create: bool = True) -> str:
        """See `OnlineStore`."""
        key = store_key(self.key_prefix)
        with self._reading(key):
            if create:  # NX, then GET: of two that create one at once, both return the same
                self._commands.set(key, secrets.token_hex(8), nx=True)
            return str((self._commands.get(key) or b"").decode(errors="backslashreplace"))

    def references(self) -> set[str]:
        """See `OnlineStore`."""
        return self._members(views_key(self.key_prefix))

    def _members(self, key: str) -> set[str]:
        with self._reading(key):
            members = self._commands.smembers(key)
        return {each.decode() for each in members if _is_text(each)}  # pushes write only UTF-8

    def prefixes(self) -> list[str]:
        """See `OnlineStore`."""
        ending = views_key("").encode()  # of the set that every push writes
        found: set[bytes] = set()
        cursor = 0
        for _ in range(_MOST_SCANS):
            with self._translating():
                cursor, keys = self._commands.scan(cursor, match=b"*" + ending, count=_KEYS_PER_SCAN, _type="set")
            found.update(key.removesuffix(ending) for key in keys)
            if not cursor:
                break
        return sorted(each.decode(errors="backslashreplace") for each in found)

    def server_state(self) -> ServerState:
        """See `OnlineStore`."""
        with self._translating():
            return read_server_state(self._commands)

    def now(self) -> datetime:
        """See `OnlineStore`."""
        with self._translating():
            return server_time(self._client)

    def _translating(self) -> AbstractContextManager[None]:
        """Turn the errors of Redis's client into ours."""
        return translating(self._address, self._timeout)

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        with self._translating(), reading(key):
            yield


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def read_timeout(asked: float | str | None) -> float:
    """Read how many seconds to wait for an answer of Redis; nothing means the default of 10.

    Raises:
        RequestError: It is not a number of seconds from 0, exclusive, to a day.
    """
    if asked is None or asked == "":
        return _SECONDS_TO_ANSWER
    try:
        seconds = float(asked)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds <= _MOST_SECONDS:
        raise RequestError(f"--redis-timeout: {asked!r} is not a number of seconds, such as 2.5")
    return seconds
