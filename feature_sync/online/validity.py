"""Computes in Python when a row stops answering; `sql/validity.py` holds the same rule in SQL.

A row answers while its age is at most the TTL, and before its end. All times are microseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

_MICROSECONDS = 1_000


def last_answer(event_timestamp: int | None, end: int | None, ttl: int | None) -> int | None:
    """Return the last microsecond at which a row answers; None if it always does.

    Args:
        event_timestamp: Of the row, in microseconds UTC; None in a view without event timestamps.
        end: When the row ends, with its view's lag added, in microseconds UTC; None if it does not.
        ttl: How old the row may be, in microseconds; None for any age.
    """
    lasts = [] if end is None else [end - 1]
    if ttl is not None and event_timestamp is not None:
        lasts.append(event_timestamp + ttl)
    return min(lasts, default=None)


def expiries(
    event_timestamps: Sequence[int], ends: Sequence[int | None], *, ttl: int | None, lag: int
) -> Iterator[int | None]:
    """Return for each row the millisecond since 1970 in UTC at which Redis expires it; None if it never does.

    Rounds up to whole milliseconds, so that no row expires before its last answer.

    Args:
        event_timestamps: Of the rows, in microseconds UTC; unused without a TTL.
        ends: When each row ends, in microseconds UTC without the lag; None if it does not.
        ttl: How old a row may be, in microseconds; None for any age.
        lag: How much longer than its end a row answers, in microseconds.
    """
    if any(end is not None for end in ends):
        return (_expiry(moment, end, ttl, lag) for moment, end in zip(event_timestamps, ends, strict=True))
    if ttl is None:
        return repeat(None)
    return (-(-(moment + ttl) // _MICROSECONDS) for moment in event_timestamps)


def _expiry(event_timestamp: int, end: int | None, ttl: int | None, lag: int) -> int | None:
    moments = [] if ttl is None else [event_timestamp + ttl]
    if end is not None:
        moments.append(end + lag)
    return -(-min(moments) // _MICROSECONDS) if moments else None
