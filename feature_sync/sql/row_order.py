"""Which of a feature view's rows is the newest: by times, then by all its values, never by their physical order."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from feature_sync.sql.scalars import orderable
from feature_sync.sql.types import is_padded
from feature_sync.sql.view_columns import ViewColumns


def row_order(columns: ViewColumns, *, newest_first: bool) -> list[exp.Ordered]:
    """Order by event timestamp, known at, created timestamp, then all features; null is the oldest.

    Of a snapshot's rows that still tie, the one that ends last is the newest; last comes what tells equal values
    apart. Values alone decide, so the answer never depends on the physical order of rows.
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
    apart = tie_breakers(columns, {name: columns.column(name) for name in columns.feature_types})
    return [*order, *(exp.Ordered(this=term, desc=newest_first, nulls_first=not newest_first) for term in apart)]


def tie_breakers(columns: ViewColumns, features: Mapping[str, exp.Expr]) -> list[exp.Expr]:
    """Tell features apart that are equal to the warehouse alone: see `Dialect.tell_equals_apart`."""
    declared, apart = columns.view.relation.columns, []
    for name, stored in features.items():
        apart += columns.dialect.tell_equals_apart(stored.copy(), columns.feature_types[name])
        if is_padded(declared[name], dialect=columns.native):
            apart += columns.dialect.tell_blanks_apart(stored.copy())
    return apart
