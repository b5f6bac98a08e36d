"""Moments and days as Python and Redis count them: microseconds and days since 1970, in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def as_utc(moment: datetime) -> datetime:
    """Read a moment in UTC; a naive one is taken to be in UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def moved(moment: datetime, *durations: timedelta) -> datetime | None:
    """Move a moment on by durations, or back by negative ones; None beyond the years 1 to 9999."""
    try:
        return sum(durations, timedelta(0)) + moment
    except OverflowError:
        return None


def seen_in(moment: datetime, zone: tzinfo) -> datetime | None:
    """Read a moment on a zone's clocks; None where these show a time beyond the years 1 to 9999."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return None


def since_epoch(microseconds: int | None) -> datetime | None:
    """Read a count of microseconds since 1970 as a moment in UTC; None for none, and beyond the years 1 to 9999."""
    try:
        return None if microseconds is None else from_microseconds(microseconds)
    except OverflowError:
        return None


def to_microseconds(moment: datetime) -> int:
    """Count the microseconds since 1970 of an aware moment."""
    return (moment - EPOCH) // MICROSECOND


def from_microseconds(count: int) -> datetime:
    """Return the aware moment, in UTC, of a count of microseconds since 1970.

    Raises:
        OverflowError: It is beyond the years 1 to 9999.
    """
    return EPOCH + timedelta(microseconds=count)


def clock_from_microseconds(count: int) -> datetime:
    """Return what a clock without a zone shows that many microseconds after it showed the beginning of 1970."""
    return from_microseconds(count).replace(tzinfo=None)


def from_days(count: int) -> date:
    """Return the date of a count of days since 1970."""
    return (EPOCH + timedelta(days=count)).date()


def to_days(day: date) -> int:
    """Count the days since 1970 of a date."""
    return (day - EPOCH.date()).days
