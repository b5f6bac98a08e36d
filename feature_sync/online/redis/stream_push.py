"""Writes a pushed snapshot to Redis beside a stream: scripts compare the fence, and each row with what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import islice
from typing import Any

import redis

from feature_sync.errors import LeaseLost, OnlineStoreError
from feature_sync.online.codec import RowSchema
from feature_sync.online.keys import ViewKeys
from feature_sync.online.redis.connections import ByteConnection, close_connection, pack_call, take_connection
from feature_sync.online.redis.fenced import EMPTIED, TAKEN_OVER, Command
from feature_sync.online.redis.retries import LOST, PUSHING, with_retry
from feature_sync.online.redis.stream_record import snapshot_fields
from feature_sync.online.redis.stream_scripts import CLOSE, DELETE, END, OPEN, PUBLISH, REMOVE, WRITE
from feature_sync.online.rows import Row
from feature_sync.online.streams import Snapshot, SnapshotWriter, read_position

_KEYS_PER_CALL = 500
_KEYS_PER_SCAN = 1_000


class RedisSnapshotWriter(SnapshotWriter):
    """Writes while the fence has this push's number, to the run of Redis on which the lease was taken."""

    def __init__(
        self,
        client: redis.Redis,
        translating: Callable[[], AbstractContextManager[None]],
        *,
        keys: ViewKeys,
        fence: int,
        run: str,
    ) -> None:
        """Prepare to write; connects with the first command.

        Args:
            client: The client of Redis.
            translating: Turns the errors of Redis's client into ours.
            keys: The Redis keys of the view.
            fence: The number to which the lease raised the fence.
            run: The run of Redis on which the lease was taken, as a connection asks for it.
        """
        self._translating = translating
        self._keys = keys
        self._fence = b"%d" % fence
        self._sender = _ScriptSender(client, run)
        self._snapshot = Snapshot(topic="", watermark={}, until=0)

    def open(self, snapshot: Snapshot, schema: RowSchema) -> None:
        """See `SnapshotWriter`."""
        self._snapshot = snapshot
        publish = (
            "EVAL",
            PUBLISH,
            b"2",
            self._keys.fence,
            self._keys.schemas,
            self._fence,
            schema.id,
            schema.to_json(),
        )
        opened = self._call(OPEN, (), (snapshot.topic.encode(), *snapshot_fields(snapshot)))
        self._run([publish, opened])  # in this order: no streamed row is without its schema

    def write(self, batches: Iterable[Sequence[Row]]) -> int:
        """See `SnapshotWriter`."""
        return self._run(self._call(WRITE, [key for key, _, _ in rows], _arguments(rows)) for rows in batches)

    def delete(self, keys: Iterable[bytes]) -> int:
        """See `SnapshotWriter`."""
        rest = iter(keys)
        batches = iter(lambda: list(islice(rest, _KEYS_PER_CALL)), [])
        return self._run(self._call(DELETE, batch, ()) for batch in batches)

    def seen(self) -> Iterator[list[bytes]]:
        """See `SnapshotWriter`."""
        cursor, is_first = b"0", True
        while cursor != b"0" or is_first:
            with self._sending():
                cursor, found = self._sender.ask("HSCAN", self._keys.journal, cursor, "COUNT", str(_KEYS_PER_SCAN))
            is_first = False
            pairs = zip(found[::2], found[1::2], strict=True)
            if keys := [key for key, position in pairs if self._snapshot.has_seen(read_position(position))]:
                yield keys

    def end(self) -> None:
        """See `SnapshotWriter`."""
        self._run([self._call(END, (), ())])

    def close_stream(self) -> None:
        """See `SnapshotWriter`."""
        self._run([self._call(CLOSE, (), ())])

    def remove_stream(self) -> None:
        """See `SnapshotWriter`."""
        self._run([self._call(REMOVE, (), ())])

    def _call(self, script: str, rows: Sequence[bytes], arguments: Sequence[bytes]) -> Command:
        keys: list[bytes | str] = [self._keys.fence, self._keys.stream, self._keys.journal, *rows]
        return ("EVAL", script, b"%d" % len(keys), *keys, self._fence, *arguments)

    def _run(self, calls: Iterable[Command]) -> int:
        with self._sending():
            return self._sender.run(calls)

    @contextmanager
    def _sending(self) -> Iterator[None]:
        with self._translating():
            try:
                yield
            finally:  # no connection idles while the warehouse works
                self._sender.disconnect()


class _ScriptSender:
    """Sends idempotent commands, one on the wire while the next is encoded, to one run of Redis."""

    def __init__(self, client: redis.Redis, run: str) -> None:
        self._client = client
        self._run = run
        self._connection: ByteConnection | None = None

    def run(self, calls: Iterable[Command]) -> int:
        """Run scripts, and return the sum of their replies; of one that was sent again, perhaps a smaller one."""
        total, on_the_wire = 0, None
        for call in calls:
            if on_the_wire is not None:
                total += self._confirm(on_the_wire)  # before the next is sent: only one can be lost, and sent again
            on_the_wire = call
            with suppress(*LOST):  # then `_confirm` sends it again
                self._send(call)
        return total if on_the_wire is None else total + int(self._confirm(on_the_wire))

    def ask(self, *command: bytes | str) -> Any:
        """Run one command, and return its reply."""
        return self._confirm(command)

    def disconnect(self) -> None:
        """Close the connection if one is open."""
        close_connection(self._client, self._connection)
        self._connection = None

    def _send(self, command: Command) -> None:
        try:
            connection = self._connected()
            connection.send(pack_call(command))
        except BaseException:  # also an interrupt: unread replies would answer the next command
            self.disconnect()
            raise

    def _confirm(self, command: Command) -> Any:
        """Wait for the reply to a command. If the connection was lost, the command is sent again."""

        def arrive() -> Any:
            if self._connection is None:
                self._send(command)
            return self._reply()

        return with_retry(arrive, PUSHING)

    def _reply(self) -> Any:
        try:
            return self._connected().read_response()
        except redis.ResponseError as refused:
            self.disconnect()
            raise _meaning(refused) from refused
        except BaseException:
            self.disconnect()
            raise

    def _connected(self) -> ByteConnection:
        """Return a connection to the run of Redis on which the lease was taken: another may have lost writes."""
        if self._connection is None:
            self._connection = take_connection(self._client)
            self._connection.disconnect()  # type: ignore[no-untyped-call] # one of the pool may be of an earlier run
            if self._connection.ask_run() != self._run:
                another_run = self._connection.another_run
                self.disconnect()
                raise OnlineStoreError(another_run)
        return self._connection


def _arguments(rows: Sequence[Row]) -> list[bytes]:
    arguments: list[bytes] = []
    for _, value, expires_at in rows:
        arguments += (value, b"" if expires_at is None else b"%d" % expires_at)
    return arguments


def _meaning(refused: redis.ResponseError) -> Exception:
    """Return the error that a script's refusal means."""
    if "TAKENOVER" in str(refused):
        return LeaseLost(TAKEN_OVER)
    return OnlineStoreError(EMPTIED) if "EMPTIED" in str(refused) else refused
