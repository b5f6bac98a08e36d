"""Renders expressions as text: every name folded and quoted for its warehouse, formatted for reading."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias

from sqlglot import Dialect as SqlglotDialect
from sqlglot import ErrorLevel, Generator, exp

from feature_sync.sql.columns import VERBATIM
from feature_sync.sql.dialects.base import Dialect

Statement: TypeAlias = exp.Expr
Query: TypeAlias = exp.Query
Select: TypeAlias = exp.Select
_LINE = 100
_JINJA = re.compile(r"\{(?=[{%#])")
_MARKER = re.compile(rf"{VERBATIM}[0-9a-f]{{64}}")


def render(query: Statement, *, dialect: Dialect, is_template: bool = False, database: str | None = None) -> str:
    """Write a query or a statement as text that ends in a newline; equal expressions give equal bytes.

    Args:
        query: The query or statement; it is not changed.
        dialect: The dialect to write.
        is_template: Whether the text is a dbt model, so that braces in its literals are escaped from dbt's Jinja.
        database: The database of tables that are qualified by a schema only.
    """
    copy = query.copy()
    nodes = list(copy.find_all(exp.Alias, exp.DataType, exp.Identifier, exp.Table, exp.Var))
    for table in nodes if database else ():
        if isinstance(table, exp.Table) and table.db and not table.catalog:
            table.set("catalog", exp.to_identifier(database, quoted=True))
    for identifier in nodes:
        if isinstance(identifier, exp.Identifier) and not identifier.quoted:
            identifier.set("this", dialect.fold(identifier.this))
            identifier.set("quoted", True)
    _make_types_explicit(nodes, dialect)
    for alias in nodes:
        if not isinstance(alias, exp.Alias):
            continue
        keeps_name = isinstance(alias.this, exp.Column) and alias.this.name == alias.alias
        if keeps_name and not (dialect.names_by_table and alias.this.table):
            alias.replace(alias.this)
    text = _written(copy, dialect, unsupported_level=ErrorLevel.RAISE) + "\n"
    if is_template:
        text = _JINJA.sub("{{ '{' }}", text)
    # After Jinja is escaped: verbatim text may be a `ref()` of the template.
    verbatim = {each.name: each.meta[VERBATIM] for each in nodes if isinstance(each, exp.Var) and VERBATIM in each.meta}
    return _MARKER.sub(lambda marker: verbatim.get(marker[0], marker[0]), text) if verbatim else text


def _make_types_explicit(nodes: Sequence[exp.Expr], dialect: Dialect) -> None:
    for data_type in nodes if dialect.explicit_types else ():
        if isinstance(data_type, exp.DataType) and (explicit := dialect.explicit_types.get(data_type.this)):
            data_type.replace(exp.DataType.build(explicit, dialect=dialect.name))


def write(expression: Statement, *, dialect: Dialect, **options: Any) -> str:
    """Write an expression without changing it; each term of an ORDER BY must have a direction and a position of nulls.

    Raises:
        ValueError: A term of an ORDER BY leaves one of them to the session's default: a bug in the query.
    """
    return _written(expression.copy(), dialect, **options)


def _written(expression: Statement, dialect: Dialect, **options: Any) -> str:
    """Write an expression as `write` does; the generator may change it."""
    for order in expression.find_all(exp.Order):
        if bare := [each for each in order.expressions if not isinstance(each, exp.Ordered)]:
            raise ValueError(f"an ORDER BY holds a bare term: {bare[0].sql()}")
    spelling = SqlglotDialect.get_or_raise(dialect.name)
    generator = _generator(dialect.name)(dialect=spelling, pretty=True, max_text_width=_LINE, **options)
    return generator.generate(expression, copy=False)


@cache
def _generator(name: str) -> type[Generator]:
    """Derive a generator that writes orders in full: sqlglot omits what is the warehouse's usual default.

    That default may differ in a session: it is a setting in DuckDB (`default_order`, `default_null_order`) and
    Snowflake (`DEFAULT_NULL_ORDERING`).
    """
    usual = SqlglotDialect.get_or_raise(name).generator_class
    return type(usual.__name__, (usual,), {"TRANSFORMS": {**usual.TRANSFORMS, exp.Ordered: _ordered}})


def _ordered(generator: Generator, term: exp.Ordered) -> str:
    descending, nulls_first = term.args.get("desc"), term.args.get("nulls_first")
    if descending is None or nulls_first is None:
        raise ValueError(f"a term of an ORDER BY leaves its direction or its nulls to a default: {term.sql()}")
    direction = "DESC" if descending else "ASC"
    return f"{generator.sql(term, 'this')} {direction} NULLS {'FIRST' if nulls_first else 'LAST'}"
