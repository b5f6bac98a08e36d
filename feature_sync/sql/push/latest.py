"""Queries at one moment: the newest row of every entity, and a digest of all rows that could be one."""

from __future__ import annotations

from datetime import datetime

from sqlglot import exp

from feature_sync.sql.columns import ascending, is_not_null, named, quoted
from feature_sync.sql.limits import within_limits
from feature_sync.sql.push.wire import wire
from feature_sync.sql.validity import has_ended, still_answers, young_enough
from feature_sync.sql.view_query import ViewQuery
from feature_sync.value_types import ValueType

MOMENT = ValueType("timestamp")
"""The type of a row's times."""
_ROWS = exp.to_identifier("rows", quoted=True)


def stored_rows(query: ViewQuery, *, now: datetime) -> exp.Select:
    """Select what a point-in-time join at `now` would answer, for every entity whose keys are finite.

    The columns are the join keys in the form that Redis holds, then, as the warehouse stores them, the event timestamp
    and the end of validity, if the view has them, and the features.
    """
    dialect = query.dialect
    keys = {
        key: wire(
            dialect.canonical_key(within_limits(quoted(key), kind, key, dialect=dialect), kind), kind, dialect=dialect
        )
        for key, kind in query.key_types.items()
    }
    finite = [is_not_null(keys[key].copy()) for key, kind in query.key_types.items() if kind.is_time]
    selected = [named(value, key) for key, value in keys.items()]
    selected += [_validity_column(query, name) for name in validity_columns(query)]
    selected += [
        named(within_limits(quoted(name), kind, name, dialect=dialect), name)
        for name, kind in query.feature_types.items()
    ]
    newest = query.newest_rows(until=dialect.moment(now)).subquery(_ROWS.copy())
    return exp.select(*selected).from_(newest).where(*still_answers(query, dialect.moment(now)), *finite)


def _validity_column(query: ViewQuery, name: str) -> exp.Expr:
    """Select a time of a row; a row may be true since ever, and may never end."""
    if name != query.event_timestamp_name:
        return quoted(name)
    declared = query.view.event_timestamp or name
    return named(within_limits(quoted(name), MOMENT, declared, dialect=query.dialect), name)


def latest_rows(query: ViewQuery, *, now: datetime, sample: int | None = None) -> exp.Select:
    """Select the `stored_rows` as they are sent: see `values_to_hold`.

    A sample holds that many of them, chosen by a hash of their keys: the same ones every time.
    """
    selected = [*map(quoted, query.key_types), *values_to_hold(query)]
    rows = exp.select(*selected).from_(stored_rows(query, now=now).subquery(_ROWS.copy()))
    if sample is None:
        return rows
    texts = [exp.cast(quoted(key), "text") for key in query.key_types]
    parts = [part for text in texts for part in (exp.Literal.string("|"), text)]
    order = (query.dialect.md5(exp.Concat(expressions=parts)), *map(quoted, query.key_types))
    return rows.order_by(*map(ascending, order)).limit(sample)


def validity_columns(query: ViewQuery) -> list[str]:
    """The columns of `stored_rows` that tell which of them still answer later, those that the view has."""
    return [name for name in (query.event_timestamp_name, query.valid_until_name) if name in query.times]


def values_to_hold(query: ViewQuery, *, of: str | None = None) -> list[exp.Expr]:
    """Convert times and features of `stored_rows` to the form that Redis holds.

    Event timestamp and end of validity become microseconds UTC, and are null in views that lack them.
    """
    dialect = query.dialect
    times = [
        dialect.microseconds(quoted(name, of=of)) if name in query.times else exp.cast(exp.null(), "bigint")
        for name in (query.event_timestamp_name, query.valid_until_name)
    ]
    values = [wire(quoted(name, of=of), kind, dialect=dialect) for name, kind in query.feature_types.items()]
    names = (query.event_timestamp_name, query.valid_until_name, *query.feature_types)
    return [named(value, name) for value, name in zip([*times, *values], names, strict=True)]


def candidates(query: ViewQuery, *, now: datetime) -> exp.Select:
    """Select how many rows could answer at `now`, and the sum of their hashes, as text: one row.

    While both stay the same, so does the answer of `latest_rows`: it depends on these rows alone, and of a snapshot's
    on which of them have ended.
    """
    dialect = query.dialect
    values = [(quoted(name), kind) for name, kind in query.key_types.items()] + row_values(query)
    values += [(quoted(name), MOMENT) for name in (query.known_at_name, query.created_name) if name in query.times]
    if query.has_end:
        values.append((has_ended(query, dialect.moment(now)), ValueType("bool")))
    digest = exp.cast(exp.Sum(this=dialect.row_hash(values)), "text")
    return (
        exp.select(named(exp.Count(this=exp.Star()), "candidates"), named(digest, "digest"))
        .from_(query.plain_rows(until=dialect.moment(now), decisive=True).subquery(_ROWS.copy()))
        .where(*young_enough(query, dialect.moment(now)))
    )


def newest_event(query: ViewQuery) -> exp.Select:
    """Select the newest event timestamp of a whole view, in microseconds UTC: what to name when no row answers."""
    rows = query.plain_rows().subquery(_ROWS.copy())
    newest = query.dialect.microseconds(exp.Max(this=quoted(query.event_timestamp_name)))
    return exp.select(named(newest, "newest")).from_(rows)


def row_values(query: ViewQuery, *, of: str | None = None) -> list[tuple[exp.Expr, ValueType]]:
    """All values and times of one of the `stored_rows`, its keys apart: what Redis would hold of it."""
    features = [(quoted(name, of=of), kind) for name, kind in query.feature_types.items()]
    return [*features, *((quoted(name, of=of), MOMENT) for name in validity_columns(query))]
