"""Conversions between datetimes and what Redis holds: microseconds and days since 1970, in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def as_utc(moment: datetime) -> datetime:
    """Convert a moment to UTC; a naive one is read as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def moved(moment: datetime, *durations: timedelta) -> datetime | None:
    """Move a moment forward by durations, or back by negative ones; None beyond the years 1 to 9999."""
    try:
        return sum(durations, timedelta(0)) + moment
    except OverflowError:
        return None


def in_zone(moment: datetime, zone: tzinfo) -> datetime | None:
    """Convert a moment to a zone; None if its wall clock there is beyond the years 1 to 9999."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return None


def since_epoch(microseconds: int | None) -> datetime | None:
    """Convert microseconds since 1970 to a moment in UTC; None for None and beyond the years 1 to 9999."""
    try:
        return None if microseconds is None else from_microseconds(microseconds)
    except OverflowError:
        return None


def to_microseconds(moment: datetime) -> int:
    """Convert an aware moment to microseconds since 1970."""
    return (moment - EPOCH) // MICROSECOND


def from_microseconds(count: int) -> datetime:
    """Convert microseconds since 1970 to an aware moment in UTC.

    Raises:
        OverflowError: The moment is beyond the years 1 to 9999.
    """
    return EPOCH + timedelta(microseconds=count)


def clock_from_microseconds(count: int) -> datetime:
    """Convert microseconds since the beginning of 1970 on a wall clock to a naive datetime.

    Raises:
        OverflowError: The time is beyond the years 1 to 9999.
    """
    return from_microseconds(count).replace(tzinfo=None)


def from_days(count: int) -> date:
    """Convert days since 1970 to a date.

    Raises:
        OverflowError: The date is beyond the years 1 to 9999.
    """
    return (EPOCH + timedelta(days=count)).date()


def to_days(day: date) -> int:
    """Convert a date to days since 1970."""
    return (day - EPOCH.date()).days
