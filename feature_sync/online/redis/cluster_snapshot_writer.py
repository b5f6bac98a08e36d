"""Writes a pushed snapshot to a cluster beside a stream: what one script does on one server, in each slot by itself.

The snapshot is opened in all slots before the first row is written in any, and a new epoch begins in all after the last
and their marks. Between, slots differ; each row is compared with what its own slot has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice

from feature_sync.online.codec import RowSchema
from feature_sync.online.keys import ViewKeys
from feature_sync.online.redis.cluster_reader import ClusterReader
from feature_sync.online.redis.cluster_scripts import Call, Script, fenced, script_call
from feature_sync.online.redis.cluster_sender import ClusterSender
from feature_sync.online.redis.cluster_slots import SlotKeys
from feature_sync.online.redis.cluster_streams import StreamKeys, journal_entries
from feature_sync.online.redis.stream_record import snapshot_fields
from feature_sync.online.redis.stream_scripts import (
    CLOSE_PART,
    DELETE_PART,
    END_PART,
    OPEN_PART,
    PUBLISH_PART,
    REMOVE_PART,
    WRITE_PART,
)
from feature_sync.online.rows import Row
from feature_sync.online.slots import SLOTS, row_slots, slot_of
from feature_sync.online.streams import Snapshot, SnapshotWriter

_ROWS_AT_ONCE = 20_000
_ROWS_PER_CALL = 500
_WRITE, _DELETE, _OPEN, _END, _CLOSE, _REMOVE, _PUBLISH = map(
    fenced, (WRITE_PART, DELETE_PART, OPEN_PART, END_PART, CLOSE_PART, REMOVE_PART, PUBLISH_PART)
)


class ClusterSnapshotWriter(SnapshotWriter):
    """Writes while every slot's fence has this push's number, to the primaries at which the lease was taken."""

    def __init__(
        self,
        sending: Callable[[], AbstractContextManager[ClusterSender]],
        reader: ClusterReader,
        slots: SlotKeys,
        keys: ViewKeys,
        fence: bytes,
    ) -> None:
        """Prepare to write.

        Args:
            sending: Lends what sends to these primaries.
            reader: Reads from the nodes.
            slots: The view's keys and fields in the slots.
            keys: The other keys of the view.
            fence: The number of the lease.
        """
        self._sending = sending
        self._reader = reader
        self._slots = slots
        self._keys = keys
        self._streams = StreamKeys(keys)
        self._arguments = (slots.fence, fence)
        self._snapshot = Snapshot(topic="", watermark={}, until=0)

    def open(self, snapshot: Snapshot, schema: RowSchema) -> None:
        """See `SnapshotWriter`."""
        self._snapshot = snapshot
        schemas = self._keys.schemas
        slot = slot_of(schemas.encode())
        arguments = (*self._arguments, schema.id, schema.to_json())
        with self._sending() as sender:
            sender.run([script_call(_PUBLISH, slot, [self._slots.key(slot), schemas], arguments)])
        seen = (snapshot.topic.encode(), *snapshot_fields(snapshot))
        replies = self._everywhere(_OPEN, *seen, with_journals=False)
        others = [slot for slot, reply in enumerate(replies) if reply < 0]  # that have no stream of this topic
        self._everywhere(_OPEN, *seen, slots=others)

    def write(self, batches: Iterable[Sequence[Row]]) -> int:
        """See `SnapshotWriter`."""
        rows = (row for batch in batches for row in batch)
        return sum(self._in_slots(_WRITE, some) for some in iter(lambda: list(islice(rows, _ROWS_AT_ONCE)), []))

    def delete(self, keys: Iterable[bytes]) -> int:
        """See `SnapshotWriter`."""
        rows = ((key, b"", None) for key in keys)
        return sum(self._in_slots(_DELETE, some) for some in iter(lambda: list(islice(rows, _ROWS_AT_ONCE)), []))

    def seen(self) -> Iterator[list[bytes]]:
        """See `SnapshotWriter`."""
        for entries in journal_entries(self._reader, self._streams):
            if keys := [key for key, position in entries if self._snapshot.has_seen(position)]:
                yield keys

    def end(self) -> None:
        """See `SnapshotWriter`."""
        self._everywhere(_END, with_journals=False)

    def close_stream(self) -> None:
        """See `SnapshotWriter`."""
        self._everywhere(_CLOSE, with_journals=False)

    def remove_stream(self) -> None:
        """See `SnapshotWriter`."""
        self._everywhere(_REMOVE)

    def _everywhere(
        self, script: Script, *arguments: bytes, slots: Sequence[int] = range(SLOTS), with_journals: bool = True
    ) -> list[int]:
        """Run a script in slots.

        A slot that moves answers no call of which one key exists and another does not, as a journal may: what can do
        without journals goes on there.
        """
        with self._sending() as sender:
            return sender.run([self._call(script, slot, (), arguments, with_journal=with_journals) for slot in slots])

    def _in_slots(self, script: Script, rows: Sequence[Row]) -> int:
        """Run a script for rows, slot by slot, and return the sum of its replies."""
        groups: dict[int, list[Row]] = {}
        for slot, row in zip(row_slots(self._keys.rows.encode(), [key for key, _, _ in rows]), rows, strict=True):
            groups.setdefault(slot, []).append(row)
        with self._sending() as sender:
            return sum(sender.run([call for each in groups.items() for call in self._calls(script, *each)]))

    def _calls(self, script: Script, slot: int, rows: Sequence[Row]) -> Iterator[Call]:
        for at in range(0, len(rows), _ROWS_PER_CALL):
            some = rows[at : at + _ROWS_PER_CALL]
            content = [part for _, value, end in some for part in (value, b"" if end is None else b"%d" % end)]
            yield self._call(script, slot, [key for key, _, _ in some], content)

    def _call(
        self,
        script: Script,
        slot: int,
        rows: Sequence[bytes],
        arguments: Sequence[bytes],
        *,
        with_journal: bool = True,
    ) -> Call:
        journal = [self._streams.journal(slot)] if with_journal else []
        keys = [self._slots.key(slot), self._streams.stream(slot), *journal, *rows]
        return script_call(script, slot, keys, [*self._arguments, *arguments])
