"""The Redis that holds the online store: connects, writes rows in pipelined batches, reads many keys at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis

from feature_sync.errors import OnlineStoreError
from feature_sync.online.codec import Schema, read_schema

_SECONDS_TO_CONNECT = 5
_SECONDS_TO_ANSWER = 60
_KEYS_PER_SCAN = 1000
_SCHEMES = ("redis", "rediss", "unix")

Row = tuple[bytes, bytes, int | None]
"""A key, its value, and the millisecond since 1970 at which Redis lets it expire."""


class OnlineStore:
    """A connection to Redis.

    Raises:
        OnlineStoreError: From every method, when Redis cannot be reached or refuses a command.
    """

    def __init__(self, url: str) -> None:
        """Connect. The password in the URL never reaches a message."""
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            raise OnlineStoreError("the Redis URL must begin with redis://, rediss:// or unix://")
        self._where = (
            f"unix://{parts.path}" if parts.scheme == "unix" else f"{parts.scheme}://{_host(parts.netloc)}{parts.path}"
        )
        try:
            self._client: Any = redis.Redis.from_url(
                url, socket_connect_timeout=_SECONDS_TO_CONNECT, socket_timeout=_SECONDS_TO_ANSWER
            )
        except ValueError as wrong:
            raise OnlineStoreError(f"the Redis URL of {self._where} cannot be read") from wrong
        with self._translating():
            self._client.ping()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows in one pipelined batch. Redis stores nothing for a row that has expired already."""
        if not rows:
            return
        commands = b"".join([_set_command(*row) for row in rows])
        with self._translating(), self._connection() as connection:
            connection.send_packed_command([commands])
            for _ in rows:
                connection.read_response()

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the values of many keys at once; None where there is none."""
        with self._translating():
            return list(self._client.mget(keys)) if keys else []

    def write_schema(self, view_prefix: str, schema: Schema) -> None:
        """Publish a schema, before the first row that uses it."""
        with self._translating():
            self._client.hset(_schema_key(view_prefix), mapping={schema.id: schema.to_json()})

    def schemas(self, view_prefix: str) -> Mapping[bytes, Schema]:
        """Read all schemas of a feature view, by their ids; none if it was never pushed."""
        with self._translating():
            found = self._client.hgetall(_schema_key(view_prefix))
        return {schema_id: read_schema(content) for schema_id, content in found.items()}

    def delete_view(self, view_prefix: str) -> int:
        """Delete all rows and schemas of a feature view; returns how many rows there were."""
        deleted = 0
        with self._translating():
            pattern = re.sub(r"([\\*?\[\]])", r"\\\1", view_prefix) + "{*"
            batch: list[bytes] = []
            for key in self._client.scan_iter(match=pattern, count=_KEYS_PER_SCAN):
                batch.append(key)
                if len(batch) == _KEYS_PER_SCAN:
                    deleted += int(self._client.unlink(*batch))
                    batch.clear()
            deleted += int(self._client.unlink(*batch)) if batch else 0
            self._client.delete(_schema_key(view_prefix))
        return deleted

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """Lend a connection; one that failed midway is closed, for its replies no longer match its commands."""
        connection = self._client.connection_pool.get_connection()
        try:
            yield connection
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self._client.connection_pool.release(connection)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except redis.AuthenticationError as refused:
            raise OnlineStoreError(f"Redis at {self._where} refused the user or the password") from refused
        except redis.TimeoutError as silent:
            raise OnlineStoreError(f"Redis at {self._where} did not answer in time") from silent
        except redis.ConnectionError as lost:
            raise OnlineStoreError(f"Redis at {self._where} cannot be reached; is it running?") from lost
        except redis.ResponseError as refused:
            raise OnlineStoreError(f"Redis at {self._where} refused a command: {refused}") from refused


def _set_command(key: bytes, value: bytes, expires_at: int | None) -> bytes:
    """Pack one SET in Redis's protocol: several times faster than packing argument by argument."""
    if expires_at is None:
        return b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value)
    moment = b"%d" % expires_at
    return b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$4\r\nPXAT\r\n$%d\r\n%b\r\n" % (
        len(key), key, len(value), value, len(moment), moment,
    )  # fmt: skip


def _schema_key(view_prefix: str) -> str:
    return f"{view_prefix}schema"


def _host(netloc: str) -> str:
    return netloc.rpartition("@")[2]
