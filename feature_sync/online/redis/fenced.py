"""Sends to Redis at full speed, each batch only while this push holds the view's fence.

The commands of a batch are packed as bytes, and the replies compared with the bytes that must come: otherwise a client
spends more time on each row's reply than Redis on the row. While one batch is on the wire, the next is encoded; never
more than these two exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import redis

from feature_sync.errors import LeaseLost, OnlineStoreError
from feature_sync.online.redis.connections import ByteConnection, close_connection, take_connection
from feature_sync.online.redis.retries import LOST, PUSHING, with_retry
from feature_sync.online.rows import Row

# Redis's protocol, packed by hand: several times faster than argument by argument.
_SET = b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
_SET_UNTIL = b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$4\r\nPXAT\r\n$%d\r\n%b\r\n"
_WATCH = b"*2\r\n$5\r\nWATCH\r\n$%d\r\n%b\r\n*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n"
_OUT = "another push has taken over while this one was held up; nothing of it is committed, the other one counts"
_EMPTIED = "Redis was emptied during the push; nothing of it is committed, push again"

Command = tuple[bytes | str, ...]


class FencedSender:
    """Sends for one push of one view; Redis runs a transaction only if the fence stands where this push raised it.

    Raises:
        LeaseLost: From every method: another push has taken over.
        OnlineStoreError: From every method: Redis was emptied, or was restarted since `run_id` was read.
        redis.RedisError: From every method: Redis failed.
    """

    def __init__(self, client: redis.Redis, fence_key: str, fence: int, run_id: str) -> None:
        self._client = client
        self._fence_key = fence_key
        self._fence = b"%d" % fence
        self._run_id = run_id.encode()
        self._connection: ByteConnection | None = None
        key = fence_key.encode()
        self._watch = _WATCH % (len(key), key, len(key), key)
        self._watched = b"+OK\r\n$%d\r\n%b\r\n" % (len(self._fence), self._fence)

    def set_rows(self, batches: Iterable[Sequence[Row]]) -> None:
        """Set rows, one transaction for each batch. Redis stores nothing for a row that has expired already."""
        on_the_wire: tuple[bytes, bytes] | None = None
        for rows in batches:
            commands, replies = self._transaction(rows)
            if on_the_wire is not None:
                self._confirm(*on_the_wire)
            on_the_wire = commands, replies
            with suppress(*LOST):  # then it is sent again when it is to be confirmed
                self._send(commands)
        if on_the_wire is not None:
            self._confirm(*on_the_wire)

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one transaction; returns their replies. They may run twice if the connection is lost."""
        return with_retry(lambda: self._transact(commands), PUSHING)

    def disconnect(self) -> None:
        """Close the connection, should one be open."""
        close_connection(self._client, self._connection)
        self._connection = None

    def _transact(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one transaction, followed by the first step of the next."""
        connection = self._connected()
        try:
            connection.send(*connection.pack([("MULTI",), *commands, ("EXEC",)]), self._watch)
            _, *_, replies, _, fence = [connection.read_response() for _ in range(len(commands) + 4)]
        except BaseException:
            self.disconnect()
            raise
        if replies is None or fence != self._fence:
            raise self._refused()
        if errors := [reply for reply in replies if isinstance(reply, Exception)]:
            raise errors[0]
        return list(replies)

    def _transaction(self, rows: Sequence[Row]) -> tuple[bytes, bytes]:
        """Pack a batch, followed by the first step of the next: watch the fence, and read it."""
        count = len(rows)
        sets = [
            _SET % (len(key), key, len(value), value)
            if expires_at is None
            else _SET_UNTIL % (len(key), key, len(value), value, len(moment := b"%d" % expires_at), moment)
            for key, value, expires_at in rows
        ]
        commands = b"".join([b"*1\r\n$5\r\nMULTI\r\n", *sets, b"*1\r\n$4\r\nEXEC\r\n", self._watch])
        replies = b"+OK\r\n" + b"+QUEUED\r\n" * count + b"*%d\r\n" % count + b"+OK\r\n" * count + self._watched
        return commands, replies

    def _send(self, commands: bytes) -> None:
        connection = self._connected()
        try:
            connection.send(commands)
        except BaseException:
            self.disconnect()
            raise

    def _confirm(self, commands: bytes, replies: bytes) -> None:
        """Wait until a batch has arrived. If the connection is lost, it is sent again: rows can be written twice."""

        def arrive() -> None:
            if self._connection is None:
                self._send(commands)
            self._expect(replies)

        with_retry(arrive, PUSHING)

    def _expect(self, replies: bytes) -> None:
        try:
            self._connected().expect(replies)
        except redis.ResponseError as said:
            if not str(said)[:1].isupper():  # no error: the transaction was refused, or the fence is another
                raise self._refused() from said
            self.disconnect()
            raise
        except BaseException:
            self.disconnect()
            raise

    def _connected(self) -> ByteConnection:
        """Return a connection that watches the fence, and ends with this run of Redis.

        What Redis lost in a restart, nobody knows: only a push from the beginning puts it right.
        """
        if self._connection is None:
            self._connection = take_connection(self._client)
            try:
                self._connection.send(*self._connection.pack([("INFO", "server")]))
                about: Any = self._connection.read_response()
            except BaseException:
                self.disconnect()
                raise
            if b"run_id:%b" % self._run_id not in about:
                self.disconnect()
                raise OnlineStoreError("Redis was restarted during the push; nothing of it is committed, push again")
            self._send(self._watch)
            self._expect(self._watched)
        return self._connection

    def _refused(self) -> OnlineStoreError:
        """Tell why the fence is not where this push raised it."""
        self.disconnect()
        return OnlineStoreError(_EMPTIED) if self._client.get(self._fence_key) is None else LeaseLost(_OUT)
