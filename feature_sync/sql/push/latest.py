"""Queries at one moment: the newest row of every entity, as a push stores it and as Redis holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlglot import exp

from feature_sync.sql.columns import ascending, is_not_null, named, quoted
from feature_sync.sql.limits import within_limits
from feature_sync.sql.newest_rows import newest_rows
from feature_sync.sql.push.wire import wire
from feature_sync.sql.validity import still_answers
from feature_sync.sql.view_query import ViewQuery
from feature_sync.value_types import ValueType

MOMENT = ValueType("timestamp")
"""The type of a row's own times: moments in UTC."""
_ROWS = exp.to_identifier("rows", quoted=True)


def stored_rows(
    query: ViewQuery, *, now: datetime, chosen: Sequence[exp.Expr] = (), depth: float | None = None
) -> exp.Select:
    """Select the answer of a point-in-time join at `now` for every entity; rows with an infinite key are left out.

    The columns are the join keys in wire form (as Redis holds them) and, as the warehouse stores them, the event
    timestamp, the end of validity (if the view has them) and the features.

    Args:
        query: The view.
        now: The moment.
        chosen: Conditions on `query.key_columns` that choose entities.
        depth: How many rows an entity has on average, None if unknown.
    """
    dialect = query.dialect
    keys = wire_keys(
        query,
        {key: within_limits(quoted(key), kind, key, dialect=dialect) for key, kind in query.key_types.items()},
    )
    finite = [is_not_null(keys[key].copy()) for key, kind in query.key_types.items() if kind.is_time]
    selected = [named(value, key) for key, value in keys.items()]
    selected += [_validity_column(query, name) for name in validity_columns(query)]
    selected += [
        named(within_limits(quoted(name), kind, name, dialect=dialect), name)
        for name, kind in query.feature_types.items()
    ]
    newest = newest_rows(query, until=dialect.moment(now), chosen=chosen, depth=depth).subquery(_ROWS.copy())
    return exp.select(*selected).from_(newest).where(*still_answers(query, dialect.moment(now)), *finite)


def wire_keys(query: ViewQuery, columns: Mapping[str, exp.Expr]) -> dict[str, exp.Expr]:
    """Convert join keys to wire form, as Redis and the tables of pushes hold them."""
    return {
        key: wire(query.dialect.canonical_key(columns[key], kind), kind, dialect=query.dialect)
        for key, kind in query.key_types.items()
    }


def _validity_column(query: ViewQuery, name: str) -> exp.Expr:
    """Select a time of a row; `within_limits` checks an event timestamp, which may be -infinity, but not an end."""
    if name != query.event_timestamp_name:
        return quoted(name)
    declared = query.view.event_timestamp or name
    return named(within_limits(quoted(name), MOMENT, declared, dialect=query.dialect), name)


def latest_rows(
    query: ViewQuery, *, now: datetime, sample: int | None = None, depth: float | None = None
) -> exp.Select:
    """Select the `stored_rows` in the form in which they are sent: see `values_to_hold`.

    Args:
        query: The view.
        now: The moment at which the rows answer.
        sample: How many rows to select, chosen reproducibly by a hash of their keys; all if None.
        depth: How many rows an entity has on average, None if unknown.
    """
    selected = [*map(quoted, query.key_types), *values_to_hold(query)]
    rows = exp.select(*selected).from_(stored_rows(query, now=now, depth=depth).subquery(_ROWS.copy()))
    if sample is None:
        return rows
    texts = [exp.cast(quoted(key), "text") for key in query.key_types]
    parts = [part for text in texts for part in (exp.Literal.string("|"), text)]
    order = (query.dialect.md5(exp.Concat(expressions=parts)), *map(quoted, query.key_types))
    return rows.order_by(*map(ascending, order)).limit(sample)


def validity_columns(query: ViewQuery) -> list[str]:
    """Return the columns of `stored_rows` that decide until when a row answers, as far as the view has them."""
    return [name for name in (query.event_timestamp_name, query.valid_until_name) if name in query.times]


def values_to_hold(query: ViewQuery, *, of: str | None = None) -> list[exp.Expr]:
    """Convert times and features of `stored_rows` to wire form, as Redis holds them.

    Event timestamp and end of validity become microseconds UTC; they are null in views without them.
    """
    dialect = query.dialect
    times = [
        dialect.microseconds(quoted(name, of=of)) if name in query.times else exp.cast(exp.null(), "bigint")
        for name in (query.event_timestamp_name, query.valid_until_name)
    ]
    values = [wire(quoted(name, of=of), kind, dialect=dialect) for name, kind in query.feature_types.items()]
    names = (query.event_timestamp_name, query.valid_until_name, *query.feature_types)
    return [named(value, name) for value, name in zip([*times, *values], names, strict=True)]


def newest_event(query: ViewQuery) -> exp.Select:
    """Select the newest event timestamp of a whole view, in microseconds UTC; for the message if no row answers."""
    rows = query.plain_rows().subquery(_ROWS.copy())
    newest = query.dialect.microseconds(exp.Max(this=quoted(query.event_timestamp_name)))
    return exp.select(named(newest, "newest")).from_(rows)


def row_values(query: ViewQuery, *, of: str | None = None) -> list[tuple[exp.Expr, ValueType]]:
    """Return the features and times of one of the `stored_rows`, without its keys, each with its type."""
    features = [(quoted(name, of=of), kind) for name, kind in query.feature_types.items()]
    return [*features, *((quoted(name, of=of), MOMENT) for name in validity_columns(query))]
