"""The clock: a command reads the current time once, and everything it does happens at that moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from feature_sync.errors import RequestError
from feature_sync.value_types import as_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The moment that a command takes as the current time, in UTC, and whether it is fixed by the user."""

    now: datetime
    is_fixed: bool


def read_clock(as_of: datetime | None) -> Clock:
    """Return a clock fixed at a moment in UTC; without one, a clock that holds the real time."""
    return Clock(now=as_of or datetime.now(UTC), is_fixed=as_of is not None)


def read_as_of(as_of: str | datetime | None) -> datetime | None:
    """Parse the moment of a request's `--as-of`, in UTC; None if it has none.

    Raises:
        RequestError: It is not in ISO 8601, or outside the years 1 to 9999.
    """
    return None if as_of is None else read_moment(as_of, "--as-of")


def read_moment(moment: str | date, source: str) -> datetime:
    """Convert to an aware datetime in UTC; a moment without a time zone is in UTC already, a date is its midnight.

    Args:
        moment: Text in ISO 8601, a date, or a datetime, also pandas' own kind.
        source: The option or variable that holds it, for the error.

    Raises:
        RequestError: It is not in ISO 8601, or outside the years 1 to 9999.
    """
    try:
        return as_utc(_plain(moment))
    except OverflowError as beyond:
        raise RequestError(f"{source}: {moment!s} is outside the years 1 to 9999 in UTC") from beyond
    except (TypeError, ValueError) as wrong:
        raise RequestError(f"{source}: {moment!r} is not a moment; write one such as 2013-01-31T17:00:00Z") from wrong


def _plain(moment: str | date) -> datetime:
    """Return Python's own datetime, also of a subclass such as pandas', which no encoder knows."""
    if isinstance(moment, datetime):
        return datetime.combine(moment.date(), moment.timetz())
    return datetime.combine(moment, time()) if isinstance(moment, date) else datetime.fromisoformat(moment)
