"""Redis's side of a push: mark it as begun, write rows, delete keys, mark it as done; all under the view's lease."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from feature_sync.errors import OnlineStoreError
from feature_sync.online.codec import Schema
from feature_sync.online.lease import Lease
from feature_sync.online.marks import DONE, SENDING, Mark
from feature_sync.online.redis import OnlineStore, mark_key, schema_key, views_key
from feature_sync.online.rows import RowEncoder
from feature_sync.online.writer import Row
from feature_sync.spill import KeySpill

Batches = Iterator[Sequence[Sequence[Any]]]
"""Batches of rows, column by column."""


@dataclass(slots=True)
class Sent:
    """What arrived; `bytes` are those of keys and values."""

    written: int = 0
    deleted: int = 0
    bytes: int = 0


class Sender:
    """Sends the pushes of one view."""

    def __init__(
        self,
        online: OnlineStore,
        lease: Lease,
        run_id: str,
        *,
        prefix: str,
        reference: str,
        progress: Callable[[int], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._online = online
        self._writer = online.writer(lease, run_id)
        self._view_prefix = lease.view_prefix
        self._views = views_key(prefix)
        self._reference = reference
        self._progress = progress
        self._stopped = stopped

    def check(self) -> None:
        """Check that no other push has taken over.

        Raises:
            LeaseLost: One has.
        """
        with self._online.translating():
            self._writer.change(lambda pipeline: None)

    def publish(self, schema: Schema, mark: Mark | None) -> None:
        """Publish the schema, and a mark if there is one: rows stay as they are, but their clock may move on."""

        def set_both(pipeline: Any) -> None:
            self._set_schema(pipeline, schema)
            if mark is not None:
                pipeline.set(mark_key(self._view_prefix), mark.to_json())

        with self._online.translating():
            self._writer.change(set_both)

    def send(self, mark: Mark, schema: Schema, encoder: RowEncoder, rows: Batches, removed: Batches | None) -> Sent:
        """Send the rows, and delete the keys of `removed`; where that is None, all keys that are not among the rows.

        Raises:
            LeaseLost: Another push has taken over.
            OnlineStoreError: Redis failed.
        """
        sent = Sent()
        with self._online.translating(), KeySpill() as there, KeySpill() as ours:
            self._writer.change(lambda pipeline: self._begin(pipeline, mark, schema))
            if removed is None:
                for keys in self._online.keys(self._view_prefix):
                    there.add(keys)
            encoded = _encoded(rows, encoder, sent, ours if there.count else None)
            self._writer.write(self._watched(encoded, sent))
            gone = there.minus(ours) if removed is None else (key for batch in removed for key in encoder.keys(batch))
            sent.deleted = self._writer.delete(gone)
            self._writer.change(lambda pipeline: self._end(pipeline, mark, schema, is_full=removed is None))
        return sent

    def _watched(self, batches: Iterator[Sequence[Row]], sent: Sent) -> Iterator[Sequence[Row]]:
        for batch in batches:
            if self._stopped():
                raise OnlineStoreError("stopped; nothing of this push is committed, the next one puts it right")
            yield batch
            self._progress(sent.written)

    def _begin(self, pipeline: Any, mark: Mark, schema: Schema) -> None:
        pipeline.set(mark_key(self._view_prefix), msgspec.structs.replace(mark, status=SENDING).to_json())
        pipeline.sadd(self._views, self._reference)
        self._set_schema(pipeline, schema)

    def _end(self, pipeline: Any, mark: Mark, schema: Schema, *, is_full: bool) -> None:
        if is_full:  # no row of another schema is left
            pipeline.delete(schema_key(self._view_prefix))
            self._set_schema(pipeline, schema)
        pipeline.set(mark_key(self._view_prefix), msgspec.structs.replace(mark, status=DONE).to_json())

    def _set_schema(self, pipeline: Any, schema: Schema) -> None:
        pipeline.hset(schema_key(self._view_prefix), schema.id, schema.to_json())


def count_only(online: OnlineStore, view_prefix: str, encoder: RowEncoder, rows: Batches, *, is_full: bool) -> Sent:
    """Count what `Sender.send` would send, and send nothing."""
    sent = Sent()
    with KeySpill() as there, KeySpill() as ours:
        for keys in online.keys(view_prefix) if is_full else ():
            there.add(keys)
        for _ in _encoded(rows, encoder, sent, ours if there.count else None):
            pass
        sent.deleted = sum(1 for _ in there.minus(ours))
    return sent


def _encoded(rows: Batches, encoder: RowEncoder, sent: Sent, spill: KeySpill | None) -> Iterator[Sequence[Row]]:
    """Encode rows, count them, and note their keys where some may have to be deleted."""
    for batch in rows:
        encoded = list(encoder.encode(batch))
        if spill is not None:
            spill.add([key for key, _, _ in encoded])
        sent.written += len(encoded)
        sent.bytes += sum([len(key) + len(value) for key, value, _ in encoded])
        yield encoded
