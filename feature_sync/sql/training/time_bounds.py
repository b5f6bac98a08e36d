"""What to know before a training query is written: moments and entities asked, and what the views hold of them."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import named, quoted, table
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.view_query import ViewQuery


def moments_asked(join: PointInTimeJoin) -> exp.Select:
    """Select the first and the last moment asked, in microseconds UTC: one row, of nulls if the spine has none.

    Where entities are cheap to count, the number of rows follows, and that of the entities by each of `keys_asked`.
    """
    return join.spine_query.bounds(keys_asked(join))


def keys_asked(join: PointInTimeJoin) -> list[tuple[str, ...]]:
    """Return the columns of the spine by which views with times are asked; none if counting entities is not cheap."""
    if join.dialect.approximate_count([exp.null()]) is None:
        return []
    asked = (each.spine_keys for each in join.service.selections if join.views[each.view.reference].has_times)
    return list(dict.fromkeys(asked))


def rows_of(query: ViewQuery) -> exp.Select:
    """Select the number of rows of a view: of a table, the warehouse knows it without reading."""
    return exp.select(named(exp.Count(this=exp.Star()), "rows")).from_(table(query.view.relation, dialect=query.native))


def entities_of(query: ViewQuery) -> exp.Select:
    """Select an estimate of the number of entities of a view."""
    count = query.dialect.approximate_count(list(query.key_columns.values()))
    if count is None:
        raise NotImplementedError(query.dialect.name)
    return exp.select(named(count, "entities")).from_(table(query.view.relation, dialect=query.native))


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
