"""Queries at one moment: the newest row of every entity, and a digest of all rows that could be one."""

from __future__ import annotations

from datetime import datetime

from sqlglot import exp

from feature_sync.sql.columns import named, quoted
from feature_sync.sql.view_query import ViewQuery
from feature_sync.sql.wire import wire
from feature_sync.value_types import ValueType

_MOMENT = ValueType("timestamp")
_ROWS = exp.to_identifier("rows", quoted=True)


def latest_rows(query: ViewQuery, *, now: datetime) -> exp.Select:
    """Select what a point-in-time join at `now` would answer, for every entity, in the form that Redis holds.

    The columns are the join keys, then `event_timestamp` and `valid_until` in microseconds UTC (null in views
    that lack them), then the features, then the row's hash.
    """
    selected = [*map(quoted, query.key_types), *values_to_hold(query), quoted(query.row_hash_name)]
    return exp.select(*selected).from_(stored_rows(query, now=now).subquery(_ROWS.copy()))


def stored_rows(query: ViewQuery, *, now: datetime) -> exp.Select:
    """Select the rows of `latest_rows`, but all save their keys and hashes as it is stored.

    Who needs few of them converts those alone: see `values_to_hold`.
    """
    view, dialect = query.view, query.dialect
    selected = [named(wire(quoted(key), kind, dialect=dialect), key) for key, kind in query.key_types.items()]
    times = [name for name in (query.event_timestamp_name, query.valid_until_name) if name in query.times]
    selected += [quoted(name) for name in (*times, *query.feature_types)]
    selected.append(named(dialect.row_hash(_values(query)), query.row_hash_name))
    conditions: list[exp.Expr] = [quoted(query.newness_name).eq(1), *_young_enough(query, now)]
    if query.has_end:
        valid_until = quoted(query.valid_until_name)
        alive = exp.LT(this=dialect.earlier(dialect.moment(now), view.lag), expression=valid_until)
        conditions.append(exp.or_(valid_until.is_(exp.null()), alive))
    newest = query.rows(newest_first=True, until=dialect.moment(now)).subquery(exp.to_identifier("newest", quoted=True))
    return exp.select(*selected).from_(newest).where(*conditions)


def values_to_hold(query: ViewQuery, *, of: str | None = None) -> list[exp.Expr]:
    """Convert the times and features of `stored_rows` to the form that Redis holds."""
    dialect = query.dialect
    times = [
        dialect.microseconds(quoted(name, of=of)) if name in query.times else exp.cast(exp.null(), "bigint")
        for name in (query.event_timestamp_name, query.valid_until_name)
    ]
    values = [wire(quoted(name, of=of), kind, dialect=dialect) for name, kind in query.feature_types.items()]
    names = (query.event_timestamp_name, query.valid_until_name, *query.feature_types)
    return [named(value, name) for value, name in zip([*times, *values], names, strict=True)]


def rows_to_hold(query: ViewQuery, *, now: datetime, sample: int | None = None) -> exp.Select:
    """Select the rows of `latest_rows` as they are sent, without their hash.

    A sample holds that many of them, chosen by a hash of their keys: the same ones every time.
    """
    columns = (*query.key_types, query.event_timestamp_name, query.valid_until_name, *query.feature_types)
    rows = exp.select(*map(quoted, columns)).from_(latest_rows(query, now=now).subquery(_ROWS.copy()))
    if sample is None:
        return rows
    texts = [exp.cast(quoted(key), "text") for key in query.key_types]
    parts = [part for text in texts for part in (exp.Literal.string("|"), text)]
    return rows.order_by(query.dialect.md5(exp.Concat(expressions=parts)), *map(quoted, query.key_types)).limit(sample)


def candidates(query: ViewQuery, *, now: datetime) -> exp.Select:
    """Select how many rows could answer at `now`, and the sum of their hashes, as text: one row.

    While both stay the same, so does the answer of `latest_rows`: it depends on these rows alone, and of a snapshot's
    on which of them have ended.
    """
    dialect = query.dialect
    values = _values(query)
    values += [(quoted(name), _MOMENT) for name in (query.known_at_name, query.created_name) if name in query.times]
    if query.has_end:
        begun = dialect.earlier(dialect.moment(now), query.view.lag)
        values.append((exp.paren(exp.LTE(this=quoted(query.valid_until_name), expression=begun)), ValueType("bool")))
    digest = exp.cast(exp.Sum(this=dialect.row_hash(values)), "text")
    return (
        exp.select(named(exp.Count(this=exp.Star()), "candidates"), named(digest, "digest"))
        .from_(query.plain_rows(until=dialect.moment(now), decisive=True).subquery(_ROWS.copy()))
        .where(*_young_enough(query, now))
    )


def newest_event(query: ViewQuery) -> exp.Select:
    """Select the newest event timestamp of a whole view, in microseconds UTC: what to name when no row answers."""
    rows = query.rows(newest_first=True).subquery(_ROWS.copy())
    newest = query.dialect.microseconds(exp.Max(this=quoted(query.event_timestamp_name)))
    return exp.select(named(newest, "newest")).from_(rows)


def _young_enough(query: ViewQuery, now: datetime) -> list[exp.Expr]:
    view, dialect = query.view, query.dialect
    if view.ttl is None:
        return []
    oldest = dialect.earlier(dialect.moment(now), view.ttl)
    return [exp.GTE(this=quoted(query.event_timestamp_name), expression=oldest)]


def _values(query: ViewQuery) -> list[tuple[exp.Expr, ValueType]]:
    """All that Redis would hold of a row, and when the row ends."""
    values = [(quoted(name), kind) for name, kind in (query.key_types | query.feature_types).items()]
    times = [name for name in (query.event_timestamp_name, query.valid_until_name) if name in query.times]
    return [*values, *((quoted(name), _MOMENT) for name in times)]
