"""The clock: a command reads now once, and everything it does happens at that moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from feature_sync.errors import RequestError
from feature_sync.value_types import as_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The moment that a command calls now, in UTC, and whether it is fixed."""

    now: datetime
    is_fixed: bool


def read_clock(as_of: datetime | None) -> Clock:
    """Fix the clock at a moment in UTC; without one, read the real clock."""
    return Clock(now=as_of or datetime.now(UTC), is_fixed=as_of is not None)


def read_as_of(as_of: str | datetime | None) -> datetime | None:
    """Read the moment that a request calls now, in UTC; None where it names none.

    Raises:
        RequestError: It is not written in ISO 8601, or lies beyond the years 1 to 9999.
    """
    return None if as_of is None else read_moment(as_of, "--as-of")


def read_moment(moment: str | date, source: str) -> datetime:
    """Read a moment in UTC; one without a zone is in UTC already, and a date is its midnight.

    Args:
        moment: Text in ISO 8601, a date, or a datetime, also pandas' own kind.
        source: Where it was written.

    Raises:
        RequestError: It is not written in ISO 8601, or lies beyond the years 1 to 9999.
    """
    try:
        return as_utc(_plain(moment))
    except OverflowError as beyond:
        raise RequestError(f"{source}: {moment!s} lies beyond the years 1 to 9999 in UTC") from beyond
    except (TypeError, ValueError) as wrong:
        raise RequestError(f"{source}: {moment!r} is no moment; write one such as 2013-01-31T17:00:00Z") from wrong


def _plain(moment: str | date) -> datetime:
    """Make Python's own datetime of subclasses too, such as pandas', which no encoder knows."""
    if isinstance(moment, datetime):
        return datetime.combine(moment.date(), moment.timetz())
    return datetime.combine(moment, time()) if isinstance(moment, date) else datetime.fromisoformat(moment)
