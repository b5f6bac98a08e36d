"""How far questions and answers reach in time: the moments that spines ask for, and the first that views answer."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.definitions import FeatureService, Spine
from feature_sync.sql.columns import named, quoted
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.training.spine import SpineQuery
from feature_sync.sql.view_query import ViewQuery


def moments_asked(service: FeatureService, spine: Spine, *, adapter: str) -> exp.Select:
    """Select the first and the last moment asked, in microseconds UTC: one row, of nulls where nothing is asked."""
    return SpineQuery(spine, adapter=adapter, dialect=dialect_named(adapter), keys=service.join_keys).bounds()


def rows_asked(service: FeatureService, spine: Spine, *, adapter: str) -> exp.Select:
    """Select how many rows a training set must have: those of the spine that are chosen."""
    asking = SpineQuery(spine, adapter=adapter, dialect=dialect_named(adapter), keys=service.join_keys)
    return exp.select(named(exp.Count(this=exp.Star()), "rows_asked")).from_(asking.chosen())


def earliest_answerable(service: FeatureService, *, adapter: str) -> exp.Query | None:
    """Select each view's reference and when its first row became available, in microseconds UTC.

    None where no view keeps times.
    """
    views = {each.view.reference: each.view for each in service.selections if each.view.event_timestamp is not None}
    parts = [_first_available(reference, ViewQuery(view, adapter=adapter)) for reference, view in views.items()]
    return exp.union(*parts, distinct=False) if len(parts) > 1 else next(iter(parts), None)


def _first_available(reference: str, query: ViewQuery) -> exp.Select:
    rows = query.plain_rows(()).subquery(exp.to_identifier("rows", quoted=True))
    first = query.dialect.microseconds(exp.Min(this=quoted(query.available_at_name)))
    return exp.select(named(exp.Literal.string(reference), "view"), named(first, "first_available")).from_(rows)
