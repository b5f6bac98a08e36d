"""The query for the newest row of every entity: what the online store should hold."""

from __future__ import annotations

from datetime import datetime

from sqlglot import exp

from feature_sync.sql.columns import named, quoted
from feature_sync.sql.view_query import ViewQuery
from feature_sync.sql.wire import wire


def latest_rows(query: ViewQuery, *, now: datetime) -> exp.Select:
    """Select what a point-in-time join at `now` would answer, for every entity, in the form that Redis holds.

    The columns are the join keys, then `event_timestamp` and `valid_until` in microseconds UTC (null in views
    that lack them), then the features.
    """
    view, dialect = query.view, query.dialect
    nothing = exp.cast(exp.null(), "bigint")
    event_timestamp, valid_until = quoted(query.event_timestamp_name), quoted(query.valid_until_name)
    selected = [named(wire(quoted(key), kind, dialect=dialect), key) for key, kind in query.key_types.items()]
    begun = dialect.microseconds(event_timestamp) if query.has_times else nothing
    ended = dialect.microseconds(valid_until) if query.has_end else nothing
    selected += [named(begun, query.event_timestamp_name), named(ended, query.valid_until_name)]
    selected += [named(wire(quoted(name), kind, dialect=dialect), name) for name, kind in query.feature_types.items()]
    conditions: list[exp.Expr] = [quoted(query.newness_name).eq(1)]
    if view.ttl is not None:
        conditions.append(exp.GTE(this=event_timestamp, expression=dialect.earlier(dialect.moment(now), view.ttl)))
    if query.has_end:
        alive = exp.LT(this=dialect.earlier(dialect.moment(now), view.lag), expression=valid_until)
        conditions.append(exp.or_(valid_until.is_(exp.null()), alive))
    newest = query.rows(newest_first=True, until=dialect.moment(now)).subquery(exp.to_identifier("newest", quoted=True))
    return exp.select(*selected).from_(newest).where(*conditions)


def newest_event(query: ViewQuery) -> exp.Select:
    """Select the newest event timestamp of a whole view, in microseconds UTC: what to name when no row answers."""
    rows = query.rows(newest_first=True).subquery(exp.to_identifier("rows", quoted=True))
    newest = query.dialect.microseconds(exp.Max(this=quoted(query.event_timestamp_name)))
    return exp.select(named(newest, "newest")).from_(rows)
