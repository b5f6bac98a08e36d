"""Names in expressions: columns as the warehouse stores them, tables as dbt quoted them, names nobody else has."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

from sqlglot import exp

from feature_sync.definitions import Relation

if TYPE_CHECKING:
    from feature_sync.sql.dialects.base import Dialect

VERBATIM = "verbatim_"


def table(relation: Relation, *, dialect: Dialect) -> exp.Table:
    """Refer to a table by the name that dbt already quoted, or as a dbt model refers to it."""
    if relation.name.startswith("{{"):
        return exp.Table(this=verbatim(relation.name))
    return exp.to_table(relation.name, dialect=dialect.name)


def every_column(relation: Relation, *, dialect: Dialect) -> exp.Select:
    """Select a table as it is: for the warehouse to describe, not to run."""
    return exp.select("*").from_(table(relation, dialect=dialect))


def typed_rows(query: str) -> exp.Table:
    """Read from a query in the warehouse's own words, which `typed_query` has checked."""
    alias = exp.TableAlias(this=exp.to_identifier("rows", quoted=True))
    return exp.Table(this=verbatim(f"(\n{query.strip()}\n)"), alias=alias)


def verbatim(text: str) -> exp.Var:
    """Stand for text that `render` puts in place unchanged: the variable's own name only marks the place."""
    place = exp.Var(this=f"{VERBATIM}{sha256(text.encode()).hexdigest()}")
    place.meta[VERBATIM] = text
    return place


def column(relation: Relation, name: str, *, of: str | None = None) -> exp.Column:
    """Refer to a column of a relation; a name of unknown spelling stays unquoted here, for `render` to fold."""
    declared = relation.columns.get(name)
    if declared is not None and declared.stored_as is not None:
        return quoted(declared.stored_as, of=of)
    return exp.column(exp.to_identifier(name, quoted=False), table=of and exp.to_identifier(of, quoted=True))


def quoted(name: str, *, of: str | None = None) -> exp.Column:
    """Refer to a column by its exact name."""
    return exp.column(exp.to_identifier(name, quoted=True), table=of and exp.to_identifier(of, quoted=True))


def named(expression: exp.Expr, name: str) -> exp.Expr:
    """Give an expression an exact name; a column that has it already stays as it is."""
    if isinstance(expression, exp.Column) and expression.this.quoted and expression.name == name:
        return expression
    return exp.alias_(expression, exp.to_identifier(name, quoted=True))


def ascending(term: exp.Expr, *, nulls_first: bool = False) -> exp.Ordered:
    """Order from the least to the greatest, with nothing left to a session's default."""
    return exp.Ordered(this=term, desc=False, nulls_first=nulls_first)


def descending(term: exp.Expr, *, nulls_first: bool = False) -> exp.Ordered:
    """Order from the greatest to the least, with nothing left to a session's default."""
    return exp.Ordered(this=term, desc=True, nulls_first=nulls_first)


def is_not_null(expression: exp.Expr) -> exp.Expr:
    """Test for a value, in the usual spelling."""
    return exp.Is(this=expression, expression=exp.Not(this=exp.null()))


def unused(name: str, taken: Iterable[str]) -> str:
    """Find a name near the wanted one that nobody has taken, whatever its case; the same every time."""
    folded = {each.casefold() for each in taken}
    while name.casefold() in folded:
        name = f"{name}_"
    return name
