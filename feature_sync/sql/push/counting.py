"""Counts the entities of which a push holds a row."""

from __future__ import annotations

from datetime import datetime

from sqlglot import exp

from feature_sync.sql.columns import named
from feature_sync.sql.push.latest import stored_rows
from feature_sync.sql.view_query import ViewQuery


def count_entities(query: ViewQuery, *, now: datetime) -> exp.Select:
    """Count the rows that a push at `now` would hold."""
    rows = stored_rows(query, now=now).subquery(exp.to_identifier("rows", quoted=True))
    return exp.select(named(exp.Count(this=exp.Star()), "rows")).from_(rows)
