"""Turns values into what Redis holds, inside the warehouse: integers, doubles, booleans, text and bytes only."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import is_not_null
from feature_sync.value_types import ValueType

_AS_THEY_ARE = ("bool", "int64", "float64", "string", "bytes")
_CASTS = {"int64": "bigint", "float64": "double", "string": "text"}
_TEXTS = ("decimal", "wideint", "uuid", "interval", "json")


def wire(value: exp.Expr, kind: ValueType, *, dialect: str) -> exp.Expr:
    """Convert a value: a date to days and a timestamp to microseconds since 1970, what has no such form to text."""
    if kind.kind in _TEXTS:
        return exp.cast(value, "text")
    if kind.kind == "date":
        return exp.cast(exp.Sub(this=value, expression=exp.cast(exp.Literal.string("1970-01-01"), "date")), "bigint")
    if kind.kind in ("timestamp", "timestamptz"):
        return _microseconds(value, dialect)
    if kind.element is not None:
        return _array(value, kind.element, dialect)
    if kind.kind == "struct":
        return _struct(value, kind, dialect)
    return exp.cast(value, _CASTS[kind.kind]) if kind.kind in _CASTS else value


def microseconds(moment: exp.Expr, *, dialect: str) -> exp.Expr:
    """Count the microseconds of a UTC moment since 1970."""
    return _microseconds(moment, dialect)


def json_text(value: exp.Expr, *, dialect: str) -> exp.Expr:
    """Write a value without an order of its own as JSON text, to order rows by."""
    return exp.cast(exp.func("TO_JSON", value, dialect=dialect), "text")


def _microseconds(moment: exp.Expr, dialect: str) -> exp.Expr:
    if dialect == "duckdb":
        return exp.Anonymous(this="EPOCH_US", expressions=[moment])
    seconds = exp.Extract(this=exp.var("EPOCH"), expression=moment)
    return exp.cast(exp.Mul(this=seconds, expression=exp.Literal.number(1_000_000)), "bigint")


def _array(value: exp.Expr, element: ValueType, dialect: str) -> exp.Expr:
    scalar = element
    while scalar.element is not None:
        scalar = scalar.element
    if scalar.kind in _AS_THEY_ARE and scalar.kind not in _CASTS:
        return value
    item = exp.to_identifier("item", quoted=True)
    converted = wire(exp.column(item), element, dialect=dialect)
    if dialect == "duckdb":
        body = exp.Lambda(this=converted, expressions=[item])
        return exp.Anonymous(this="LIST_TRANSFORM", expressions=[value, body])
    place = exp.to_identifier("place", quoted=True)
    items = exp.Unnest(
        expressions=[value],
        offset=place,
        alias=exp.TableAlias(this=exp.to_identifier("items", quoted=True), columns=[item]),
    )
    array = exp.Array(expressions=[exp.select(converted).from_(items).order_by(exp.column(place))])
    return exp.Case(ifs=[exp.If(this=is_not_null(value.copy()), true=array)])


def _struct(value: exp.Expr, kind: ValueType, dialect: str) -> exp.Expr:
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
