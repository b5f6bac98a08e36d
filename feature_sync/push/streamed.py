"""The push of a view that a stream writes, too: what the stream wrote ahead stays, and what the push has seen goes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain, islice

from feature_sync.clock import Clock
from feature_sync.definitions import FeatureView
from feature_sync.errors import HeldBack, OnlineStoreError
from feature_sync.online.base import OnlineView, ServerState, ViewWriter
from feature_sync.online.codec import RowSchema
from feature_sync.online.marks import Mark
from feature_sync.online.rows import Row, RowEncoder
from feature_sync.online.stream_rows import streamed_schema
from feature_sync.online.streams import Snapshot
from feature_sync.push.sending import Batches, Sent, encoded, repair_slots, watched
from feature_sync.query_runner import QueryRunner
from feature_sync.spill import KeySpill
from feature_sync.sql.push.watermarks import watermark_name, watermark_rows
from feature_sync.value_types import MICROSECOND, to_microseconds

_KEYS_IN_MEMORY = 200_000
Unchanged = Callable[[], AbstractContextManager[Batches]]
"""Opens rows of the warehouse, in the form in which they are sent."""


def check_stream(view: FeatureView, server: ServerState, clock: Clock) -> None:
    """Check that clock and store go with the stream of a view, if it has one.

    Raises:
        OnlineStoreError: The clock is fixed, or the store may evict keys.
    """
    if view.stream is None:
        return
    if clock.is_fixed:
        raise OnlineStoreError(
            f"{view.reference} streams, and a stream writes what is true now: push it without a fixed clock (--as-of, "
            "or the dbt var feature_sync_as_of), or take `stream` out of the view"
        )
    if server.may_evict:  # not even with --allow-eviction: what the stream wrote ahead would be lost unnoticed
        raise OnlineStoreError(
            f"Redis may evict keys ({server.eviction_policy}), and {view.reference} streams, whose watermark and "
            "journal must not vanish; set noeviction"
        )


def read_snapshot(runner: QueryRunner, view: FeatureView, clock: Clock) -> Snapshot | None:
    """Read what the rows of a view have seen of its stream; None if it has none.

    To be called before the rows are read, or in their snapshot, so that what they have seen is never overstated.

    Raises:
        HeldBack: No build has noted it.
    """
    stream = view.stream
    if stream is None:
        return None
    schema, table = watermark_name(view, dialect=runner.dialect)
    if table not in runner.warehouse.tables(schema):
        raise HeldBack(
            f"it streams, and {schema}.{table} does not say which messages its rows have seen; add the hooks of "
            "docs/streaming.md to the model and build it again"
        )
    found = runner.fetch(watermark_rows(view, stream.topic, dialect=runner.dialect))
    lag = 0 if view.lag is None else view.lag // MICROSECOND
    watermark = {int(partition): int(first) for partition, first in found}
    return Snapshot(topic=stream.topic, watermark=watermark, until=to_microseconds(clock.now) - lag)


@contextmanager
def stream_closed(writer: ViewWriter, *, is_left: bool) -> Iterator[None]:
    """Keep stream writers out while all rows are sent, and remove the stream afterwards.

    Args:
        writer: Holds the lease of the view.
        is_left: True if the store holds a stream that the view no longer has; if not, nothing is done.
    """
    if not is_left:
        yield
        return
    beside = writer.beside_stream()
    beside.close_stream()  # if the push ends here, the next one finds the closed stream, and sends all rows again
    yield
    beside.remove_stream()


class StreamedSending:
    """Sends one push of a view that a stream writes, too."""

    def __init__(
        self,
        view: OnlineView,
        writer: ViewWriter,
        schema: RowSchema,
        snapshot: Snapshot,
        *,
        encoder: RowEncoder,
        stopped: Callable[[], bool],
    ) -> None:
        """Prepare to send.

        Args:
            view: The view in the online store.
            writer: Holds the lease of the view.
            schema: The schema of the rows.
            snapshot: What they have seen of the stream.
            encoder: Encodes rows of the schema.
            stopped: Ends the push when it returns True.
        """
        self._view, self._writer, self._schema, self._snapshot = view, writer, schema, snapshot
        self._encoder, self._stopped = encoder, stopped
        self._streamed = streamed_schema(schema)
        self._beside = writer.beside_stream()
        self._sent = Sent()
        self._is_full = False

    def begin(self, mark: Mark, lost: Collection[int], unchanged: Unchanged) -> None:
        """Set the mark, record what the snapshot has seen, and repair the lost slots of a cluster."""
        self._writer.begin(mark, self._schema, lost=lost)
        self._beside.open(self._snapshot, self._streamed)
        self._repair(lost, unchanged)

    def send(self, rows: Batches, removed: Batches | None, progress: Callable[[int], None]) -> None:
        """Write rows and delete others, as `send_rows` does, except where the stream is ahead; to be finished."""
        self._is_full = removed is None
        with KeySpill() as held, KeySpill() as ours:
            for keys in self._view.row_keys() if self._is_full else ():
                held.add(keys)
            batches = encoded(rows, self._encoder, self._sent, ours if held.count else None)
            self._sent.ahead = self._beside.write(watched(batches, self._sent, progress, self._stopped))
            gone = (
                held.minus(ours) if removed is None else (key for each in removed for key in self._encoder.keys(each))
            )
            self._sent.deleted += self._beside.delete(gone)

    def send_nothing(self, named: Mark | None, mark: Mark, lost: Collection[int], unchanged: Unchanged) -> Sent:
        """Record what the snapshot has seen, although no row has changed.

        Args:
            named: A mark to set; None if that in the store may stay.
            mark: The mark of the push that brought the rows.
            lost: Slots of a cluster that lack them.
            unchanged: Opens the rows.
        """
        self._writer.publish(self._schema, named)
        if lost:
            self._writer.mark_slots(mark, lost, are_done=False)
        self._beside.open(self._snapshot, self._streamed)
        self._repair(lost, unchanged)
        self._settle(unchanged)
        if lost:
            self._writer.mark_slots(mark, lost, are_done=True)
        self._beside.end()
        return self._sent

    def _repair(self, lost: Collection[int], unchanged: Unchanged) -> None:
        if lost:
            with unchanged() as rows:
                repair_slots(self._view, self._beside, lost, rows, self._sent, encoder=self._encoder)

    def finish(self, mark: Mark, unchanged: Unchanged | None) -> Sent:
        """Settle what the stream wrote, set the mark to done, and send writers back to the watermark.

        Args:
            mark: The mark of this push.
            unchanged: Opens the rows that did not change, and perhaps others; None if all rows were sent.
        """
        self._settle(unchanged)
        is_only = self._is_full and not self._sent.ahead  # rows that stayed may have an older schema of the stream
        self._writer.finish(mark, self._schema, is_only=is_only, streamed=self._streamed)
        self._beside.end()
        return self._sent

    def _settle(self, unchanged: Unchanged | None) -> None:
        """Undo what the stream wrote, the push has seen, and the warehouse did not keep: those rows did not change."""
        keys = chain.from_iterable(self._beside.seen())
        while chunk := set(islice(keys, _KEYS_IN_MEMORY)):
            if unchanged is not None:
                with unchanged() as rows:
                    self._beside.write(self._chosen(rows, chunk))
            self._sent.deleted += self._beside.delete(chunk)

    def _chosen(self, rows: Batches, chunk: set[bytes]) -> Iterator[Sequence[Row]]:
        """Yield the rows whose keys are in `chunk`, and take them out of it."""
        for batch in encoded(rows, self._encoder, Sent(), None):
            if self._stopped():
                raise OnlineStoreError("stopped; nothing of this push is committed, push again")
            if found := [row for row in batch if row[0] in chunk]:
                chunk.difference_update([key for key, _, _ in found])
                self._sent.written += len(found)
                yield found
