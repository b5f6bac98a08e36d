"""Which rows of a feature view can answer at all: by their keys and times, and by the moments that are asked."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlglot import exp

from feature_sync.definitions import Period
from feature_sync.sql.columns import is_not_null
from feature_sync.sql.view_columns import ViewColumns
from feature_sync.value_types import ValueType, moved, seen_in

_DAY = timedelta(days=1)


def can_answer(columns: ViewColumns, asked: Period) -> list[exp.Expr]:
    """Leave out rows that never answer: a key or a time that bounds them is null, or they ended as they began.

    Those that answer no moment `asked` are left out by bounds on the event timestamp as it is stored, so that the
    warehouse need not read them.
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
        # A row that becomes available after the end of time never does; as a null it would come first in line.
        conditions.append(is_not_null(dialect.later(columns.time(str(view.event_timestamp)), view.lag)))
    return conditions + _within_reach(columns, asked)


def _within_reach(columns: ViewColumns, asked: Period) -> list[exp.Expr]:
    """Bound the event timestamp by literals of its own type: no later row is available, no earlier one is alive."""
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
    """Write a bound; with a day's margin for dates, and for clocks which are turned back and so run twice.

    None beyond the years 1 to 9999: what is left out by no bound is judged by the join all the same.
    """
    if asked is None:
        return None
    timezone = columns.view.timezone
    is_clock = kind.kind != "timestamptz" and (kind.kind == "date" or timezone.upper() != "UTC")
    moment = moved(asked, distance, margin if is_clock else timedelta(0))
    if moment is not None and is_clock:
        moment = seen_in(moment, ZoneInfo(timezone))
    return None if moment is None else columns.dialect.literal(moment, kind)
