"""Reads a warehouse's own names of types into the closed list, by sqlglot."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp
from sqlglot.errors import SqlglotError

from feature_sync.definitions import Column, FeatureView, Relation
from feature_sync.value_types import ValueType

_Type = exp.DataType.Type
_KINDS = {
    "bool": {_Type.BOOLEAN},
    "int64": {_Type.TINYINT, _Type.SMALLINT, _Type.MEDIUMINT, _Type.INT, _Type.BIGINT,
              _Type.UTINYINT, _Type.USMALLINT, _Type.UINT, _Type.SMALLSERIAL, _Type.SERIAL, _Type.BIGSERIAL},
    "wideint": {_Type.INT128, _Type.INT256, _Type.UBIGINT, _Type.UINT128, _Type.UINT256},
    "float64": {_Type.FLOAT, _Type.DOUBLE},
    "string": {_Type.VARCHAR, _Type.TEXT, _Type.NVARCHAR, _Type.NAME, _Type.ENUM, *exp.DataType.TEXT_TYPES},
    "bytes": {_Type.BINARY, _Type.VARBINARY, _Type.BLOB},
    "date": {_Type.DATE},
    "timestamp": {_Type.TIMESTAMP, _Type.DATETIME, _Type.TIMESTAMPNTZ, _Type.TIMESTAMP_S, _Type.TIMESTAMP_MS,
                  _Type.TIMESTAMP_NS},
    "timestamptz": {_Type.TIMESTAMPTZ, _Type.TIMESTAMPLTZ},
    "interval": {_Type.INTERVAL},
    "uuid": {_Type.UUID},
    "json": {_Type.JSON, _Type.JSONB},
}  # fmt: skip
_KIND_OF = {each: kind for kind, types in _KINDS.items() for each in types}
_DECIMALS = {_Type.DECIMAL, _Type.BIGDECIMAL, _Type.UDECIMAL, _Type.DECIMAL128, _Type.DECIMAL256}
_PADDED = {_Type.CHAR, _Type.NCHAR, _Type.BPCHAR}
_SYNONYMS = {
    ("", _Type.BPCHAR): _Type.CHAR,
    ("bigquery", _Type.INT): _Type.BIGINT,
    ("bigquery", _Type.SMALLINT): _Type.BIGINT,
    ("bigquery", _Type.TINYINT): _Type.BIGINT,
}
"""What sqlglot takes for two types, by dialect where it is one there alone."""
TIMES = ("date", "timestamp", "timestamptz")
_KEYS = ("bool", "int64", "wideint", "decimal", "string", "date", "timestamp", "timestamptz", "uuid")


def value_type(column: Column, relation: Relation, *, dialect: str) -> ValueType:
    """Read the type of a column.

    Raises:
        DefinitionError: The type is not in the closed list.
    """
    at = relation.location.at(f"columns.{column.name}.data_type")
    try:
        found = _normalised(_parsed(column.data_type or "", dialect))
    except SqlglotError:
        found = None
    if found is None:
        raise at.error(f"{column.data_type!r} cannot be a feature, a key or a time; cast it in the model")
    return found


def key_type(column: Column, relation: Relation, *, dialect: str) -> ValueType:
    """Read the type of a join key; only types whose equal values are written alike may identify an entity.

    Raises:
        DefinitionError: The type is a float, bytes, padded or case-insensitive text, or another without one spelling.
    """
    at = relation.location.at(f"columns.{column.name}.data_type")
    refusal = (
        f"{column.data_type!r} cannot be a join key: equal values may be written differently; cast it in the model"
    )
    try:
        parsed = _parsed(column.data_type or "", dialect)
    except SqlglotError:
        raise at.error(refusal) from None
    found = _normalised(parsed)
    if found is None or found.kind not in _KEYS or parsed.this in _PADDED:
        raise at.error(refusal)
    return found


def normal_type(data_type: str, *, dialect: str) -> str:
    """Write a type in the one spelling that stands for all: a catalog, a contract and the warehouse choose others.

    Other widths stay other types: rows that are kept in columns of one may not fit those of another.
    """
    try:
        parsed = _parsed(data_type, dialect)
    except SqlglotError:
        return " ".join(data_type.split()).lower()
    for each in parsed.find_all(exp.DataType):
        each.set("this", _SYNONYMS.get((dialect, each.this)) or _SYNONYMS.get(("", each.this)) or each.this)
    for name in parsed.find_all(exp.Identifier):
        name.set("quoted", True)
    return parsed.sql()


def with_normal_types(view: FeatureView, *, dialect: str) -> FeatureView:
    """Write the types of all columns of a view in their normal spelling, for fingerprints."""
    columns = {
        name: replace(column, data_type=column.data_type and normal_type(column.data_type, dialect=dialect))
        for name, column in view.relation.columns.items()
    }
    return replace(view, relation=replace(view.relation, columns=columns))


def _parsed(data_type: str, dialect: str) -> exp.DataType:
    """Parse a type; DuckDB and sqlglot differ in how they write structs and enums, so those meet here."""
    return exp.DataType.build(data_type, dialect=dialect, udt=False)


def _normalised(parsed: exp.DataType) -> ValueType | None:
    inner = parsed.expressions
    if parsed.this in (_Type.ARRAY, _Type.LIST):
        element = _normalised(inner[0]) if inner and isinstance(inner[0], exp.DataType) else None
        return ValueType("array", element=element) if element is not None else None
    if parsed.this is _Type.STRUCT:
        fields = [(each.name, _normalised(each.args["kind"])) for each in inner if isinstance(each, exp.ColumnDef)]
        known = tuple((name, field) for name, field in fields if field is not None)
        return ValueType("struct", fields=known) if known and len(known) == len(inner) else None
    if parsed.this in _DECIMALS:
        numbers = [int(each.name) for each in inner]
        return ValueType("decimal", precision=numbers[0], scale=sum(numbers[1:])) if numbers else ValueType("decimal")
    kind = "string" if parsed.this in _PADDED else _KIND_OF.get(parsed.this)
    return ValueType(kind) if kind else None
