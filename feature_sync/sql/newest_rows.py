"""The newest row of every entity at one moment, in the form that costs least on a table of that depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum, auto

from sqlglot import exp

from feature_sync.sql.columns import ascending, is_not_null, named, quoted
from feature_sync.sql.view_query import ViewQuery

_VERY_DEEP = 100
"""From how many rows an entity on PostgreSQL walks an index, of which a step costs as much as to read so many rows."""
_ROWS, _NEWEST, _ENTITIES = "rows", "newest", "entities"


class Form(Enum):
    """How the newest rows are found."""

    SORTED = auto()
    JOINED = auto()
    WALKED = auto()


def form_of(query: ViewQuery, depth: float | None) -> Form:
    """Return the form that `newest_rows` takes.

    Args:
        query: The view.
        depth: How many rows an entity has on average, None if unknown.
    """
    dialect, view = query.dialect, query.view
    if not query.has_times or not view.relation.is_table:
        return Form.SORTED
    if not dialect.has_distinct_on:
        # DuckDB itself finds a row that is the only one of its timestamp without sorting.
        return Form.JOINED if dialect.joins_newest and not query.is_unique else Form.SORTED
    if view.is_indexed and len(view.join_keys) == 1 and (depth or 0) >= _VERY_DEEP:
        return Form.WALKED
    joins = view.is_indexed if depth is None else depth >= dialect.deep_from
    return Form.JOINED if joins else Form.SORTED


def can_be_deep(query: ViewQuery) -> bool:
    """True if the newest rows of a view might be found faster than all rows are hashed."""
    return query.dialect.deep_from < math.inf and query.has_times and query.view.relation.is_table


def is_deep(query: ViewQuery, depth: float | None) -> bool:
    """True if the newest rows of a view of that depth are found faster than all rows are hashed."""
    return depth is not None and depth >= query.dialect.deep_from and can_be_deep(query)


def newest_rows(
    query: ViewQuery, *, until: exp.Expr, chosen: Sequence[exp.Expr] = (), depth: float | None = None
) -> exp.Select:
    """Select the newest row of each entity among those available at the moment `until`.

    A view of dbt that is not a table is read once: when it is evaluated again, it may have other rows.

    Args:
        query: The view.
        until: The moment.
        chosen: Conditions on `query.key_columns` that choose entities.
        depth: How many rows an entity has on average, None if unknown; it only decides how the rows are found.
    """
    find = {Form.SORTED: _sorted, Form.JOINED: _joined, Form.WALKED: _walked}[form_of(query, depth)]
    return find(query, until, chosen)


def _sorted(query: ViewQuery, until: exp.Expr, chosen: Sequence[exp.Expr]) -> exp.Select:
    """Sort all rows by the definition, entity by entity."""
    if not query.dialect.has_distinct_on:
        return _first(query, query.rows(newest_first=True, until=until).where(*chosen, copy=False))
    keys = list(query.key_columns.values())
    in_order = [*(ascending(key.copy()) for key in keys), *query.order()]
    rows = query.plain_rows(until=until).where(*chosen, copy=False)
    return rows.distinct(*keys, copy=False).order_by(*in_order, copy=False)


def _joined(query: ViewQuery, until: exp.Expr, chosen: Sequence[exp.Expr]) -> exp.Select:
    """Find the newest event timestamp of each entity, and only break ties among the rows that have it.

    All rows are read twice, most of them for keys and times alone, and none of them is sorted.
    """
    keys, moment = list(query.view.join_keys), query.event_timestamp_name
    narrow = _subquery(query.plain_rows((), until=until).where(*chosen), "candidates")
    newest = exp.select(*map(quoted, keys), named(exp.Max(this=quoted(moment)), moment)).from_(narrow, copy=False)
    newest = newest.group_by(*map(quoted, keys), copy=False)
    rows = query.plain_rows(until=until, decisive=True).where(*chosen)
    same = [quoted(name, of=_ROWS).eq(quoted(name, of=_NEWEST)) for name in (*keys, moment)]
    joined = (
        exp.select(*(quoted(name, of=_ROWS) for name in query.stored_names))
        .from_(_subquery(rows, _ROWS), copy=False)
        .join(_subquery(newest, _NEWEST), on=exp.and_(*same), copy=False)
    )
    if query.is_unique:
        return joined
    of_rows, ties = [quoted(key, of=_ROWS) for key in keys], query.tie_order(of=_ROWS)
    if query.dialect.has_distinct_on:
        in_order = [*(ascending(key.copy()) for key in of_rows), *ties]
        return joined.distinct(*of_rows, copy=False).order_by(*in_order, copy=False)
    numbered = exp.Window(this=exp.RowNumber(), partition_by=of_rows, order=exp.Order(expressions=ties))
    return _first(query, joined.select(named(numbered, query.row_number_name), copy=False))


def _walked(query: ViewQuery, until: exp.Expr, chosen: Sequence[exp.Expr]) -> exp.Select:
    """Step along an index on key and time from entity to entity, and look up the newest row of each.

    PostgreSQL has no other way to pass over the rows of an entity: a recursive step asks for the next higher key.
    """
    (name,), (key,) = query.view.join_keys, query.key_columns.values()
    last = quoted(name, of=_ENTITIES)

    def lowest(*conditions: exp.Expr) -> exp.Select:
        rows = exp.select(named(key.copy(), name)).from_(query.aliased_table(), copy=False)
        conditions = (is_not_null(key.copy()), *(each.copy() for each in chosen), *conditions)
        return rows.where(*conditions, copy=False).order_by(ascending(key.copy()), copy=False).limit(1, copy=False)

    above = lowest(exp.GT(this=key.copy(), expression=last.copy())).subquery(copy=False)
    higher = exp.select(above).from_(_named(_ENTITIES), copy=False).where(is_not_null(last.copy()), copy=False)
    entities = exp.union(exp.select("*").from_(lowest().subquery("lowest"), copy=False), higher, distinct=False)
    looked_up = query.newest_row({name: last}, until, features=query.feature_types)
    alias = exp.TableAlias(this=exp.to_identifier(_ROWS, quoted=True))
    row = exp.Lateral(this=looked_up.subquery(copy=False), alias=alias)
    return (
        exp.select(*(quoted(each, of=_ROWS) for each in query.stored_names))
        .from_(_named(_ENTITIES), copy=False)
        .join(row, join_type="cross", copy=False)
        .where(is_not_null(last.copy()), copy=False)
        .with_(exp.to_identifier(_ENTITIES, quoted=True), as_=entities, recursive=True, copy=False)
    )


def _first(query: ViewQuery, numbered: exp.Select) -> exp.Select:
    """Select the rows that have the number 1."""
    rows = exp.select(*map(quoted, query.stored_names)).from_(_subquery(numbered, "numbered"), copy=False)
    return rows.where(quoted(query.row_number_name).eq(1), copy=False)


def _subquery(rows: exp.Select, name: str) -> exp.Subquery:
    return rows.subquery(exp.to_identifier(name, quoted=True), copy=False)


def _named(step: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(step, quoted=True))
