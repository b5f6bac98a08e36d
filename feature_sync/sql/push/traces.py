"""Counts the rows of one entity in a feature view's relation, and in the tables of its pushes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from feature_sync.sql.columns import quoted, table
from feature_sync.sql.push.latest import wire_keys
from feature_sync.sql.push.state_schema import PushTables
from feature_sync.sql.view_query import ViewQuery
from feature_sync.value_types import ValueType

_MOST_DECIMALS = 38
"""Of a decimal without a declared scale; only zeros beyond are not looked for."""
_NUMBERS = ("int64", "date", "timestamp", "timestamptz")


def rows_of(query: ViewQuery, values: Mapping[str, Any]) -> exp.Select:
    """Count the rows of an entity in the relation, whether they can answer or not.

    Args:
        query: The view.
        values: The entity's keys in wire form, by the join key of the view.
    """
    columns = wire_keys(query, query.key_columns)
    conditions = [_equals(columns[key], value, query.key_types[key]) for key, value in values.items()]
    return _count().from_(table(query.view.relation, dialect=query.native)).where(*conditions)


def pushed_rows_of(query: ViewQuery, tables: PushTables, name: str, values: Mapping[str, Any]) -> exp.Select:
    """Count the rows of an entity in a table of a push, which holds join keys in wire form.

    Args:
        query: The view.
        tables: The tables of pushes.
        name: The table.
        values: The entity's keys in wire form, by the join key of the view.
    """
    conditions = [_equals(quoted(key), value, query.key_types[key]) for key, value in values.items()]
    return _count().from_(tables.table(name)).where(*conditions)


def _count() -> exp.Select:
    return exp.select(exp.Count(this=exp.Star()))


def _equals(column: exp.Expr, value: Any, kind: ValueType) -> exp.Expr:
    """Compare a key in wire form; a decimal is text there, with as many zeros at its end as the warehouse keeps."""
    if kind.kind == "decimal":
        return exp.In(this=column, expressions=[exp.Literal.string(each) for each in _spellings(str(value), kind)])
    if isinstance(value, bool):
        return column.eq(exp.Boolean(this=value))
    return column.eq(exp.Literal.number(value) if kind.kind in _NUMBERS else exp.Literal.string(str(value)))


def _spellings(value: str, kind: ValueType) -> list[str]:
    whole, _, decimals = value.partition(".")
    least = decimals.rstrip("0")
    most = _MOST_DECIMALS if kind.precision is None else kind.scale or 0
    padded = [least.ljust(length, "0") for length in range(len(least), most + 1)] or [least]
    return [f"{whole}.{each}" if each else whole for each in padded]
