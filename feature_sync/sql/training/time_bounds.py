"""Bounds in time: the moments that spines ask for, and the first moments that views can answer."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import named, quoted
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.view_query import ViewQuery


def moments_asked(join: PointInTimeJoin) -> exp.Select:
    """Select the first and the last moment asked, in microseconds UTC: one row, of nulls if the spine has none."""
    return join.spine_query.bounds()


def rows_asked(join: PointInTimeJoin) -> exp.Select:
    """Select the number of rows of a training set: those of the spine in its period, sample and limit."""
    return exp.select(named(exp.Count(this=exp.Star()), "rows_asked")).from_(join.spine_query.chosen())


def earliest_answerable(join: PointInTimeJoin) -> exp.Query | None:
    """Select each view's reference and when its first row became available, in microseconds UTC.

    None if no view has an event timestamp.
    """
    parts = [_first_available(reference, query) for reference, query in join.views.items() if query.has_times]
    return exp.union(*parts, distinct=False) if len(parts) > 1 else next(iter(parts), None)


def _first_available(reference: str, query: ViewQuery) -> exp.Select:
    rows = query.plain_rows(()).subquery(exp.to_identifier("rows", quoted=True))
    first = query.dialect.microseconds(exp.Min(this=quoted(query.available_at_name)))
    return exp.select(named(exp.Literal.string(reference), "view"), named(first, "first_available")).from_(rows)
