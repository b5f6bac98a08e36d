"""Moments in SQL. All comparisons are between UTC wall clocks, so that no session's time zone changes an answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlglot import exp

from feature_sync.value_types import ValueType

_UNITS = (("DAY", timedelta(days=1)), ("HOUR", timedelta(hours=1)), ("MINUTE", timedelta(minutes=1)))


def utc(moment: exp.Expr, value_type: ValueType, *, timezone: str) -> exp.Expr:
    """Turn a date, a naive timestamp of a zone or an aware timestamp into a naive timestamp in UTC."""
    if value_type.kind == "timestamptz":
        return exp.AtTimeZone(this=moment, zone=exp.Literal.string("UTC"))
    if value_type.kind == "date":
        moment = exp.cast(moment, "timestamp")
    if timezone.upper() == "UTC":
        return moment
    aware = exp.AtTimeZone(this=moment, zone=exp.Literal.string(timezone))
    return exp.AtTimeZone(this=aware, zone=exp.Literal.string("UTC"))


def literal(moment: datetime) -> exp.Expr:
    """Write an aware moment as a naive timestamp in UTC."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
    return exp.cast(exp.Literal.string(text), "timestamp")


def later(moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
    """Move a moment on by a duration."""
    return exp.Add(this=moment, expression=_interval(duration)) if duration else moment


def earlier(moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
    """Move a moment back by a duration."""
    return exp.Sub(this=moment, expression=_interval(duration)) if duration else moment


def _interval(duration: timedelta) -> exp.Interval:
    for unit, size in _UNITS:
        if duration % size == timedelta(0):
            return exp.Interval(this=exp.Literal.string(str(duration // size)), unit=exp.var(unit))
    seconds = duration // timedelta(seconds=1)
    return exp.Interval(this=exp.Literal.string(str(seconds)), unit=exp.var("SECOND"))
