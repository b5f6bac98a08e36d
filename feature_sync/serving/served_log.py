"""A log of the vectors that a service serves, for later comparison with training: drift, and skew."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - pyarrow imports it, which fails when the interpreter ends
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Lock
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from feature_sync.errors import FeatureSyncError, RequestError
from feature_sync.extras import require_pyarrow
from feature_sync.serving.log_writer import LogWriter, Outcome
from feature_sync.serving.sampling import HASHES
from feature_sync.serving.served_files import ServedFiles
from feature_sync.serving.served_rows import Served, served_tables

if TYPE_CHECKING:
    import pyarrow

    from feature_sync.serving.vectors import FeatureVector, FeatureVectors

_LOG = logging.getLogger(__name__)
SHARE = 0.01
MOST_PENDING = 10_000
ROWS = 5_000
SECONDS = 60.0
_SECONDS_TO_FLUSH = 10.0
_NANOSECONDS = 1_000

Sink: TypeAlias = "Callable[[pyarrow.Table], object]"
"""Writes an Arrow table of served vectors as a whole, or raises."""


class HasTables(Protocol):
    """A `FeatureStore`: whatever makes sinks of the names of tables."""

    def served_table(self, name: str) -> Sink:
        """Return a sink that appends to a table."""


class ServedLog:
    """Logs a sample of the vectors that clients serve: when, for which keys, which values, by which definition.

    Requests only append to a bounded queue; a daemon thread writes it in batches, as Arrow tables of one schema. The
    same entity is always in the sample, or always out of it. A sink that fails never fails a request: the error is
    logged once, and its vectors wait for the next try; vectors beyond `most_pending` are dropped and counted. A table
    whose writing was interrupted may be written twice.

    Clients and threads may share a log; a forked or unpickled copy begins an empty one, with files of its own. Closing
    a client leaves its log open. At the exit of the interpreter the rest is written if that takes less than a second;
    `close()` waits longer, and is needed in processes that end by `os._exit`, as those of multiprocessing do.

    >>> log = ServedLog.to_folder("served", share=0.01)                                 # doctest: +SKIP
    >>> client = FeatureClient("redis://...", "churn_model", prefix="shop", log=log)    # doctest: +SKIP
    """

    def __init__(
        self,
        sink: Sink,
        *,
        share: float = SHARE,
        rows_per_batch: int = ROWS,
        seconds_per_batch: float = SECONDS,
        most_pending: int = MOST_PENDING,
    ) -> None:
        """Log to a sink of one's own; `to_folder` and `to_table` make the usual ones.

        Args:
            sink: A function that writes an Arrow table, in the log's thread.
            share: The share of all entities to log, from 0 to 1.
            rows_per_batch: How many vectors a table holds at most.
            seconds_per_batch: How long a vector waits for others at most.
            most_pending: How many vectors may wait to be written, in all.

        Raises:
            MissingLibrary: pyarrow is not installed.
            RequestError: A number makes no sense.
        """
        self._sink = sink
        self._share = _checked("share", share, 0, 1)
        self._rows = int(_checked("rows per batch", rows_per_batch, 1))
        self._seconds = _checked("seconds per batch", seconds_per_batch, 0.001)
        self._most_pending = int(_checked("most_pending", most_pending, 1))
        require_pyarrow("ServedLog")  # not imported yet: a client starts without it
        self._prepare()

    @classmethod
    def to_folder(
        cls,
        path: str | os.PathLike[str],
        *,
        share: float = SHARE,
        rows_per_file: int = ROWS,
        seconds_per_file: float = SECONDS,
        most_pending: int = MOST_PENDING,
    ) -> Self:
        """Log to Parquet files, `<service>-<utc>-<pid>-<n>.parquet`, each complete or absent; processes may share it.

        A killed process may leave a hidden file that ends in `.partial`, which readers of the folder ignore.

        Args:
            path: The folder; made if it does not exist.
            share: The share of all entities to log, from 0 to 1.
            rows_per_file: How many vectors a file holds at most.
            seconds_per_file: How long a vector waits for others at most.
            most_pending: How many vectors may wait to be written, in all.

        Raises:
            MissingLibrary: pyarrow is not installed.
            RequestError: A number makes no sense.
        """
        return cls(
            ServedFiles(path),
            share=share,
            rows_per_batch=rows_per_file,
            seconds_per_batch=seconds_per_file,
            most_pending=most_pending,
        )

    @classmethod
    def to_table(
        cls,
        store: HasTables,
        name: str,
        *,
        share: float = SHARE,
        rows_per_batch: int = ROWS,
        seconds_per_batch: float = SECONDS,
        most_pending: int = MOST_PENDING,
    ) -> Self:
        """Log to a table of a project's warehouse, which the first batch creates; a transaction a batch.

        The columns are those of the files, but lists, structs, bytes and decimals of more than 38 digits are text. A
        card with other features needs another table. A DuckDB file is held alone by its writer, so that a folder is the
        better choice there: DuckDB reads its files as one table.

        Args:
            store: The `FeatureStore` of the project.
            name: The name of the table, with its schema: `"ml.served"`.
            share: The share of all entities to log, from 0 to 1.
            rows_per_batch: How many vectors a batch holds at most.
            seconds_per_batch: How long a vector waits for others at most.
            most_pending: How many vectors may wait to be written, in all.

        Raises:
            MissingLibrary: pyarrow is not installed.
            RequestError: A number or the name makes no sense.
        """
        return cls(
            store.served_table(name),
            share=share,
            rows_per_batch=rows_per_batch,
            seconds_per_batch=seconds_per_batch,
            most_pending=most_pending,
        )

    def __repr__(self) -> str:
        return f"ServedLog({self._sink!r}, share={self._share})"

    def __getstate__(self) -> dict[str, Any]:
        """Keep the configuration alone: pending vectors and counts stay with the original."""
        named = ("_sink", "_share", "_rows", "_seconds", "_most_pending")
        return {name: self.__dict__[name] for name in named}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def written(self) -> int:
        """How many vectors were written, by this process."""
        return self._writer.written

    @property
    def pending(self) -> int:
        """How many vectors wait to be written."""
        return self._writer.pending

    @property
    def dropped(self) -> int:
        """How many vectors were dropped: too many waited, or a value did not fit its type."""
        return self._writer.dropped

    @property
    def failed(self) -> int:
        """How often the sink failed."""
        return self._failed

    def add(self, vector: FeatureVector) -> None:
        """Log a vector if its entity is in the sample. Clients call it.

        Args:
            vector: A vector that was served just now.
        """
        if self._everything or vector.entity_hash() < self._end:
            # The keys are copied: callers may change their mapping before it is written.
            self._writer.append((time_ns() // _NANOSECONDS, {**vector.entity}, vector))

    def add_many(self, vectors: FeatureVectors) -> None:
        """Log those of many vectors whose entities are in the sample. Clients call it.

        Args:
            vectors: Vectors that were served just now.
        """
        if self._end:
            for each in vectors:
                self.add(each)

    def flush(self, timeout: float = _SECONDS_TO_FLUSH) -> bool:
        """Write what is pending now; returns False if some of it is not written.

        Args:
            timeout: Seconds to wait.
        """
        return self._writer.flush(timeout)

    def close(self, timeout: float = _SECONDS_TO_FLUSH) -> bool:
        """Flush and end the thread; the next vector starts another. Returns what `flush` does.

        Args:
            timeout: Seconds to wait.
        """
        return self._writer.close(timeout)

    def _prepare(self) -> None:
        self._end = round(self._share * HASHES)
        self._everything = self._end == HASHES
        self._failed = 0
        self._reported = ""
        self._writer = LogWriter(
            self._write,
            prepare=_import_pyarrow,
            batch_size=self._rows,
            seconds=self._seconds,
            most_pending=self._most_pending,
        )

    def _write(self, records: list[Any]) -> Outcome:
        """Write a batch to the sink; whatever it raises, its vectors wait for the next batch."""
        written, left, problem = 0, list[Served](), ""
        served = [Served(*each) for each in records]
        try:
            for group, table in served_tables(served, self._rows):
                if isinstance(table, RequestError):
                    problem = problem or f"a vector was dropped: {table}"
                    continue
                try:
                    self._sink(table)
                except Exception as failed:  # noqa: BLE001 - a sink may be anyone's
                    left += group
                    reason = str(failed) if isinstance(failed, FeatureSyncError) else repr(failed)
                    problem = f"{reason}; vectors wait, and up to {self._most_pending} are tried again"
                    self._failed += 1
                else:
                    written += len(group)
        except Exception as failed:  # noqa: BLE001 - a fault of ours ends neither the thread nor the service
            problem = f"vectors were dropped: {failed!r}"
        if problem and problem != self._reported:  # once, until a batch is written or another problem comes
            _LOG.warning("served vectors: %s", problem)
        self._reported = problem
        return Outcome(written, left)


_IMPORTING = Lock()
if hasattr(os, "register_at_fork"):  # a process that is forked amid an import could never import the module
    os.register_at_fork(
        before=_IMPORTING.acquire, after_in_parent=_IMPORTING.release, after_in_child=_IMPORTING.release
    )


def _import_pyarrow() -> None:
    """Import pyarrow ahead of the first batch, which may be that of the exit, when it could no longer be imported."""
    with _IMPORTING, suppress(ImportError):
        import pyarrow.parquet  # noqa: F401


def _checked(name: str, number: Any, least: float, most: float = float("inf")) -> float:
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if is_number and least <= number <= most and number != float("inf"):
        return float(number)
    raise RequestError(
        f"{name} is a number of at least {least:g}{f' and at most {most:g}' if most == 1 else ''}, and not {number!r}"
    )
