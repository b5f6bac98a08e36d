"""What a stream writes to the online store: rows that run ahead of the warehouse, each with its position.

For every key of a partition, the store holds the newest of two: the key's row in the last pushed snapshot, whose
watermark is W, and the key's stream rows that this snapshot has not seen: those at offsets >= W, and those whose event
timestamp was still to come when it was taken. A stream writer keeps no state of its own: it starts at W, and goes back
to W whenever the epoch changes. Writes are idempotent and commute, so that delivering a row twice, two writers at once,
and one that wakes up late do no harm.

The journal of a view names the keys that the stream wrote last, with the positions of those rows; a deletion, too, so
that neither an older row nor a push that has not seen it brings the row back. A push that writes a key takes it out.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from feature_sync.online.codec import RowSchema
from feature_sync.online.rows import Row

_POSITION = struct.Struct(">QIQ")
_SIGN = 1 << 63
POSITION_BYTES = _POSITION.size


class StreamedRow(NamedTuple):
    """A row of a stream; of two with one key, the larger (event timestamp, partition, offset) is the newer.

    Attributes:
        key: The row key, of `OnlineView.key_writer`.
        value: The values as bytes, of the stream encoder of the view; None deletes the row.
        expires_at: The millisecond since 1970 in UTC at which the row expires; None if it never does.
        event_timestamp: Microseconds since 1970 in UTC.
        partition: The partition of the topic, from 0.
        offset: The offset in the partition, from 0, below 2 ** 63.
    """

    key: bytes
    value: bytes | None
    expires_at: int | None
    event_timestamp: int
    partition: int
    offset: int


class Position(NamedTuple):
    """Where a row stands in its stream; the larger is the newer. As bytes, positions keep that order."""

    event_timestamp: int
    partition: int
    offset: int

    def pack(self) -> bytes:
        """Return the 20 bytes of a position: event timestamp plus 2 ** 63, partition and offset, the highest first.

        >>> Position(-1, 2, 3).pack().hex()
        '7fffffffffffffff000000020000000000000003'
        """
        return _POSITION.pack(self.event_timestamp + _SIGN, self.partition, self.offset)


def pack_positions(event_timestamps: Sequence[int], partitions: Sequence[int], offsets: Sequence[int]) -> list[bytes]:
    """Pack positions column by column, in half the time of `Position.pack`."""
    pack = _POSITION.pack
    places = zip(event_timestamps, partitions, offsets, strict=True)
    return [pack(moment + _SIGN, partition, offset) for moment, partition, offset in places]


def read_position(packed: bytes) -> Position:
    """Read the bytes of a position.

    Raises:
        ValueError: They are not 20.
    """
    if len(packed) != POSITION_BYTES:
        raise ValueError(f"a position of {len(packed)} bytes, not {POSITION_BYTES}")
    moment, partition, offset = _POSITION.unpack(packed)
    return Position(moment - _SIGN, partition, offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """Where a stream writer stands.

    Args:
        watermark: By partition, the first offset that the last pushed snapshot has not seen; a partition that is not
            named has been seen from nowhere: 0.
        epoch: Changes with every push that ended, and whenever the store may have lost writes: then writers go back to
            the watermark.
    """

    watermark: Mapping[int, int]
    epoch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the rows of a push have seen of the stream.

    Args:
        topic: The topic of the stream.
        watermark: As in `StreamState`.
        until: The latest event timestamp that could answer at the push's clock, in microseconds UTC: that moment less
            the view's lag.
    """

    topic: str
    watermark: Mapping[int, int]
    until: int

    def has_seen(self, position: Position) -> bool:
        """True if the row at a position was there to be seen, so that the snapshot's own answer counts."""
        return position.event_timestamp <= self.until and position.offset < self.watermark.get(position.partition, 0)


