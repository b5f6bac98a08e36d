"""What a stream writes to the online store: rows that run ahead of the warehouse, each with its position.

For every key of a partition, the store holds the newest of two: the key's row in the last pushed snapshot, whose
watermark is W, and the key's stream rows at offsets >= W. A stream writer keeps no state of its own: it starts at W,
and goes back to W whenever the epoch changes. Writes are idempotent and commute, so that delivering a row twice, two
writers at once, and one that wakes up late do no harm.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


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
        """Read the watermark and the epoch; None before the first push of the view as a streamed one."""

    @abstractmethod
    def write(self, rows: Sequence[StreamedRow]) -> Streamed:
        """Write rows, each only if its offset is at or above the watermark and it is newer than what is there."""
