"""Lands the messages of a stream in the warehouse, in batches, beside what the stream does with them.

What waits here when the process ends is not lost: a stream begins again at the watermark of the last push, and that
never passes what is landed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Condition, Thread
from time import monotonic, sleep
from typing import Any

import msgspec

from feature_sync.errors import WarehouseError
from feature_sync.stream.messages import Message
from feature_sync.warehouses.landing import LandedRow, LandingWriter, OffsetRange

_LOG = logging.getLogger(__name__)
_BATCHES_WAITING = 2
"""How many batches may wait before `land` does, so that memory is bounded whatever the warehouse does."""
_SECONDS_TO_TRY = 60.0
_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999
"""Milliseconds of the years 1 and 9999, beyond which warehouses have no moments."""
_SECONDS_BETWEEN_TRIES = 1.0


class Landing:
    """Lands the messages of one topic; a thread of its own writes them."""

    def __init__(
        self, connect: Callable[[], LandingWriter], *, decode: Callable[[Sequence[bytes]], list[Any]] | None = None
    ) -> None:
        """Connect, read how far the topic is landed, and begin.

        Args:
            connect: Connects to where to land; called again after a failure.
            decode: Decodes values that are not texts by themselves, which are landed as JSON; raises for those that it
                cannot, which are landed as bytes.

        Raises:
            WarehouseError: The warehouse cannot be reached, or refuses the tables.
        """
        self._connect, self._decode = connect, decode
        self._writer = connect()
        self.ends = dict(self._writer.ends())
        """By partition, up to where the topic was landed without a hole when this began."""
        self._read = {partition: OffsetRange(partition, 0, end) for partition, end in self.ends.items()}
        self._rows: list[LandedRow] = []
        self._ranges: dict[int, OffsetRange] = {}
        self._written: tuple[list[LandedRow], list[OffsetRange]] = [], []
        self._began_at = 0.0
        self._failed: Exception | None = None
        self._is_writing = self._is_hurried = self._is_closing = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def land(self, messages: Sequence[Message], begins: Mapping[int, int]) -> None:
        """Take messages, to be landed within `LandingWriter.seconds_between`; messages landed before change nothing.

        Args:
            messages: Messages as they were read, those of a partition by offset.
            begins: By partition, the offset from which they were read; what lies before the first message is not in
                the topic. A partition that is not named was read from 0.

        Raises:
            WarehouseError: The warehouse did not take earlier messages within a minute.
        """
        parts: dict[int, list[Message]] = {}
        for message in messages:
            parts.setdefault(message.partition, []).append(message)
        with self._changed:
            for partition, part in sorted(parts.items()):
                fresh = OffsetRange(partition, begins.get(partition, 0), part[-1].offset + 1)
                self._take(fresh, part)
            self._changed.notify_all()
            most = _BATCHES_WAITING * self._writer.rows_at_once
            self._changed.wait_for(lambda: len(self._rows) < most or self._failed)
            self._check()

    def flush(self) -> None:
        """Wait until all that was taken is landed.

        Raises:
            WarehouseError: The warehouse did not take it within a minute.
        """
        with self._changed:
            self._flush()

    def close(self, *, seconds: float) -> None:
        """Land what waits, if that is soon done, and close the connection; the next process lands what is left.

        Args:
            seconds: How long to wait at most.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(seconds)
        if not self._thread.is_alive():  # else it has the connection in use, and ends with the process
            self._writer.close()

    def _flush(self) -> None:
        self._is_hurried = True
        self._changed.notify_all()
        self._changed.wait_for(lambda: not (self._rows or self._ranges or self._is_writing) or self._failed)
        self._is_hurried = False
        self._check()

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _take(self, fresh: OffsetRange, part: Sequence[Message]) -> None:
        """Take the messages of one partition that are new, and note the range that they were read from."""
        known = self._read.get(fresh.partition)
        if known is not None and known.first <= fresh.first <= known.next:
            part = [message for message in part if message.offset >= known.next]
            if fresh.next <= known.next:
                return
            fresh = fresh._replace(first=known.next)
            self._read[fresh.partition] = known._replace(next=fresh.next)
        else:
            self._read[fresh.partition] = fresh
        waiting = self._ranges.get(fresh.partition)
        if waiting is not None and waiting.next != fresh.first:
            self._flush()  # a writer takes one range of each partition
            waiting = None
        if not self._ranges:
            self._began_at = monotonic()
        self._ranges[fresh.partition] = fresh if waiting is None else waiting._replace(next=fresh.next)
        self._rows += self._landed(part)

    def _landed(self, messages: Sequence[Message]) -> list[LandedRow]:
        rows = []
        for message in messages:
            key, key_bytes = _text(message.key)
            value, value_bytes = _text(message.value) if self._decode is None else self._decoded(message.value)
            is_of_our_time = message.timestamp is not None and _FIRST <= message.timestamp <= _LAST
            position = (message.partition, message.offset, message.timestamp if is_of_our_time else None)
            rows.append(LandedRow(*position, key, value, key_bytes, value_bytes))
        return rows

    def _decoded(self, content: bytes | None) -> tuple[str | None, bytes | None]:
        """Return a value as JSON, or as bytes if it cannot be read: it is landed all the same; nothing may be lost."""
        if content is None or self._decode is None:
            return None, None
        try:
            return msgspec.json.encode(self._decode([content])[0], enc_hook=str).decode(), None
        except Exception as unreadable:  # noqa: BLE001 - decoders are of several libraries; the bytes are kept
            _LOG.debug("a value is landed as bytes: %s", unreadable)
            return None, content

    def _run(self) -> None:
        while self._wait():
            self._failed = self._write()
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
            if self._failed is not None:
                return

    def _wait(self) -> bool:
        """Wait until there is enough to write, or it has waited long enough; returns False at the end."""
        with self._changed:
            while not self._is_due():
                if self._is_closing:
                    return False
                left = self._began_at + self._writer.seconds_between - monotonic()
                self._changed.wait(max(left, 0) if self._ranges else None)
            self._written = self._rows, [*self._ranges.values()]
            self._rows, self._ranges = [], {}
            self._is_writing = True
            return True

    def _is_due(self) -> bool:
        if not self._ranges:
            return False
        is_old = monotonic() - self._began_at >= self._writer.seconds_between
        return is_old or self._is_hurried or self._is_closing or len(self._rows) >= self._writer.rows_at_once

    def _write(self) -> Exception | None:
        """Write a batch, again and again for a minute; returns why it was not taken."""
        until = monotonic() + _SECONDS_TO_TRY
        while True:
            try:
                self._writer.write(*self._written)
            except WarehouseError as refused:
                if monotonic() > until:
                    return refused
                _LOG.warning("%d messages are not landed yet: %s; trying again", len(self._written[0]), refused)
                sleep(_SECONDS_BETWEEN_TRIES)
                self._reconnect()
            except Exception as failed:  # noqa: BLE001 - it is raised in the thread that lands
                return failed
            else:
                return None

    def _reconnect(self) -> None:
        """Connect anew: nobody knows what a failure has left of a connection. The next try meets what is wrong."""
        self._writer.close()
        with suppress(WarehouseError):
            self._writer = self._connect()


def _text(content: bytes | None) -> tuple[str | None, bytes | None]:
    """Return a text, or the bytes of what is none."""
    if content is None:
        return None, None
    try:
        return content.decode(), None
    except UnicodeDecodeError:
        return None, content
