"""Sends to Redis at full speed, each batch only while this push holds the view's fence.

Each batch is WATCH fence, GET fence, MULTI ... EXEC: Redis drops the transaction if the fence changes after the GET.
The WATCH and GET of the next batch travel with each batch, which saves a round trip.

The commands of a batch are packed as bytes, and the replies compared with the expected bytes: otherwise the client
spends more time on each row's reply than Redis on the row. While one batch is on the wire, the next is encoded; at most
these two are in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import redis

from feature_sync.errors import LeaseLost, OnlineStoreError
from feature_sync.online.redis.connections import UNCOMMITTED, ByteConnection, close_connection, take_connection
from feature_sync.online.redis.retries import LOST, PUSHING, with_retry
from feature_sync.online.rows import Row

# Redis's protocol, packed by hand: several times faster than redis-py packs argument by argument.
_SET = b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
_SET_UNTIL = b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$4\r\nPXAT\r\n$%d\r\n%b\r\n"
_WATCH = b"*2\r\n$5\r\nWATCH\r\n$%d\r\n%b\r\n*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n"
TAKEN_OVER = "another push has taken over while this one was held up; nothing of this one is committed"
EMPTIED = f"Redis was emptied during the push; {UNCOMMITTED}"


def too_few(reached: int, wanted: int, where: str = "Redis") -> str:
    """Return the message of a push that too few replicas have."""
    return (
        f"only {reached} of {wanted} replicas of {where} have acknowledged the push in time; nothing of it is "
        "committed: push again when they follow, or ask for fewer with --replicas-acknowledge"
    )


Command = tuple[bytes | str, ...]


class FencedSender:
    """Sends for one push of one view; Redis runs a transaction only while the fence has this push's number.

    Raises:
        LeaseLost: From every method: another push has taken over.
        OnlineStoreError: From every method: Redis was emptied, or was restarted since `run` was read.
        redis.RedisError: From every method: Redis failed.
    """

    def __init__(self, client: redis.Redis, fence_key: str, fence: int, run: str) -> None:
        """Prepare to send; connects with the first command.

        Args:
            client: The client whose pool lends the connection.
            fence_key: The Redis key of the view's fence.
            fence: The number to which this push raised it.
            run: The run of Redis on which the lease was taken, as a connection asks for it.
        """
        self._client = client
        self._fence_key = fence_key
        self._fence = b"%d" % fence
        self._run = run
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
                self._confirm(*on_the_wire)  # before the next is sent: only one batch can be lost, and sent again
            on_the_wire = commands, replies
            with suppress(*LOST):  # then `_confirm` sends it again
                self._send(commands)
        if on_the_wire is not None:
            self._confirm(*on_the_wire)

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one transaction; returns their replies.

        If the connection is lost before the reply, they are sent again, and may run twice: they must be idempotent.
        """
        return with_retry(lambda: self._transact(commands), PUSHING)

    def wait(self, replicas: int) -> None:
        """Wait until so many replicas have what was written over this connection before.

        Raises:
            OnlineStoreError: Fewer have it in time, or the connection was lost.
        """
        if self._connection is None:
            raise redis.ConnectionError("the connection was lost before the replicas could be asked")
        options = self._client.connection_pool.connection_kwargs
        milliseconds = max(int((options.get("socket_timeout") or 10) * 500), 1)
        connection = self._connection
        connection.send(*connection.pack([("UNWATCH",), ("WAIT", str(replicas), str(milliseconds))]))
        connection.read_response()
        if (reached := connection.read_response()) < replicas:
            raise OnlineStoreError(too_few(reached, replicas))

    def disconnect(self) -> None:
        """Close the connection if one is open."""
        close_connection(self._client, self._connection)
        self._connection = None

    def _transact(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one transaction, followed by the WATCH and GET of the next."""
        connection = self._connected()
        try:
            connection.send(*connection.pack([("MULTI",), *commands, ("EXEC",)]), self._watch)
            # One reply each to MULTI, the queued commands, EXEC (None if the fence changed), WATCH and GET.
            _, *_, replies, _, fence = [connection.read_response() for _ in range(len(commands) + 4)]
        except BaseException:  # also an interrupt: unread replies would answer the next command
            self.disconnect()
            raise
        if replies is None or fence != self._fence:
            raise self._refused()
        if errors := [reply for reply in replies if isinstance(reply, Exception)]:
            raise errors[0]
        return list(replies)

    def _transaction(self, rows: Sequence[Row]) -> tuple[bytes, bytes]:
        """Pack a batch, followed by the WATCH and GET of the next; returns the commands and the expected replies."""
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
        """Wait for the replies to a batch. If the connection was lost, the batch is sent again: SET is idempotent."""

        def arrive() -> None:
            if self._connection is None:
                self._send(commands)
            self._expect(replies)

        with_retry(arrive, PUSHING)

    def _expect(self, replies: bytes) -> None:
        try:
            self._connected().expect(replies)
        except redis.ResponseError as reply:
            # Errors begin with a capital, as OOM does. Else EXEC returned null, or GET another fence or none.
            if not str(reply)[:1].isupper():
                raise self._refused() from reply
            self.disconnect()
            raise
        except BaseException:
            self.disconnect()
            raise

    def _connected(self) -> ByteConnection:
        """Return a connection that watches the fence, to the run of Redis on which the lease was taken.

        A restart may lose confirmed writes without a trace, so that going on would commit rows that are missing: only a
        new push repairs that.
        """
        if self._connection is None:
            self._connection = take_connection(self._client)
            try:
                run = self._connection.ask_run()
            except BaseException:
                self.disconnect()
                raise
            if run != self._run:
                another_run = self._connection.another_run
                self.disconnect()
                raise OnlineStoreError(another_run)
            self._send(self._watch)
            self._expect(self._watched)
        return self._connection

    def _refused(self) -> OnlineStoreError:
        """Disconnect, and return the error that explains why the fence is no longer this push's."""
        self.disconnect()
        return OnlineStoreError(EMPTIED) if self._client.get(self._fence_key) is None else LeaseLost(TAKEN_OVER)
