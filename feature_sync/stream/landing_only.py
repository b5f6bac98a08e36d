"""Lands messages before the first push of a view: there is nothing to push until they are landed and built."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from feature_sync.stream.landing import Landing
from feature_sync.stream.source import Source

_LOG = logging.getLogger(__name__)
_MOST_MESSAGES = 2_000
_SECONDS_TO_POLL = 0.2
_SECONDS_TO_ASK = 1.0


def land_until_pushed(
    source: Source, landing: Landing, is_pushed: Callable[[], bool], *, view: str, until_end: bool
) -> int:
    """Land messages from where the warehouse ends; returns how many were read. All of them are landed then.

    Args:
        source: Where messages come from; it was not started yet.
        landing: Where they go.
        is_pushed: True once the view was pushed.
        view: The reference of the view, for the log.
        until_end: Also end when all messages that there were are landed.

    Raises:
        StreamError: The source cannot be read.
        WarehouseError: The warehouse did not take messages within a minute.
    """
    if is_pushed():
        return 0
    _LOG.warning("landing only, until the first push of %s as a streamed view: build it, and feature-sync push", view)
    read, asked_at = dict(landing.ends), monotonic()
    count = 0
    source.start(lambda: read)
    while True:
        messages = source.poll(_MOST_MESSAGES, _SECONDS_TO_POLL)
        if messages:
            landing.land(messages, read)
            read.update({each.partition: each.offset + 1 for each in messages})
            count += len(messages)
        if monotonic() - asked_at >= _SECONDS_TO_ASK or (not messages and until_end):
            asked_at = monotonic()
            if is_pushed() or (until_end and not messages and source.is_at_end):
                landing.flush()
                return count
