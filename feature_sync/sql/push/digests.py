"""Digests of the rows that are candidates for an answer: of a whole view, and of each bucket of its entities."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlglot import exp

from feature_sync.sql.columns import named, quoted
from feature_sync.sql.push.latest import MOMENT, row_values, wire_keys
from feature_sync.sql.validity import has_ended, young_enough
from feature_sync.sql.view_query import ViewQuery
from feature_sync.value_types import ValueType

CANDIDATES, DIGEST, BUCKET = "candidates", "digest", "bucket"
_FRESH, _KNOWN = "fresh", "known"


def candidates(query: ViewQuery, *, now: datetime) -> exp.Select:
    """Select the number of rows that could answer at `now`, and the sum of their hashes as text: one row.

    While both stay the same, `latest_rows` returns the same rows: it depends only on these rows and, for a snapshot,
    on which of them have ended.
    """
    digest = exp.cast(exp.Sum(this=_row_hash(query, now=now)), "text")
    return _of_candidates(query, now=now).select(named(exp.Count(this=exp.Star()), CANDIDATES), named(digest, DIGEST))


def count_candidates(query: ViewQuery, *, now: datetime) -> exp.Select:
    """Select the number of rows that could answer at `now` alone, without hashing them."""
    return _of_candidates(query, now=now).select(named(exp.Count(this=exp.Star()), CANDIDATES))


def bucket_digests(query: ViewQuery, *, now: datetime) -> exp.Select:
    """Select the number and the sum for each bucket of entities: what did not change in it need not be staged."""
    bucket = bucket_of(query, wire_keys(query, {key: quoted(key) for key in query.key_types}))
    digests = _of_candidates(query, now=now).select(
        named(bucket, BUCKET),
        named(exp.Count(this=exp.Star()), CANDIDATES),
        named(exp.Sum(this=_row_hash(query, now=now)), DIGEST),
    )
    return digests.group_by(exp.Literal.number(1))


def candidates_of(digests: exp.Table) -> exp.Select:
    """Select the same as `candidates` from a table of `bucket_digests`."""
    rows = exp.Coalesce(this=exp.Sum(this=quoted(CANDIDATES)), expressions=[exp.Literal.number(0)])
    digest = exp.cast(exp.Sum(this=quoted(DIGEST)), "text")
    return exp.select(named(exp.cast(rows, "bigint"), CANDIDATES), named(digest, DIGEST)).from_(digests)


def bucket_of(query: ViewQuery, keys: Mapping[str, exp.Expr]) -> exp.Expr:
    """Return the number of the bucket of an entity.

    Args:
        query: The view.
        keys: Its join keys in wire form.
    """
    values = [(keys[key], kind) for key, kind in query.key_types.items()]
    last = exp.Literal.number(query.dialect.buckets - 1)
    return exp.paren(exp.BitwiseAnd(this=query.dialect.row_hash(values), expression=last))


def changed_buckets(fresh: exp.Table, known: exp.Table) -> exp.Select:
    """Select the buckets whose digests differ between two tables of `bucket_digests`, or that only one of them has."""
    differ = [
        exp.NullSafeNEQ(this=quoted(name, of=_FRESH), expression=quoted(name, of=_KNOWN))
        for name in (CANDIDATES, DIGEST)
    ]
    bucket, known_bucket = (quoted(BUCKET, of=side) for side in (_FRESH, _KNOWN))
    return (
        exp.select(named(exp.Coalesce(this=bucket, expressions=[known_bucket]), BUCKET))
        .from_(exp.alias_(fresh, _FRESH, quoted=True, table=True))
        .join(
            exp.alias_(known, _KNOWN, quoted=True, table=True),
            on=bucket.copy().eq(known_bucket.copy()),
            join_type="full",
        )
        .where(exp.or_(*differ))
    )


def _of_candidates(query: ViewQuery, *, now: datetime) -> exp.Select:
    moment = query.dialect.moment(now)
    rows = query.plain_rows(until=moment, decisive=True).subquery(exp.to_identifier("rows", quoted=True))
    return exp.Select().from_(rows).where(*young_enough(query, query.dialect.moment(now)))


def _row_hash(query: ViewQuery, *, now: datetime) -> exp.Expr:
    values = [(quoted(name), kind) for name, kind in query.key_types.items()] + row_values(query)
    values += [(quoted(name), MOMENT) for name in (query.known_at_name, query.created_name) if name in query.times]
    if query.has_end:
        values.append((has_ended(query, query.dialect.moment(now)), ValueType("bool")))
    return query.dialect.row_hash(values)
