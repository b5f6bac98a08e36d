"""The order that decides which row of a feature view is the newest: times, then all values."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from feature_sync.sql.scalars import orderable
from feature_sync.sql.types import is_padded
from feature_sync.sql.view_columns import ViewColumns


def row_order(columns: ViewColumns, *, newest_first: bool) -> list[exp.Ordered]:
    """Order by event timestamp, known at, created timestamp, then all features; null is the oldest.

    Of a snapshot's rows that still tie, the one that ends last is the newest; the last terms are `tie_breakers`. Only
    values decide, so that the answer never depends on the physical order of rows.
    """
    view = columns.view
    times = dict.fromkeys((view.event_timestamp, view.known_at, view.created_timestamp))
    terms = [columns.time(name) for name in times if name is not None]
    if columns.is_unique and terms:
        terms = terms[:1]
    else:
        for name, kind in columns.feature_types.items():
            terms += orderable(columns.column(name), kind, columns.dialect)
    order = [exp.Ordered(this=term, desc=newest_first, nulls_first=not newest_first) for term in terms]
    if columns.is_unique:
        return order
    if (valid_until := columns.valid_until()) is not None:
        order.append(exp.Ordered(this=valid_until, desc=newest_first, nulls_first=newest_first))
    breakers = tie_breakers(columns, {name: columns.column(name) for name in columns.feature_types})
    return [*order, *(exp.Ordered(this=term, desc=newest_first, nulls_first=not newest_first) for term in breakers)]


def tie_breakers(columns: ViewColumns, features: Mapping[str, exp.Expr]) -> list[exp.Expr]:
    """Return terms that order features which the warehouse treats as equal: see `Dialect.distinguish_equals`."""
    declared, breakers = columns.view.relation.columns, []
    for name, stored in features.items():
        breakers += columns.dialect.distinguish_equals(stored.copy(), columns.feature_types[name])
        if is_padded(declared[name], dialect=columns.native):
            breakers += columns.dialect.distinguish_blanks(stored.copy())
    return breakers
