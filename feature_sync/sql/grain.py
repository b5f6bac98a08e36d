"""Queries that count a table's distinct values, the rows of each key, and its times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from feature_sync.definitions import Relation
from feature_sync.sql.columns import column, is_not_null, named, quoted, table
from feature_sync.sql.dialects.base import Dialect
from feature_sync.value_types import ValueType

_GROUPS = exp.to_identifier("entities", quoted=True)


def distinct_values(relation: Relation, names: Sequence[str], *, dialect: Dialect) -> exp.Select:
    """Select the number of rows and, for each column, the number of non-null and of distinct values; one row.

    Args:
        relation: The table.
        names: Its columns to count.
        dialect: Dialect of the warehouse.
    """
    counts: list[exp.Expr] = [named(exp.Count(this=exp.Star()), "rows")]
    for number, name in enumerate(names):
        counts.append(named(exp.Count(this=column(relation, name)), f"filled_{number}"))
        counts.append(named(_distinct(column(relation, name)), f"different_{number}"))
    return exp.select(*counts).from_(table(relation, dialect=dialect))


def rows_of_keys(
    relation: Relation, keys: Sequence[str], times: Mapping[str, ValueType], *, dialect: Dialect
) -> exp.Select:
    """Select the number of entities that the keys identify and the number of their rows; one row.

    Four columns follow for each time: the number of rows that have it, the sum over entities of its distinct values,
    and its first and last value, in microseconds UTC.

    Args:
        relation: The table.
        keys: Its join keys; rows with a null key are left out.
        times: The types of its time columns, by name.
        dialect: The warehouse's dialect.
    """
    grouped = [named(column(relation, key), f"key_{number}") for number, key in enumerate(keys)]
    grouped.append(named(exp.Count(this=exp.Star()), "rows"))
    summed = [named(exp.Count(this=exp.Star()), "entities"), named(_sum("rows"), "rows")]
    for number, (name, kind) in enumerate(times.items()):
        moment = column(relation, name)
        grouped.append(named(exp.Count(this=moment.copy()), f"timed_{number}"))
        grouped.append(named(_distinct(moment.copy()), f"moments_{number}"))
        grouped.append(named(exp.Min(this=moment.copy()), f"first_{number}"))
        grouped.append(named(exp.Max(this=moment.copy()), f"last_{number}"))
        summed += [named(_sum(f"{what}_{number}"), f"{what}_{number}") for what in ("timed", "moments")]
        for what, ends in (("first", exp.Min), ("last", exp.Max)):
            end = dialect.utc(ends(this=quoted(f"{what}_{number}")), kind, timezone="UTC")
            summed.append(named(dialect.microseconds(end), f"{what}_{number}"))
    entities = (
        exp.select(*grouped)
        .from_(table(relation, dialect=dialect))
        .where(*(is_not_null(column(relation, key)) for key in keys))
        .group_by(*(column(relation, key) for key in keys))
    )
    return exp.select(*summed).from_(entities.subquery(_GROUPS))


def _distinct(value: exp.Expr) -> exp.Count:
    return exp.Count(this=exp.Distinct(expressions=[value]))


def _sum(name: str) -> exp.Expr:
    return exp.Coalesce(this=exp.Sum(this=quoted(name)), expressions=[exp.Literal.number(0)])
