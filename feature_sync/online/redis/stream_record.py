"""Reads and writes the hash in which Redis records a stream."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.stream_scripts import CAME, EPOCH, SEEN, TOPIC, UNTIL
from feature_sync.online.streams import POSITION_BYTES, Delivery, Position, Snapshot, StreamRecord, read_position

_OFFSET_BYTES = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_record(fields: Mapping[bytes, bytes], key: str, *, ahead: int = 0) -> StreamRecord | None:
    """Read the hash of a stream; None if there is none.

    Args:
        fields: The hash.
        key: Its Redis key, for the error.
        ahead: The size of the journal.

    Raises:
        OnlineStoreError: It is not what a push writes.
    """
    if not fields:
        return None
    try:
        seen = {int(name[len(SEEN) :]): value for name, value in fields.items() if name.startswith(SEEN)}
        came = {int(name[len(CAME) :]): value for name, value in fields.items() if name.startswith(CAME)}
        until = read_position(fields[UNTIL] + bytes(POSITION_BYTES - _OFFSET_BYTES)).event_timestamp
        return StreamRecord(
            snapshot=Snapshot(
                topic=fields[TOPIC].decode(),
                watermark={each: int.from_bytes(first) for each, first in seen.items()},
                until=until,
            ),
            epoch=fields.get(EPOCH, b"").decode(),
            is_closed=EPOCH not in fields,
            deliveries={each: _delivery(content) for each, content in came.items()},
            ahead=ahead,
        )
    except (KeyError, ValueError, OverflowError) as unreadable:
        raise OnlineStoreError(
            f"{key} in Redis cannot be read ({unreadable}); delete it and push again: feature-sync push --full-refresh"
        ) from unreadable


def snapshot_fields(snapshot: Snapshot) -> list[bytes]:
    """Return the fields and values by which Redis records what a snapshot has seen."""
    until = Position(snapshot.until, 0, 0).pack()[:_OFFSET_BYTES]
    seen = [(SEEN + b"%d" % each, first.to_bytes(_OFFSET_BYTES)) for each, first in sorted(snapshot.watermark.items())]
    return [UNTIL, until, *(part for pair in seen for part in pair)]


def _delivery(content: bytes) -> Delivery:
    position = read_position(content[:POSITION_BYTES])
    at = _EPOCH + timedelta(milliseconds=int(content[POSITION_BYTES:]))
    return Delivery(position.offset, position.event_timestamp, at)
