"""The entries of a stream of Redis, as XADD made them: read in order, from any id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from feature_sync.errors import OnlineStoreError, RequestError
from feature_sync.online.redis.address import read_address
from feature_sync.online.redis.commands import Commands
from feature_sync.online.redis.connections import CONNECTIONS
from feature_sync.online.redis.reasons import translating
from feature_sync.online.redis.retries import RetryingRedis

EntryId = tuple[int, int]
"""Milliseconds since 1970, and a number among the entries of that millisecond."""
Fields = dict[bytes, bytes]


class Bounds(NamedTuple):
    """What a stream holds.

    Attributes:
        first: The id of its oldest entry; None if it is empty.
        last: The id that its newest entry has, or had.
        removed: True if entries have been trimmed or deleted.
        length: How many entries it holds.
    """

    first: EntryId | None
    last: EntryId
    removed: bool
    length: int


class StreamEntries:
    """One stream of Redis.

    Raises:
        OnlineStoreError: From every method: Redis cannot be reached, or refuses a command.
    """

    def __init__(self, url: str, key: str, *, timeout: float) -> None:
        """Prepare; connects to nothing.

        Args:
            url: The URL of Redis.
            key: The key of the stream.
            timeout: How many seconds to wait for an answer, beyond what `read` may wait for entries.

        Raises:
            RequestError: The URL is that of a cluster, or of Sentinels.
        """
        self._address, self._timeout, self._key = read_address(url), timeout, key
        if self._address.scheme not in CONNECTIONS:
            raise RequestError(
                f"the stream {key} is read from one server, and the Redis of the features is a cluster or behind "
                "Sentinels; name the stream's own: --from redis-stream://HOST:PORT"
            )
        self.where = f"{key} of {self._address.where}"
        self._client = RetryingRedis.from_pool(
            redis.ConnectionPool(
                connection_class=CONNECTIONS[self._address.scheme],
                protocol=2,
                driver_info=None,
                socket_connect_timeout=timeout,
                socket_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
                **self._address.options,
            )
        )
        self._commands = cast("Commands", self._client)

    def read(self, after: EntryId, *, most: int, seconds: float) -> list[tuple[EntryId, Fields]]:
        """Return the entries after an id, up to `most`; wait for the first of them, up to so many seconds."""
        block = max(1, round(seconds * 1_000))  # 0 would wait for ever
        with translating(self._address, self._timeout):
            run: Callable[..., Any] = self._client.execute_command
            answer = run("XREAD", "COUNT", most, "BLOCK", block, "STREAMS", self._key, f"{after[0]}-{after[1]}")
        entries = answer[self._key.encode()] if isinstance(answer, dict) and answer else answer and answer[0][1]
        return [(_entry_id(name), fields) for name, fields in _pairs(entries or ())]

    def bounds(self) -> Bounds | None:
        """Return what the stream holds; None if there is no such key."""
        try:
            with translating(self._address, self._timeout):
                found: Any = self._client.xinfo_stream(self._key)
        except OnlineStoreError as refused:
            if isinstance(refused.__cause__, redis.ResponseError) and "no such key" in str(refused.__cause__):
                return None
            raise
        first = found["first-entry"]
        last = _entry_id(found["last-generated-id"])
        length, added = int(found["length"]), int(found.get("entries-added", 0))
        return Bounds(None if first is None else _entry_id(first[0]), last, added > length, length)

    def add(self, entries: Sequence[Fields]) -> None:
        """Append entries."""
        with translating(self._address, self._timeout):
            pipeline = self._client.pipeline(transaction=False)
            for each in entries:
                pipeline.xadd(self._key, cast("Any", each))
            pipeline.execute()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


def _entry_id(text: bytes) -> EntryId:
    milliseconds, _, number = text.partition(b"-")
    return int(milliseconds), int(number)


def _pairs(entries: Any) -> list[tuple[bytes, Fields]]:
    """Return entries with their fields as mappings, whichever form the client's parser gave them."""
    return [
        (name, fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True)))
        for name, fields in entries
        if fields is not None
    ]
