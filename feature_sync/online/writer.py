"""Writes rows to Redis at full speed, each batch only while this push holds the view's fence.

The commands of a batch are packed as bytes, and the replies compared with the bytes that must come: for each row a
client would otherwise spend more time on the replies than Redis on the work. While one batch is on the wire, the next
is encoded; never more than these two exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import redis
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

from feature_sync.errors import LeaseLost, OnlineStoreError
from feature_sync.online.lease import Lease
from feature_sync.online.patience import LOST, PUSHING, with_retry

_KEYS_PER_COMMAND = 500
_BYTES_PER_READ = 65_536
# Redis's protocol, packed by hand: several times faster than argument by argument.
_SET = b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
_SET_UNTIL = b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$4\r\nPXAT\r\n$%d\r\n%b\r\n"
_OUT = "another push has taken over while this one was held up; nothing of it is committed, the other one counts"
_EMPTIED = "Redis was emptied during the push; nothing of it is committed, push again"

Row = tuple[bytes, bytes, int | None]
"""A key, its value, and the millisecond since 1970 at which Redis lets it expire."""


class _Exchanging:
    """A connection that compares replies with the bytes that must come."""

    _sock: Any

    def expect(self, replies: bytes) -> None:
        """Read the replies to what was sent.

        Raises:
            redis.ResponseError: Redis says something else; the connection is of no use afterwards.
        """
        received = bytearray()
        while received != replies:
            if not replies.startswith(received) and (line := _unexpected_line(received, replies)) is not None:
                raise redis.ResponseError(line)
            received += self._receive()

    def _receive(self) -> bytes:
        try:
            chunk = self._sock.recv(_BYTES_PER_READ)
        except TimeoutError as silent:
            raise redis.TimeoutError("no answer came in time") from silent
        except OSError as lost:
            raise redis.ConnectionError("the connection was lost") from lost
        if not chunk:
            raise redis.ConnectionError("the connection was closed")
        return bytes(chunk)


def _unexpected_line(received: bytearray, replies: bytes) -> str | None:
    """The first line that is not what must come; None until it is there whole."""
    pairs = enumerate(zip(received, replies, strict=False))
    same = next((at for at, (came, due) in pairs if came != due), min(len(received), len(replies)))
    begin = received.rfind(b"\r\n", 0, same) + 2 if same else 0
    line, end, _ = bytes(received[begin:]).partition(b"\r\n")
    return line.decode(errors="replace").removeprefix("-") if end else None


class TcpConnection(_Exchanging, Connection):
    """Over TCP."""


class TlsConnection(_Exchanging, SSLConnection):
    """Over TLS."""


class SocketConnection(_Exchanging, UnixDomainSocketConnection):
    """Over a unix socket."""


CONNECTIONS = {"redis": TcpConnection, "rediss": TlsConnection, "unix": SocketConnection}


class Writer:
    """Writes for one push of one view.

    Raises:
        LeaseLost: From every method: another push has taken over.
        OnlineStoreError: From every method: Redis was restarted or is another since `run_id` was read.
        redis.RedisError: From every method: Redis failed.
    """

    def __init__(self, client: Any, lease: Lease, run_id: str) -> None:
        self._client = client
        self._lease = lease
        self._run_id = run_id
        self._connection: Any = None
        fence = b"%d" % lease.fence
        key = lease.fence_key.encode()
        self._watch = b"*2\r\n$5\r\nWATCH\r\n$%d\r\n%b\r\n*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (
            len(key),
            key,
            len(key),
            key,
        )
        self._watched = b"+OK\r\n$%d\r\n%b\r\n" % (len(fence), fence)

    def write(self, batches: Iterable[Sequence[Row]]) -> None:
        """Write rows, batch after batch. Redis stores nothing for a row that has expired already."""
        on_the_wire: tuple[bytes, bytes] | None = None
        try:
            for rows in batches:
                commands, replies = self._transaction(rows)
                if on_the_wire is not None:
                    self._confirm(*on_the_wire)
                on_the_wire = commands, replies
                with suppress(*LOST):  # then it is sent again when it is to be confirmed
                    self._send(commands)
            if on_the_wire is not None:
                self._confirm(*on_the_wire)
        finally:
            self._disconnect()

    def delete(self, keys: Iterable[bytes]) -> int:
        """Delete keys; returns how many were there."""
        deleted = 0
        rest = iter(keys)
        try:
            while batch := list(islice(rest, _KEYS_PER_COMMAND)):
                deleted += int(self._run([("UNLINK", *batch)])[0])
        finally:
            self._disconnect()
        return deleted

    def change(self, queue: Callable[[Any], object]) -> list[Any]:
        """Run commands in one transaction, only while this push holds the fence; returns their replies.

        They may run twice, should the connection be lost.
        """
        pipeline = self._client.pipeline()  # which only collects: its own way to watch a key outlives connections
        queue(pipeline)
        try:
            return self._run([arguments for arguments, _ in pipeline.command_stack])
        finally:
            self._disconnect()

    def _run(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        return with_retry(lambda: self._transact(commands), PUSHING)

    def _transact(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run commands in one transaction, followed by the first step of the next."""
        if self._connection is None:
            self._connect()
        connection = self._connection
        try:
            packed = connection.pack_commands([("MULTI",), *commands, ("EXEC",)])
            connection.send_packed_command([*packed, self._watch], check_health=False)
            _, *_, replies, _, fence = [connection.read_response() for _ in range(len(commands) + 4)]
        except BaseException:
            self._disconnect()
            raise
        if replies is None or fence != b"%d" % self._lease.fence:
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
        if self._connection is None:
            self._connect()
        try:
            self._connection.send_packed_command([commands], check_health=False)
        except BaseException:
            self._disconnect()
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
            self._connection.expect(replies)
        except redis.ResponseError as said:
            if not str(said)[:1].isupper():  # no error: the transaction was refused, or the fence is another
                raise self._refused() from said
            self._disconnect()
            raise
        except BaseException:
            self._disconnect()
            raise

    def _connect(self) -> None:
        """Watch the fence over a connection of its own, which ends with this run of Redis.

        What Redis lost in a restart, nobody knows: only a push from the beginning puts it right.
        """
        self._connection = self._client.connection_pool.get_connection()
        try:
            self._connection.send_command("INFO", "server")
            about = self._connection.read_response()
        except BaseException:
            self._disconnect()
            raise
        if b"run_id:%b" % self._run_id.encode() not in about:
            self._disconnect()
            raise OnlineStoreError("Redis was restarted during the push; nothing of it is committed, push again")
        self._send(self._watch)
        self._expect(self._watched)

    def _refused(self) -> OnlineStoreError:
        """Tell why the fence is not where this push raised it."""
        self._disconnect()
        return OnlineStoreError(_EMPTIED) if self._client.get(self._lease.fence_key) is None else LeaseLost(_OUT)

    def _disconnect(self) -> None:
        """Close the connection rather than share it: replies may still be under way, and it watches a key."""
        if self._connection is not None:
            self._connection.disconnect()
            self._client.connection_pool.release(self._connection)
            self._connection = None
