"""Writes the rows of a stream to one view in Redis, and reads what Redis records of the stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any

import redis

from feature_sync.online.keys import ViewKeys
from feature_sync.online.redis.connections import ByteConnection, close_connection, pack_call, take_connection
from feature_sync.online.redis.stream_record import read_record
from feature_sync.online.redis.stream_scripts import STREAM
from feature_sync.online.streams import (
    Streamed,
    StreamedRow,
    StreamState,
    StreamWriter,
    pack_positions,
)

_ROWS_PER_CALL = 500
"""So many rows keep Redis from other clients for about 3 ms."""
_CALLS_ON_THE_WIRE = 4
_Translating = Callable[[], AbstractContextManager[None]]


class RedisStreamWriter(StreamWriter):
    """Writes by one script for some hundred rows, over one connection, whose run of Redis is part of the epoch."""

    def __init__(self, client: redis.Redis, translating: _Translating, *, keys: ViewKeys, topic: str) -> None:
        """Prepare to write; connects with the first command.

        Args:
            client: The client of Redis.
            translating: Turns the errors of Redis's client into ours.
            keys: The Redis keys of the view.
            topic: The topic of the rows.
        """
        self._topic = topic.encode()
        self._client = client
        self._translating = translating
        self._keys = keys
        self._connection: ByteConnection | None = None
        self._run = ""

    def state(self) -> StreamState | None:
        """See `StreamWriter`."""
        with self._translating():
            fields = self._ask([("HGETALL", self._keys.stream)])[0]
        record = read_record(_pairs(fields), self._keys.stream)
        if record is None or record.is_closed or record.snapshot.topic.encode() != self._topic:
            return None
        return StreamState(watermark=record.snapshot.watermark, epoch=self._epoch(record.epoch))

    def write(self, rows: Sequence[StreamedRow]) -> Streamed:
        """See `StreamWriter`."""
        calls = [self._call(rows[at : at + _ROWS_PER_CALL]) for at in range(0, max(len(rows), 1), _ROWS_PER_CALL)]
        with self._translating():
            replies = [
                reply
                for at in range(0, len(calls), _CALLS_ON_THE_WIRE)
                for reply in self._ask(calls[at : at + _CALLS_ON_THE_WIRE])
            ]
        applied, seen, older = (sum(reply[at] for reply in replies) for at in range(3))
        epochs = {reply[3] for reply in replies}
        if None in epochs or len(epochs) > 1:  # a push, or the end of the stream, came between: go back
            return Streamed(applied=applied, seen=seen, older=older, epoch="")
        return Streamed(applied=applied, seen=seen, older=older, epoch=self._epoch(epochs.pop().decode()))

    def close(self) -> None:
        """See `StreamWriter`."""
        close_connection(self._client, self._connection)
        self._connection = None

    def _epoch(self, push: str) -> str:
        return f"{self._run}:{push}"

    def _call(self, rows: Sequence[StreamedRow]) -> tuple[bytes | str, ...]:
        keys, values, ends, *places = zip(*rows, strict=True) if rows else [()] * len(StreamedRow._fields)
        contents = [each or b"" for each in values]
        moments = [b"" if each is None else b"%d" % max(each, 1) for each in ends]  # of before 1970: gone at once
        arguments = chain.from_iterable(zip(pack_positions(*places), contents, moments, strict=True))
        names = self._keys.stream, self._keys.journal
        return "EVAL", STREAM, b"%d" % (len(keys) + 2), *names, *keys, self._topic, *arguments

    def _ask(self, commands: Sequence[tuple[bytes | str, ...]]) -> list[Any]:
        """Send commands, never again: after a lost connection another run of Redis may have lost what was written."""
        try:
            connection = self._connected()
            connection.send(b"".join(map(pack_call, commands)))
            replies: list[Any] = []
            for _ in commands:
                try:
                    replies.append(connection.read_response())
                except redis.ResponseError as refused:
                    replies.append(refused)
        except BaseException:  # also an interrupt: unread replies would answer the next command
            self.close()
            raise
        if errors := [reply for reply in replies if isinstance(reply, Exception)]:
            raise errors[0]
        return replies

    def _connected(self) -> ByteConnection:
        if self._connection is None:
            self._connection = take_connection(self._client)
            self._connection.disconnect()  # type: ignore[no-untyped-call] # one from the pool may be of an earlier run
            self._run = self._connection.ask_run()
        return self._connection


def _pairs(flat: Sequence[bytes] | Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    if isinstance(flat, Mapping):  # as RESP 3 answers
        return flat
    return dict(zip(flat[::2], flat[1::2], strict=True))
