"""Counts what a stream did, and says so now and then."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic, time

_LOG = logging.getLogger(__name__)
SECONDS_PER_LINE = 10.0


@dataclass(slots=True, kw_only=True)
class StreamCounts:
    """What a stream did since it began.

    Args:
        feature_view: The reference of the view.
        messages: How many messages were read, replayed ones counted each time.
        applied: How many rows were written or deleted.
        seen: How many rows the warehouse had seen.
        older: How many rows were not newer than what Redis held.
        dead: How many messages could not be rows.
        returns: How often the stream went back to the watermark.
        last_message: The newest timestamp of a message, in milliseconds since 1970; None before the first.
        positions: By partition, the offset up to which all is written.
        lags: By partition of this process, how many messages are still to be read; looked up once a second.
        last_messages: By partition, the timestamp of the last message that was read, in milliseconds since 1970.
        began_at: When the stream began, in seconds since 1970.
        fine_at: When the online store last answered, in seconds since 1970; None before it has.
    """

    feature_view: str
    messages: int = 0
    applied: int = 0
    seen: int = 0
    older: int = 0
    dead: int = 0
    returns: int = 0
    last_message: int | None = None
    positions: Mapping[int, int] = field(default_factory=dict)
    lags: Mapping[int, int] = field(default_factory=dict)
    last_messages: dict[int, int] = field(default_factory=dict)
    began_at: float = field(default_factory=time)
    fine_at: float | None = None

    def seconds_behind(self, partition: int) -> float | None:
        """Return the age of a partition's last message read, 0 if none waits behind it; None if that is unknown."""
        if not self.lags.get(partition, 0):
            return 0.0
        last = self.last_messages.get(partition)
        return None if last is None else max(0.0, time() - last / 1_000)


class StreamLog:
    """Writes a line every ten seconds in which something happened, and a last one."""

    def __init__(self, counts: StreamCounts) -> None:
        self._counts = counts
        self._said_at, self._said = monotonic(), 0

    @property
    def is_due(self) -> bool:
        """True if it is time for a line."""
        return self._counts.messages > self._said and monotonic() - self._said_at >= SECONDS_PER_LINE

    def say(self, event: str = "streamed") -> None:
        """Write a line."""
        counts, now = self._counts, monotonic()
        fields = {
            "feature_view": counts.feature_view,
            "messages": counts.messages,
            "applied": counts.applied,
            "dead_letters": counts.dead,
            "messages_per_second": round((counts.messages - self._said) / max(now - self._said_at, 0.001)),
            "messages_behind": sum(counts.lags.values()) if counts.lags else None,
        }
        _LOG.info(event, extra={name: value for name, value in fields.items() if value is not None})
        self._said_at, self._said = now, counts.messages
