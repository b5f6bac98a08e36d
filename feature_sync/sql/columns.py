"""Names in expressions: columns as the warehouse stores them, tables as dbt quotes them, unused names."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

from sqlglot import exp

from feature_sync.definitions.relation import Relation

if TYPE_CHECKING:
    from feature_sync.sql.dialects.base import Dialect

VERBATIM = "verbatim_"


def table(relation: Relation, *, dialect: Dialect) -> exp.Table:
    """Refer to a table by the name that dbt already quoted, or by the Jinja (`{{ ref(...) }}`) of a dbt model."""
    if relation.name.startswith("{{"):
        return exp.Table(this=verbatim(relation.name))
    return exp.to_table(relation.name, dialect=dialect.name)


def every_column(relation: Relation, *, dialect: Dialect) -> exp.Select:
    """Select all columns of a table; for the warehouse to describe, not to run."""
    return exp.select("*").from_(table(relation, dialect=dialect))


def typed_rows(query: str) -> exp.Table:
    """Read from a query in the warehouse's own SQL, which `typed_query` has checked."""
    alias = exp.TableAlias(this=exp.to_identifier("rows", quoted=True))
    return exp.Table(this=verbatim(f"(\n{query.strip()}\n)"), alias=alias)


def verbatim(text: str) -> exp.Var:
    """Return a marker that `render` replaces with the text, unchanged.

    A digest in the name of the marker makes it unlike any other name in the query.
    """
    marker = exp.Var(this=f"{VERBATIM}{sha256(text.encode()).hexdigest()}")
    marker.meta[VERBATIM] = text
    return marker


def column(relation: Relation, name: str, *, of: str | None = None) -> exp.Column:
    """Refer to a column of a relation; a name of unknown spelling stays unquoted, for `render` to fold.

    Args:
        relation: The relation that declares the column.
        name: The name of the column in its definition.
        of: The table, alias or step that qualifies the column.
    """
    declared = relation.columns.get(name)
    if declared is not None and declared.stored_as is not None:
        return quoted(declared.stored_as, of=of)
    return exp.column(exp.to_identifier(name, quoted=False), table=of and exp.to_identifier(of, quoted=True))


def quoted(name: str, *, of: str | None = None) -> exp.Column:
    """Refer to a column by its exact name, qualified by the table, alias or step `of`."""
    table = of and exp.Identifier(this=of, quoted=True)
    return exp.Column(this=exp.Identifier(this=name, quoted=True), table=table or None)


def named(expression: exp.Expr, name: str) -> exp.Expr:
    """Give an expression an exact name; a column that already has it is returned unchanged."""
    if isinstance(expression, exp.Column) and expression.this.quoted and expression.name == name:
        return expression
    return exp.alias_(expression, exp.to_identifier(name, quoted=True))


def ascending(term: exp.Expr, *, nulls_first: bool = False) -> exp.Ordered:
    """Order from the least to the greatest, with the position of nulls explicit rather than the session's default."""
    return exp.Ordered(this=term, desc=False, nulls_first=nulls_first)


def descending(term: exp.Expr, *, nulls_first: bool = False) -> exp.Ordered:
    """Order from the greatest to the least, with the position of nulls explicit rather than the session's default."""
    return exp.Ordered(this=term, desc=True, nulls_first=nulls_first)


def is_not_null(expression: exp.Expr) -> exp.Expr:
    """Test for a value, spelled `IS NOT NULL` rather than `NOT ... IS NULL`."""
    return exp.Is(this=expression, expression=exp.Not(this=exp.null()))


def extend(query: exp.Select, columns: Iterable[exp.Expr], joins: Iterable[exp.Join] = ()) -> exp.Select:
    """Add columns and joins to a query in place and return it; `select` and `join` copy all that is there already."""
    for each in columns:
        query.append("expressions", each)
    for join in joins:
        query.append("joins", join)
    return query


class TakenNames:
    """Names that no other name may equal, ignoring case; folded once, however many names are asked for."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._folded = {each.casefold() for each in names}

    def unused(self, name: str) -> str:
        """Append underscores to a name until it is not taken; deterministic."""
        while name.casefold() in self._folded:
            name = f"{name}_"
        return name

    def take(self, name: str) -> str:
        """Return an `unused` name, which is taken from now on."""
        chosen = self.unused(name)
        self._folded.add(chosen.casefold())
        return chosen
