"""Conditions by which a row of a feature view can answer at all: its keys, its times and the moments asked."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlglot import exp

from feature_sync.definitions import Period
from feature_sync.sql.columns import is_not_null
from feature_sync.sql.view_columns import ViewColumns
from feature_sync.value_types import ValueType, in_zone, moved

_DAY = timedelta(days=1)


def can_answer(columns: ViewColumns, asked: Period) -> list[exp.Expr]:
    """Return the conditions that leave out rows that never answer.

    Such a row has a null key, event timestamp or `known_at`, or ends at the moment it begins. Rows that cannot answer
    a moment in `asked` are left out by bounds on the stored event timestamp, so that the warehouse can skip reading
    them.
    """
    view, dialect = columns.view, columns.dialect
    needed = [*view.join_keys, *(name for name in (view.event_timestamp, view.known_at) if name is not None)]
    conditions: list[exp.Expr] = [is_not_null(columns.column(name)) for name in needed]
    if view.valid_to is not None and view.event_timestamp is not None:
        lasting: list[exp.Expr] = [columns.column(view.valid_to).is_(exp.null())]
        if view.valid_to_current:
            lasting.append(columns.is_current(view.valid_to, view.valid_to_current))
        lasting.append(exp.LT(this=columns.time(view.event_timestamp), expression=columns.time(view.valid_to)))
        conditions.append(exp.or_(*lasting))
    if dialect.is_null_beyond_time and view.lag:
        # A row that becomes available after the last moment of the warehouse never does; its null would sort first.
        conditions.append(is_not_null(dialect.later(columns.time(str(view.event_timestamp)), view.lag)))
    return conditions + _time_bounds(columns, asked)


def _time_bounds(columns: ViewColumns, asked: Period) -> list[exp.Expr]:
    """Bound the event timestamp by literals of its own type.

    Later rows are not available at any moment asked; earlier ones are older than the TTL at all of them.
    """
    view = columns.view
    if view.event_timestamp is None:
        return []
    stored, kind = columns.column(view.event_timestamp), columns.kind(view.event_timestamp)
    bounds: list[exp.Expr] = []
    earliest = None if view.ttl is None else _bound(columns, asked.since, -view.ttl, kind, -_DAY)
    if earliest is not None:
        bounds.append(exp.GTE(this=stored, expression=earliest))
    latest = _bound(columns, asked.until, -(view.lag or timedelta(0)), kind, _DAY)
    if latest is not None:
        bounds.append(exp.LTE(this=stored.copy(), expression=latest))
    return bounds


def _bound(
    columns: ViewColumns, asked: datetime | None, distance: timedelta, kind: ValueType, margin: timedelta
) -> exp.Expr | None:
    """Write a bound; with a day's margin for dates, and for clocks that are turned back and so repeat an hour.

    None beyond the years 1 to 9999: bounds only save reading, the join checks every row anyway.
    """
    if asked is None:
        return None
    timezone = columns.view.timezone
    is_clock = kind.kind != "timestamptz" and (kind.kind == "date" or timezone.upper() != "UTC")
    moment = moved(asked, distance, margin if is_clock else timedelta(0))
    if moment is not None and is_clock:
        moment = in_zone(moment, ZoneInfo(timezone))
    return None if moment is None else columns.dialect.literal(moment, kind)
