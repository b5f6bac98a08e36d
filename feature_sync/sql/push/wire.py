"""Converts values to wire form in the warehouse: only integers, doubles, booleans, text and bytes."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import is_not_null
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.scalars import SQL_SCALARS, as_it_is
from feature_sync.value_types import ValueType


def wire(value: exp.Expr, kind: ValueType, *, dialect: Dialect) -> exp.Expr:
    """Convert a value to wire form: a date to days and a timestamp to microseconds since 1970, other types to text.

    Integers, doubles, booleans, text and bytes keep their kind; arrays and structs are converted item by item.

    Args:
        value: The value as the warehouse stores it.
        kind: Its type.
        dialect: Dialect of the query.
    """
    if kind.element is not None:
        return _array(value, kind.element, dialect)
    if kind.kind == "struct":
        return _struct(value, kind, dialect)
    return SQL_SCALARS[kind.kind].to_wire(value, kind, dialect)


def _array(value: exp.Expr, element: ValueType, dialect: Dialect) -> exp.Expr:
    scalar = element
    while scalar.element is not None:
        scalar = scalar.element
    # Of a column, FLOAT is read as float64 and cast; of an array, what is read as float64 has 64 bits already.
    if scalar.kind == "float64" or (scalar.kind in SQL_SCALARS and SQL_SCALARS[scalar.kind].to_wire is as_it_is):
        return value
    item = exp.to_identifier("item", quoted=True)
    return dialect.convert_array(value, item, wire(exp.column(item), element, dialect=dialect))


def _struct(value: exp.Expr, kind: ValueType, dialect: Dialect) -> exp.Expr:
    fields = [
        exp.PropertyEQ(
            this=exp.to_identifier(name, quoted=True),
            expression=wire(
                exp.Dot(this=value.copy(), expression=exp.to_identifier(name, quoted=True)), each, dialect=dialect
            ),
        )
        for name, each in kind.fields
    ]
    return exp.Case(ifs=[exp.If(this=is_not_null(value.copy()), true=exp.Struct(expressions=fields))])
