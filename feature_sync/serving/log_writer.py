"""A bounded queue of records with a thread that writes them in batches: requests only append.

A batch that cannot be written goes back to the queue, and is tried again with the next one.
"""

from __future__ import annotations

import atexit
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Condition, Event, RLock, Thread
from time import monotonic
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakSet

from feature_sync.serving.endpoint import forget_after_fork

Record: TypeAlias = Any
SECONDS_AT_EXIT = 1.0
_SECONDS_TO_RETRY = 5.0
_OPEN: WeakSet[LogWriter] = WeakSet()


class Outcome(NamedTuple):
    """What became of a batch: the number of records written, and the records to try again; the rest is given up."""

    written: int
    left: Sequence[Record]


class LogWriter:
    """Keeps at most so many records, and writes them in a daemon thread that ends when there is nothing to write.

    Threads may share it. A forked process begins with an empty queue: what was appended before is its parent's.
    """

    def __init__(
        self,
        write: Callable[[list[Record]], Outcome],
        *,
        prepare: Callable[[], object],
        batch_size: int,
        seconds: float,
        most_pending: int,
    ) -> None:
        """Prepare a queue; the first record starts the thread.

        Args:
            write: Writes a batch in the thread; never raises.
            prepare: Called first in the thread, long before the first batch; never raises.
            batch_size: Number of records that are written at once without waiting.
            seconds: How long fewer records may wait.
            most_pending: Number of records that may wait; more are dropped.
        """
        self._write = write
        self._prepare = prepare
        self._batch_size = min(batch_size, most_pending)
        self._seconds = seconds
        self._most_pending = most_pending
        self.forget()
        forget_after_fork(self)
        _OPEN.add(self)

    def forget(self) -> None:
        """Begin anew with nothing: locks and records are those of the process that was forked."""
        self.dropped = self.written = 0
        self._queue: deque[Record] = deque()
        self._being_written = 0
        self._lock = RLock()  # a signal handler may interrupt an append, and append
        self._changed = Condition(self._lock)
        self._wake = Event()
        self._thread: Thread | None = None
        self._begun = self._ended = 0
        """How many passes over the queue the thread has begun and ended."""
        self._last_pass: int | None = None

    @property
    def pending(self) -> int:
        """The number of records that are not written yet."""
        with self._lock:
            return len(self._queue) + self._being_written

    def append(self, record: Record) -> None:
        """Add a record, or drop it if too many wait."""
        with self._lock:
            if len(self._queue) + self._being_written >= self._most_pending:
                self.dropped += 1
                return
            self._queue.append(record)
            if len(self._queue) == self._batch_size:  # not more: a sink that fails is not tried for every record
                self._wake.set()
            if self._thread is None:
                self._start()

    def flush(self, timeout: float) -> bool:
        """Write what is pending now; returns False if some of it still is.

        Args:
            timeout: Seconds to wait.
        """
        with self._changed:
            if not self.pending:
                return True
            if self._thread is None:
                self._start()
            last = self._begun + 1
            self._wake.set()
            self._changed.wait_for(lambda: self._ended >= last or self._thread is None, timeout)
            return not self.pending

    def close(self, timeout: float) -> bool:
        """Flush, and end the thread; the next record starts another one. Returns what `flush` does.

        Args:
            timeout: Seconds to wait.
        """
        with self._lock:
            if self._thread is None and self._queue:
                self._start()
            thread, self._last_pass = self._thread, self._begun + 1
            self._wake.set()
        if thread is not None:
            thread.join(timeout)
        return not self.pending

    def _start(self) -> None:
        self._last_pass = None
        thread = Thread(target=self._work, name="feature-sync-log", daemon=True)
        with suppress(RuntimeError):  # no thread can start now: the next record tries again
            thread.start()
            self._thread = thread

    def _work(self) -> None:
        is_failing = False
        self._prepare()
        while True:
            self._wake.wait(min(self._seconds, _SECONDS_TO_RETRY) if is_failing else self._seconds)
            with self._lock:
                self._wake.clear()
                taken = [*self._queue]
                self._queue.clear()
                self._being_written = len(taken)
                self._begun += 1
            outcome = self._write(taken) if taken else Outcome(0, ())
            is_failing = bool(outcome.left)
            with self._changed:
                self._queue.extendleft(reversed(outcome.left))
                self._being_written = 0
                self.written += outcome.written
                self.dropped += len(taken) - outcome.written - len(outcome.left)
                self._ended += 1
                is_idle = not taken and not self._queue
                if is_idle or (self._last_pass is not None and self._ended >= self._last_pass):
                    self._thread = None
                self._changed.notify_all()
                if self._thread is None:
                    return


@atexit.register
def _flush_all() -> None:
    """Write what is pending when the interpreter ends, within a second for all logs together."""
    deadline = monotonic() + SECONDS_AT_EXIT
    for each in [*_OPEN]:
        each.flush(max(deadline - monotonic(), 0))
