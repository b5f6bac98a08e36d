"""Queries for how a warehouse compares text: Redis compares bytes, so keys that are equal need equal bytes."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from feature_sync.definitions import Relation
from feature_sync.sql.columns import column, named, table
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.types import value_type
from feature_sync.sql.view_query import ViewQuery
from feature_sync.value_types import EPOCH, ValueType

_ALIKE = (
    ("A", "a"), ("\u00e9", "e"), ("\u00e9", "e\u0301"), ("\u00df", "ss"), ("\uff41", "a"), ("a-", "a"), ("a ", "a"),
    ("01", "1"),
)  # fmt: skip
"""Pairs that differ only in case, accent, Unicode form, spelling, width, punctuation, padding or leading zeros."""


def view_collations(query: ViewQuery) -> exp.Select | None:
    """Select how a view's join keys are compared; None if no key is text. See `collations` for the columns."""
    relation, time = query.view.relation, query.view.event_timestamp
    rows = table(relation, dialect=query.dialect)
    return collations(rows, relation, query.key_types, time=time, dialect=query.dialect)


def collations(
    rows: exp.Expr, relation: Relation, types: Mapping[str, ValueType], *, time: str | None, dialect: Dialect
) -> exp.Select | None:
    """Select one row: for each column of text, the first pair that its collation treats as equal, or null.

    No row of the table is read: the pair takes the collation of the column, whether that is the column's own or a
    default of the table or the session. Asking the catalog instead does not work: DuckDB's lists no collations.

    Args:
        rows: What to select from.
        relation: Its columns.
        types: Types of the columns to ask for, by name.
        time: A column by which the table may be partitioned.
        dialect: Dialect of the warehouse.

    Returns:
        None if no column is text.
    """
    names = [name for name, kind in types.items() if kind.kind == "string"]
    if not names:
        return None
    selected = exp.select(*(named(_first_alike(column(relation, name)), name) for name in names))
    return _pruned(selected.from_(rows).where(exp.false()), relation, time, dialect)


def _pruned(asked: exp.Select, relation: Relation, time: str | None, dialect: Dialect) -> exp.Select:
    """Filter on one moment: otherwise BigQuery bills the whole table, or refuses one that needs a partition filter."""
    if time is None:
        return asked
    kind = value_type(relation.columns[time], relation, dialect=dialect)
    return asked.where(column(relation, time).eq(dialect.literal(EPOCH, kind)))


def _first_alike(stored: exp.Expr) -> exp.Expr:
    """Write the first pair of `_ALIKE` that is equal under the collation of a column; null if all pairs differ."""

    def is_alike(one: str, other: str) -> exp.Expr:
        collated = exp.Coalesce(this=exp.Max(this=stored.copy()), expressions=[exp.Literal.string(one)])
        return exp.EQ(this=collated, expression=exp.Literal.string(other))

    ifs = [exp.If(this=is_alike(*pair), true=exp.Literal.string("{!r} and {!r}".format(*pair))) for pair in _ALIKE]
    return exp.Case(ifs=ifs)
