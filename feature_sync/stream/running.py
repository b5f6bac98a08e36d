"""The loop of a stream: reads messages, writes their rows to the online store, and goes back to the watermark."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep, time
from typing import Protocol

from feature_sync.errors import OnlineStoreError
from feature_sync.online.streams import Streamed, StreamedRow, StreamState, StreamWriter
from feature_sync.stream.background import Background
from feature_sync.stream.burials import Burials
from feature_sync.stream.messages import Columns, Message
from feature_sync.stream.report import StreamCounts, StreamLog
from feature_sync.stream.rows import RowReader
from feature_sync.stream.source import DeadLetters, Source

_LOG = logging.getLogger(__name__)
_MOST_MESSAGES = 2_000
_SECONDS_TO_POLL = 0.2
_SECONDS_IDLE = 1.0
_SECONDS_WITHOUT_REDIS = 60.0
_MOST_SECONDS_BETWEEN = 5.0


class Landing(Protocol):
    """Keeps messages in the warehouse."""

    def land(self, messages: Sequence[Message], begins: Mapping[int, int]) -> None:
        """Take messages, of which those that were landed before change nothing; may wait until earlier ones are stored.

        Args:
            messages: The messages, those of a partition by offset.
            begins: By partition, the offset from which they were read: what lies before its first message is a gap.
        """

    def flush(self) -> None:
        """Wait until all that was taken is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How messages become rows, by the schema that the newest push stored."""

    reader: RowReader
    encode: Callable[[Columns], list[StreamedRow]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamParts:
    """What a stream is made of.

    Args:
        feature_view: The reference of the view.
        source: Where messages come from.
        writer: Writes rows to the online store.
        reading: Makes what reads messages; called again whenever the epoch changes, as the schema may have.
        dead_letters: Where messages go that cannot be rows; None stops the stream at the first of them.
        landing: Keeps messages in the warehouse; None if something else does.
    """

    feature_view: str
    source: Source
    writer: StreamWriter
    reading: Callable[[], Reading]
    dead_letters: DeadLetters | None = None
    landing: Landing | None = None


class StreamRun:
    """One run of a stream. Whatever it had not finished when it ended, the next one reads again from the watermark."""

    def __init__(self, parts: StreamParts, *, until_end: bool = False) -> None:
        """Prepare; connects to nothing.

        Args:
            parts: What the stream is made of.
            until_end: End when all messages that there were are written.
        """
        self.counts = StreamCounts(feature_view=parts.feature_view)
        self._parts, self._until_end = parts, until_end
        self._log = StreamLog(self.counts)
        self._background = Background()
        self._pending: tuple[Future[Streamed], dict[int, int]] | None = None
        self._state = StreamState(watermark={}, epoch="")
        self._written: dict[int, int] = {}
        self._polled: dict[int, int] = {}
        self._burials = Burials(parts.source, parts.dead_letters)
        self._reading: Reading
        self._asked_at = self._committed_at = self._fine_at = monotonic()
        self._failing_since: float | None = None
        self._reached: dict[int, int] = {}

    def run(self) -> StreamCounts:
        """Stream until the end, if it was asked for, or for ever.

        Raises:
            StreamError: The source, the dead letters or the messages are such that it cannot go on.
            OnlineStoreError: The online store did not come back within a minute.
        """
        try:
            self._connect()
            self._note_fine()
            self._parts.source.start(self._begin)
            while not (self._turn() and self._until_end):
                pass
            if self._parts.landing is not None:
                self._parts.landing.flush()
            self._commit()
        finally:
            self._background.end()
            if self._pending is None:
                self._parts.writer.close()
            self._log.say("stream ended")
        return self.counts

    def _positions(self) -> dict[int, int]:
        """Return where to read on: behind what this run has written in this epoch, else from the watermark."""
        return {**self._state.watermark, **self._written}

    def _begin(self) -> dict[int, int]:
        """Return where to begin partitions that were assigned; what was polled of them before comes again."""
        self._polled = {}
        return self._positions()

    def _turn(self) -> bool:
        """Read and write once; returns True if nothing was left to read and all is written."""
        try:
            messages = self._parts.source.poll(_MOST_MESSAGES, _SECONDS_TO_POLL)
            if messages:
                self._take(messages)
            else:
                self._settle()
                self._look_for_a_push()
            if monotonic() - self._committed_at >= _SECONDS_IDLE:
                self._commit()
                self.counts.lags = {**self._parts.source.lags(self._positions())}
        except OnlineStoreError as lost:
            self._wait_for_store(lost)
            return False
        return not messages and self._pending is None and self._parts.source.is_at_end

    def _take(self, messages: Sequence[Message]) -> None:
        """Decode messages while the rows before them are being written; then write theirs."""
        columns, dead = self._reading.reader.read(messages)
        rows = [row for each in columns for row in self._reading.encode(each)]
        if self._parts.landing is not None:
            self._parts.landing.land(messages, {**self._positions(), **self._polled})
        ends = {each.partition: each.offset + 1 for each in messages}  # offsets of a partition ascend
        self._polled.update(ends)
        if not self._settle():
            return  # the messages come again from the watermark
        self._count(messages)
        self.counts.dead += self._burials.bury(dead, rows=len(rows))
        if rows:
            self._pending = self._background.submit(lambda: self._parts.writer.write(rows)), ends
        else:
            self._advance(ends)
            self._look_for_a_push()  # also where no message becomes a row

    def _settle(self) -> bool:
        """Wait until the rows sent are written; returns False if the stream went back to the watermark instead."""
        if self._pending is None:
            return True
        future, ends = self._pending
        self._pending = None
        done = future.result()
        self.counts.applied += done.applied
        self.counts.seen += done.seen
        self.counts.older += done.older
        self._note_fine()
        if done.epoch != self._state.epoch:
            self._go_back()
            return False
        self._advance(ends)
        return True

    def _advance(self, ends: Mapping[int, int]) -> None:
        """Note what is written; a failure is over when that goes beyond what was written before it."""
        self._written.update(ends)
        if any(end > self._reached.get(partition, -1) for partition, end in ends.items()):
            self._failing_since = None
        self._reached |= {partition: max(end, self._reached.get(partition, end)) for partition, end in ends.items()}

    def _look_for_a_push(self) -> None:
        """Ask for the epoch now and then while nothing is written, whose answers would tell it."""
        if monotonic() - self._asked_at < _SECONDS_IDLE:
            return
        self._asked_at = monotonic()
        told = self._parts.writer.write(())
        if self._parts.source.is_at_end:
            self._failing_since = None  # nothing waits that could fail again
        self._note_fine()
        if told.epoch != self._state.epoch:
            self._go_back()

    def _go_back(self) -> None:
        """Begin again at the watermark: a push has ended, or the store may have lost writes."""
        self._connect()
        self.counts.returns += 1
        self._parts.source.seek(self._begin())
        _LOG.info("back to the watermark", extra={"feature_view": self.counts.feature_view})

    def _connect(self) -> None:
        """Read the state, and wait for the first push if there was none."""
        is_waiting = False
        while (state := self._parts.writer.state()) is None:
            if not is_waiting:
                view = self.counts.feature_view
                _LOG.warning("waiting for the first push of %s as a streamed view: feature-sync push %s", view, view)
            is_waiting, self._failing_since = True, None
            self._note_fine()  # it answers that there is none
            sleep(_SECONDS_IDLE)
        self._state, self._written, self._pending = state, {}, None
        self._reading = self._parts.reading()  # now, so that what is wrong is said before the first message

    def _note_fine(self) -> None:
        if self._failing_since is None:
            self._fine_at, self.counts.fine_at = monotonic(), time()

    def _wait_for_store(self, lost: OnlineStoreError) -> None:
        """Try until the store answers again, then go back to the watermark; raise after a minute.

        A store that answers and takes no row, as one that is full, counts as one that is away; so does one that takes
        again what it had, and fails at the next row.
        """
        self._failing_since = self._failing_since or self._fine_at
        if monotonic() - self._failing_since > _SECONDS_WITHOUT_REDIS:
            raise lost
        _LOG.warning("%s; trying again for %d seconds", lost, _SECONDS_WITHOUT_REDIS)
        if self._pending is not None:
            with suppress(OnlineStoreError):
                self._pending[0].result()  # it uses the writer's connections, as what follows does
            self._pending = None
        sleep(min((monotonic() - self._failing_since) / 10, _MOST_SECONDS_BETWEEN))
        while True:
            try:
                self._go_back()
            except OnlineStoreError:
                if monotonic() - self._fine_at > _SECONDS_WITHOUT_REDIS:
                    raise
                sleep(_SECONDS_TO_POLL)
            else:
                return

    def _count(self, messages: Sequence[Message]) -> None:
        self.counts.messages += len(messages)
        last = {each.partition: each.timestamp for each in messages if each.timestamp is not None}
        self.counts.last_messages.update(last)
        self.counts.last_message = max([*last.values(), self.counts.last_message or 0]) or None
        if self._log.is_due:
            self._log.say()

    def _commit(self) -> None:
        self._committed_at = monotonic()
        self.counts.positions = dict(self._written)
        if self._written:
            self._parts.source.commit(self._written)
