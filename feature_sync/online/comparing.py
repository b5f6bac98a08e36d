"""Compares rows with what Redis holds, byte for byte: their values, and the moments at which they expire.

What Redis must answer is known before it is asked, so a batch that is as it should be costs one comparison of bytes.
Only a batch that is not is read row by row. While one batch is on the wire, the next is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import redis

from feature_sync.online.patience import LOST
from feature_sync.online.writer import Row

NO_EXPIRY = -1


@dataclass(frozen=True, slots=True)
class Held:
    """What Redis holds at a key: no value where there is none. `expires_at` is None where Redis does not tell."""

    value: bytes | None
    expires_at: int | None


class Comparer:
    """Compares the rows of one view. `tells_expiry` says whether Redis lets us ask when a key expires."""

    def __init__(self, client: Any, translating: Callable[[], AbstractContextManager[None]], *, probe: str) -> None:
        """`probe` is a key by which to ask whether expiries are told: one of the view, for a user may see no other."""
        self._client = client
        self._translating = translating
        self._probe = probe
        self._connection: Any = None
        self.tells_expiry = self._can_ask_expiry()

    def compare(
        self, batches: Iterable[Sequence[Row]]
    ) -> Generator[tuple[Sequence[Row], Sequence[Held] | None], None, None]:
        """Compare batch after batch; what Redis holds comes with those that differ from it in any byte.

        Raises:
            OnlineStoreError: Redis failed.
        """
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
        """Read values and expiries at one moment."""
        with self._translating(), self._client.pipeline() as pipeline:
            pipeline.mget(keys)
            if self.tells_expiry:
                for key in keys:
                    pipeline.pexpiretime(key)
            values, *expiries = pipeline.execute()
        return [Held(*each) for each in zip(values, expiries or [None] * len(keys), strict=True)]

    def _can_ask_expiry(self) -> bool:
        """Redis tells since version 7, and only users who may ask."""
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
        keys = [b"$%d\r\n%b\r\n" % (len(key), key) for key, _, _ in rows]
        command = [b"*%d\r\n$4\r\nMGET\r\n" % (len(keys) + 1), *keys]
        if self.tells_expiry:
            command += [b"*2\r\n$11\r\nPEXPIRETIME\r\n" + key for key in keys]
        try:
            if self._connection is None:
                self._connection = self._client.connection_pool.get_connection()
            self._connection.send_packed_command([b"".join(command)], check_health=False)
        except LOST:
            self._disconnect()  # the batch is read row by row

    def _answer(self, rows: Sequence[Row]) -> list[Held] | None:
        """Tell what Redis holds, if that is not what it should be."""
        expected = [b"*%d\r\n" % len(rows), *(b"$%d\r\n%b\r\n" % (len(value), value) for _, value, _ in rows)]
        if self.tells_expiry:
            expected += [b":%d\r\n" % (NO_EXPIRY if end is None else end) for _, _, end in rows]
        try:
            if self._connection is not None:
                self._connection.expect(b"".join(expected))
                return None
        except (redis.ResponseError, *LOST):
            self._disconnect()  # the rest of the reply is still under way
        return self.read([key for key, _, _ in rows])

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._client.connection_pool.release(self._connection)
            self._connection = None
