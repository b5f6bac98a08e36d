"""The online store's side of a push: sets its mark, writes rows, deletes keys, sets the mark to done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import OnlineView, ViewWriter
from feature_sync.online.codec import RowSchema
from feature_sync.online.marks import Mark
from feature_sync.online.rows import BYTES_PER_ENTRY, Row, RowEncoder
from feature_sync.online.streams import SnapshotWriter
from feature_sync.spill import KeySpill

Batches = Iterator[Sequence[Sequence[Any]]]
"""Batches of rows, each a sequence of columns."""


@dataclass(slots=True)
class Sent:
    """What was sent: rows written and deleted, and the bytes of the keys and values written.

    Of those written, `ahead` kept a newer row, or a deletion, of the view's stream. Of a dry run, `shard_bytes` is an
    estimate of the memory that each primary of a cluster needs, by its address.
    """

    written: int = 0
    deleted: int = 0
    bytes: int = 0
    ahead: int = 0
    shard_bytes: dict[str, int] = field(default_factory=dict)


def send_rows(
    view: OnlineView,
    writer: ViewWriter,
    mark: Mark,
    schema: RowSchema,
    rows: Batches,
    removed: Batches | None,
    *,
    encoder: RowEncoder,
    progress: Callable[[int], None],
    stopped: Callable[[], bool],
    is_begun: bool = False,
) -> Sent:
    """Write the rows, and delete others: those of `removed`, or every key that is not among the rows.

    Args:
        view: The view in the online store.
        writer: Holds the lease of the view.
        mark: The mark of this push.
        schema: The schema of the rows.
        rows: Join keys, event timestamp and end of validity in microseconds UTC, features.
        removed: Join keys of rows to delete; None to delete the keys that `rows` does not have.
        encoder: Encodes rows of the schema.
        progress: Called with the number of rows written so far.
        stopped: Ends the push when it returns True.
        is_begun: True if the writer has begun already.

    Raises:
        LeaseLost: Another push has taken over.
        OnlineStoreError: The store failed, or the push was stopped.
        OutputError: Temporary files cannot be written.
    """
    sent = Sent()
    with KeySpill() as held, KeySpill() as ours:
        if not is_begun:
            writer.begin(mark, schema)
        if removed is None:  # before the first write: if Redis holds no row yet, no key needs to be spilled
            for keys in view.row_keys():
                held.add(keys)
        batches = encoded(rows, encoder, sent, ours if held.count else None)
        writer.write(watched(batches, sent, progress, stopped))
        # After the writes: only then does `ours` hold all keys.
        gone = held.minus(ours) if removed is None else (key for batch in removed for key in encoder.keys(batch))
        sent.deleted = writer.delete(gone)
        writer.finish(mark, schema, is_only=removed is None)
    return sent


def repair_slots(
    view: OnlineView,
    writer: ViewWriter | SnapshotWriter,
    lost: Collection[int],
    rows: Batches,
    sent: Sent,
    *,
    encoder: RowEncoder,
) -> None:
    """Write all committed rows of some slots of a cluster, and delete the keys there that are not among them.

    To be done before changes are sent: the rows are those from which the changes lead to the new ones.

    Args:
        view: The view in the online store.
        writer: Holds the lease of the view, and has marked the slots.
        lost: The slots.
        rows: All rows of the view.
        sent: What was sent before; is added to.
        encoder: Encodes rows of the schema.
    """
    with KeySpill() as held, KeySpill() as ours:
        for keys in view.row_keys():
            held.add([key for key in keys if view.slot(key) in lost])
        writer.write(_of_slots(encoded(rows, encoder, Sent(), None), view, lost, ours, sent))
        sent.deleted += writer.delete(held.minus(ours))


def _of_slots(
    batches: Iterator[Sequence[Row]], view: OnlineView, slots: Collection[int], spill: KeySpill, sent: Sent
) -> Iterator[Sequence[Row]]:
    """Yield the rows of some slots, count them in `sent`, and add their keys to `spill`."""
    for batch in batches:
        if found := [row for row in batch if view.slot(row[0]) in slots]:
            spill.add([key for key, _, _ in found])
            sent.written += len(found)
            sent.bytes += sum([len(key) + len(value) for key, value, _ in found])
            yield found


def count_rows(view: OnlineView, encoder: RowEncoder, rows: Batches, *, is_full: bool) -> Sent:
    """Count what `send_rows` would send, and send nothing.

    Args:
        view: The view in the online store.
        encoder: Encodes rows.
        rows: As for `send_rows`.
        is_full: True to count keys to delete, too: those that `rows` does not have.
    """
    sent = Sent()
    with KeySpill() as held, KeySpill() as ours:
        for keys in view.row_keys() if is_full else ():
            held.add(keys)
        for batch in encoded(rows, encoder, sent, ours if held.count else None):
            for key, value, _ in batch:
                if (shard := view.shard(key)) is not None:
                    needed = len(key) + len(value) + BYTES_PER_ENTRY
                    sent.shard_bytes[shard] = sent.shard_bytes.get(shard, 0) + needed
        sent.deleted = sum(1 for _ in held.minus(ours))
    return sent


def watched(
    batches: Iterator[Sequence[Row]], sent: Sent, progress: Callable[[int], None], stopped: Callable[[], bool]
) -> Iterator[Sequence[Row]]:
    """Pass batches on, and report progress; raises OnlineStoreError if the push is stopped."""
    for batch in batches:
        if stopped():
            raise OnlineStoreError("stopped; nothing of this push is committed, push again")
        yield batch
        progress(sent.written)


def encoded(rows: Batches, encoder: RowEncoder, sent: Sent, spill: KeySpill | None) -> Iterator[Sequence[Row]]:
    """Encode rows, count them in `sent`, and add their keys to `spill` if one is given."""
    for batch in rows:
        found = list(encoder.encode(batch))
        if spill is not None:
            spill.add([key for key, _, _ in found])
        sent.written += len(found)
        sent.bytes += sum([len(key) + len(value) for key, value, _ in found])
        yield found
