"""Makes text of an expression: every name folded and quoted for its warehouse, formatted for reading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from sqlglot import ErrorLevel, exp

from feature_sync.sql.columns import VERBATIM
from feature_sync.sql.dialects import dialect_named

Statement: TypeAlias = exp.Expr
Query: TypeAlias = exp.Query
Select: TypeAlias = exp.Select
_LINE = 100
_JINJA = re.compile(r"\{(?=[{%#])")


def render(query: Statement, *, dialect: str, is_template: bool = False, database: str | None = None) -> str:
    """Write a query or a statement as text that ends in a newline; the same one always gives the same bytes.

    A table that names its schema alone stands in the `database`. A template is a dbt model: whatever its literals hold,
    dbt's Jinja must leave it alone.

    Raises:
        RequestError: There is no such dialect here.
    """
    written = dialect_named(dialect)
    copy = query.copy()
    for table in copy.find_all(exp.Table) if database else ():
        if table.db and not table.catalog:
            table.set("catalog", exp.to_identifier(database, quoted=True))
    for identifier in copy.find_all(exp.Identifier):
        if not identifier.quoted:
            identifier.set("this", written.fold(identifier.this))
            identifier.set("quoted", True)
    _make_types_explicit(copy, written.explicit_types, dialect)
    for alias in list(copy.find_all(exp.Alias)):
        keeps_name = isinstance(alias.this, exp.Column) and alias.this.name == alias.alias
        if keeps_name and not (written.names_by_table and alias.this.table):
            alias.replace(alias.this)
    text = copy.sql(dialect=dialect, pretty=True, max_text_width=_LINE, unsupported_level=ErrorLevel.RAISE) + "\n"
    if is_template:
        text = _JINJA.sub("{{ '{' }}", text)
    for place in copy.find_all(exp.Var):
        if VERBATIM in place.meta:
            text = text.replace(place.name, place.meta[VERBATIM])
    return text


def _make_types_explicit(query: Statement, explicit_types: Mapping[exp.DType, str], dialect: str) -> None:
    for data_type in list(query.find_all(exp.DataType)):
        if explicit := explicit_types.get(data_type.this):
            data_type.replace(exp.DataType.build(explicit, dialect=dialect))