class Delivery(NamedTuple):
    """The last row of one partition that a stream writer brought, whether or not it was newer than what was there.

    Attributes:
        offset: Its offset.
        event_timestamp: Microseconds since 1970 in UTC.
        at: When it came, by the store's clock.
    """

    offset: int
    event_timestamp: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecord:
    """What the store records of the stream of a view.

    Args:
        snapshot: Of the push that ended last, or that is under way.
        epoch: As in `StreamState`; empty until a push ends.
        is_closed: True while the stream is being ended: no writer writes any more.
        deliveries: By partition, the last row that came.
        ahead: The number of keys in the journal: rows, or deletions, that the warehouse has not answered yet.
    """

    snapshot: Snapshot
    epoch: str
    is_closed: bool = False
    deliveries: Mapping[int, Delivery] = field(default_factory=dict)
    ahead: int = 0

    @property
    def messages_ahead(self) -> int:
        """How many messages, up to the last that came, the last pushed snapshot has not seen."""
        first = self.snapshot.watermark
        return sum(max(0, last.offset + 1 - first.get(each, 0)) for each, last in self.deliveries.items())

    @property
    def last(self) -> Delivery | None:
        """The row that came last; None if none has come."""
        return max(self.deliveries.values(), key=lambda each: each.at, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """What became of the rows of one call of `StreamWriter.write`.

    Args:
        applied: How many rows were written or deleted.
        seen: How many the warehouse has seen: below the watermark.
        older: How many were not newer than what the store holds.
        epoch: The epoch while they were written; if it is not that of the state last read, read it again and go back.
    """

    applied: int
    seen: int
    older: int
    epoch: str


class StreamWriter(ABC):
    """Writes the rows of a stream to one view; it holds no lease, and as many as like may write at once.

    Raises:
        OnlineStoreError: From every method: the store failed. Then read the state again, and go back to its watermark.
    """

    @abstractmethod
    def state(self) -> StreamState | None:
        """Read the watermark and the epoch; None before the first push of the view with this topic."""

    @abstractmethod
    def write(self, rows: Sequence[StreamedRow]) -> Streamed:
        """Write rows, each only if its offset is at or above the watermark and it is newer than what is there."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; the next call opens another."""


class SnapshotWriter(ABC):
    """Writes a pushed snapshot to a view that a stream writes, too; under the push's fence, as `ViewWriter` does.

    A key keeps what the stream wrote, a row or a deletion, if the snapshot has not seen it and its own row is older.

    Raises:
        LeaseLost: From every method: another push has taken over.
        OnlineStoreError: From every method: the store failed, or was restarted or emptied since the lease was taken.
    """

    @abstractmethod
    def open(self, snapshot: Snapshot, schema: RowSchema) -> None:
        """Record what the snapshot has seen; from now on the stream writes nothing of that. Before any row is written.

        Where the topic was another, all that is known of its messages is dropped; a push of all rows follows.

        Args:
            snapshot: What the snapshot has seen.
            schema: The schema of streamed rows, to be stored.
        """

    @abstractmethod
    def write(self, batches: Iterable[Sequence[Row]]) -> int:
        """Write rows; returns how many keys kept what the stream wrote."""

    @abstractmethod
    def delete(self, keys: Iterable[bytes]) -> int:
        """Delete rows, unless the stream wrote them unseen; returns how many existed and are gone."""

    @abstractmethod
    def seen(self) -> Iterator[list[bytes]]:
        """Find the keys that the stream wrote last, by rows that the snapshot has seen; in batches.

        After all changed rows are written, these are the keys whose rows did not change in the warehouse, and which
        must become them again. A key may come twice.
        """

    @abstractmethod
    def end(self) -> None:
        """Begin a new epoch, so that writers go back to the watermark; after the last row."""

    @abstractmethod
    def close_stream(self) -> None:
        """Let no stream writer write any more; to be followed by writes of all rows, and `remove_stream`."""

    @abstractmethod
    def remove_stream(self) -> None:
        """Remove all records of the stream; rows stay."""
