"""Counts what a stream did, and says so now and then."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

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
        lag: How many messages are still to be read; None if that is unknown.
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
    lag: int | None = None


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
            "messages_behind": counts.lag,
        }
        _LOG.info(event, extra={name: value for name, value in fields.items() if value is not None})
        self._said_at, self._said = now, counts.messages
