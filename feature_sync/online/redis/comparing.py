"""Compares rows with what Redis holds, byte for byte: their values, and when they expire.

The reply that Redis must give is known beforehand, so a batch without a difference costs one comparison of bytes. Only
a batch with one is read row by row. While Redis answers for one batch, the next is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager

import redis

from feature_sync.online.base import NO_EXPIRY, Comparer, Held
from feature_sync.online.redis.connections import ByteConnection, close_connection, take_connection
from feature_sync.online.redis.retries import LOST
from feature_sync.online.rows import Row


class RedisComparer(Comparer):
    """Compares the rows of one view."""

    def __init__(
        self, client: redis.Redis, translating: Callable[[], AbstractContextManager[None]], *, probe: str
    ) -> None:
        """Find out whether this user can read expiries.

        Args:
            client: The client of Redis.
            translating: Turns the errors of Redis's client into ours.
            probe: A Redis key of the view to ask about: an ACL may allow no other key.
        """
        self._client = client
        self._translating = translating
        self._probe = probe
        self._connection: ByteConnection | None = None
        self.reports_expiry = self._can_ask_expiry()

    def compare(
        self, batches: Iterable[Sequence[Row]]
    ) -> Generator[tuple[Sequence[Row], Sequence[Held] | None], None, None]:
        """See `Comparer`."""
        asked: Sequence[Row] = ()
        try:
            for rows in batches:
                if asked:
                    yield asked, self._answer(asked)
                self._ask(rows)
                asked = rows
            if asked:
                yield asked, self._answer(asked)
        finally:
            self._disconnect()

    def read(self, keys: Sequence[bytes]) -> list[Held]:
        """See `Comparer`."""
        with self._translating(), self._client.pipeline() as pipeline:
            pipeline.mget(keys)
            if self.reports_expiry:
                for key in keys:
                    pipeline.pexpiretime(key)  # type: ignore[arg-type]
            values, *expiries = pipeline.execute()
        return [Held(*each) for each in zip(values, expiries or [None] * len(keys), strict=True)]

    def _can_ask_expiry(self) -> bool:
        """True if Redis has PEXPIRETIME (since version 7), and the user may run it."""
        with self._translating():
            try:
                self._client.pexpiretime(self._probe)
            except redis.exceptions.NoPermissionError:
                return False
            except redis.ResponseError as refused:
                if "unknown command" not in str(refused).lower():
                    raise
                return False
        return True

    def _ask(self, rows: Sequence[Row]) -> None:
        # Not in a transaction: a row that changes between the two commands differs, and is read again by `read`.
        keys = [b"$%d\r\n%b\r\n" % (len(key), key) for key, _, _ in rows]
        command = [b"*%d\r\n$4\r\nMGET\r\n" % (len(keys) + 1), *keys]
        if self.reports_expiry:
            command += [b"*2\r\n$11\r\nPEXPIRETIME\r\n" + key for key in keys]
        try:
            if self._connection is None:
                self._connection = take_connection(self._client)
            self._connection.send(b"".join(command))
        except LOST:
            self._disconnect()  # then `_answer` reads the batch row by row, with retries

    def _answer(self, rows: Sequence[Row]) -> list[Held] | None:
        """Return what Redis holds for a batch; None if it is exactly the batch."""
        expected = [b"*%d\r\n" % len(rows), *(b"$%d\r\n%b\r\n" % (len(value), value) for _, value, _ in rows)]
        if self.reports_expiry:
            expected += [b":%d\r\n" % (NO_EXPIRY if end is None else end) for _, _, end in rows]
        try:
            if self._connection is not None:
                self._connection.expect(b"".join(expected))
                return None
        except (redis.ResponseError, *LOST):
            self._disconnect()  # the unread rest of the reply would answer the next question
        return self.read([key for key, _, _ in rows])

    def _disconnect(self) -> None:
        close_connection(self._client, self._connection)
        self._connection = None
