"""What a view's stream keeps in each hash slot of a cluster, and how it is read as one.

Each slot has a stream and a journal of its own, which hold for the rows of that slot alone: a failover of one node then
takes nothing with it of which another knows. Their names end with a tag that puts them into the slot.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from feature_sync.online.keys import ViewKeys
from feature_sync.online.redis.cluster_reader import ClusterReader
from feature_sync.online.redis.cluster_scripts import command
from feature_sync.online.redis.stream_record import read_record
from feature_sync.online.slots import SLOTS, slot_of, tags
from feature_sync.online.streams import Delivery, Position, Snapshot, StreamRecord, read_position

_KEYS_PER_SCAN = 1_000
_SLOTS_PER_SCAN = 256


class StreamKeys:
    """The keys of a view's stream in all slots."""

    def __init__(self, keys: ViewKeys) -> None:
        """Name them."""
        self._stream, self._journal = (f"{name}:".encode() for name in (keys.stream, keys.journal))

    def stream(self, slot: int) -> bytes:
        """Return the key of the slot's stream."""
        return b"%b{%b}" % (self._stream, tags()[slot])

    def journal(self, slot: int) -> bytes:
        """Return the key of the slot's journal."""
        return b"%b{%b}" % (self._journal, tags()[slot])


def read_records(
    reader: ClusterReader, keys: StreamKeys, slots: Sequence[int] = range(SLOTS)
) -> list[StreamRecord | None]:
    """Read the records of slots, without what is ahead; None of a slot that has none.

    Raises:
        OnlineStoreError: One is not what a push writes, or Redis failed.
    """
    found = reader.run([command(keys.stream(slot), "HGETALL") for slot in slots])
    return [
        read_record(dict(zip(each[::2], each[1::2], strict=True)), keys.stream(slot).decode())
        for slot, each in zip(slots, found, strict=True)
    ]


def as_one(records: Sequence[StreamRecord | None], *, ahead: int = 0) -> StreamRecord | None:
    """Return the record of a view from those of its slots; None if no slot has one.

    Where slots differ, as a push leaves them that was cut off, it claims the least: rows are seen if they are in every
    slot. A slot without a record, which its node has lost, has seen nothing. The topic is empty if they have several.
    """
    known = [each for each in records if each is not None]
    if not known:
        return None
    snapshots = list(dict.fromkeys(_frozen(each.snapshot) for each in known))
    partitions = {partition for _, watermark, _ in snapshots for partition, _ in watermark}
    watermarks = [dict(watermark) for _, watermark, _ in snapshots] + [{}] * (len(known) < len(records))
    topics, epochs = {topic for topic, _, _ in snapshots}, {each.epoch for each in known}
    deliveries: dict[int, Delivery] = {}
    for partition, delivery in (pair for each in known for pair in each.deliveries.items()):
        before = deliveries.get(partition, delivery)
        deliveries[partition] = max(before, delivery)._replace(at=max(before.at, delivery.at))  # the furthest offset
    return StreamRecord(
        snapshot=Snapshot(
            topic=topics.pop() if len(topics) == 1 else "",
            watermark={each: min(one.get(each, 0) for one in watermarks) for each in partitions},
            until=min(until for _, _, until in snapshots),
        ),
        epoch=epochs.pop() if len(epochs) == 1 else "",
        is_closed=any(each.is_closed for each in known),
        deliveries=deliveries,
        ahead=ahead,
    )


def _frozen(snapshot: Snapshot) -> tuple[str, tuple[tuple[int, int], ...], int]:
    return snapshot.topic, tuple(sorted(snapshot.watermark.items())), snapshot.until


def count_ahead(reader: ClusterReader, keys: StreamKeys) -> int:
    """Return the number of entries in all journals."""
    return sum(reader.run([command(keys.journal(slot), "HLEN") for slot in range(SLOTS)]))


def read_positions(reader: ClusterReader, keys: StreamKeys, rows: Sequence[bytes]) -> list[Position | None]:
    """Return the positions of rows or deletions that the stream wrote last; None of other keys."""
    found = reader.run([command(keys.journal(slot_of(row)), "HGET", row) for row in rows])
    return [None if each is None else read_position(each) for each in found]


def journal_entries(reader: ClusterReader, keys: StreamKeys) -> Iterator[list[tuple[bytes, Position]]]:
    """Yield row key and position of every entry of all journals, in batches; an entry may come twice.

    Raises:
        OnlineStoreError: Slots move all the time, or Redis failed.
    """
    return reader.unmoved(lambda: _scan(reader, keys))


def _scan(reader: ClusterReader, keys: StreamKeys) -> Generator[list[tuple[bytes, Position]], None, bool]:
    """Scan all journals once; returns True if none took several requests: a cursor means nothing to another node."""
    at_once = True
    for first in range(0, SLOTS, _SLOTS_PER_SCAN):
        cursors = dict.fromkeys(range(first, first + _SLOTS_PER_SCAN), b"0")
        while cursors:
            scans = [
                command(keys.journal(slot), "HSCAN", at, "COUNT", str(_KEYS_PER_SCAN)) for slot, at in cursors.items()
            ]
            replies = zip([*cursors], reader.run(scans), strict=True)
            cursors, found = {}, []
            for slot, (cursor, pairs) in replies:
                if cursor != b"0":
                    cursors[slot], at_once = cursor, False
                found += [(row, read_position(at)) for row, at in zip(pairs[::2], pairs[1::2], strict=True)]
            if found:
                yield found
    return at_once
