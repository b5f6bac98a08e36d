"""Maps a warehouse's own names of types to the closed list of value types, with sqlglot."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from sqlglot import exp
from sqlglot.errors import SqlglotError

from feature_sync.definitions import Column, FeatureView, Relation
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.scalars import KIND_OF
from feature_sync.value_types import ValueType

_Type = exp.DataType.Type
_PADDED = {_Type.CHAR, _Type.NCHAR, _Type.BPCHAR}
_OTHER_TIMESTAMPS = {_Type.TIMESTAMP_S, _Type.TIMESTAMP_MS, _Type.TIMESTAMP_NS}
_AS_TEXT = {_Type.INTERVAL, _Type.UINT128, _Type.INT256, _Type.UINT256, *_PADDED}
_WIDEST = {_Type.UINT128, _Type.INT256, _Type.UINT256}
"""Integers that exceed Arrow's decimals of 128 bits, and so are decimals of the most digits that Arrow has."""
_WIDEST_DIGITS = 76
_BY_DRIVERS = {_Type.TIME, _Type.NULL}
"""Types that a feature cannot have, but a column of a spine can."""
_NESTED = {_Type.ARRAY, _Type.LIST, _Type.STRUCT, _Type.MAP}
_SYNONYMS = {
    ("", _Type.BPCHAR): _Type.CHAR,
    ("bigquery", _Type.INT): _Type.BIGINT,
    ("bigquery", _Type.SMALLINT): _Type.BIGINT,
    ("bigquery", _Type.TINYINT): _Type.BIGINT,
}
"""Types that sqlglot distinguishes and a warehouse does not, by dialect; "" is every dialect."""


def value_type(column: Column, relation: Relation, *, dialect: Dialect) -> ValueType:
    """Return the type of a column.

    Args:
        column: The column.
        relation: Its relation, which the error names.
        dialect: The dialect of the warehouse that holds it.

    Raises:
        DefinitionError: The type is not in the closed list.
    """
    at = relation.location.at(f"columns.{column.name}.data_type")
    try:
        found = _normalised(_parsed(column.data_type or "", dialect), dialect)
    except SqlglotError:
        found = None
    if found is None:
        raise at.error(f"{column.data_type!r} cannot be a feature, a key or a time; cast it in the model")
    return found


def key_type(column: Column, relation: Relation, *, dialect: Dialect) -> ValueType:
    """Return the type of a join key; only types whose equal values have one spelling can identify an entity.

    Args:
        column: The column of the key.
        relation: Its relation, which the error names.
        dialect: The dialect of the warehouse that holds it.

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
    found = _normalised(parsed, dialect)
    if found is None or not found.can_be_key or parsed.this in _PADDED:
        raise at.error(refusal)
    return found


def output_type(data_type: str | None, *, dialect: Dialect) -> exp.DataType | None:
    """Return the type to which a training set casts a column; None if the column keeps its own type.

    Types that Arrow or the drivers do not hold exactly (intervals, unsigned integers of 128 bits or more, padded text)
    or do not know become text. Timestamps of other units become microseconds, as in Redis, and arrays of a fixed
    length lists.
    """
    try:
        parsed = _parsed(data_type or "", dialect)
    except SqlglotError:
        return exp.DataType.build("text")
    if parsed.this in _BY_DRIVERS:
        return None
    if _normalised(parsed, dialect) is None and parsed.this not in _NESTED:
        return exp.DataType.build("text")
    output: exp.DataType = parsed.transform(_as_output)  # type: ignore[assignment]
    for each in output.find_all(exp.DataType):
        each.set("values", None)
    return None if output == parsed else output


def plain_time(value: exp.Expr, column: Column | None, *, dialect: Dialect) -> exp.Expr:
    """Cast timestamps in seconds, milliseconds or nanoseconds to microseconds; return other values unchanged.

    Args:
        value: A column, or an expression of its type.
        column: What is known of the column; None if nothing is.
        dialect: The dialect in which its type is declared.
    """
    try:
        parsed = _parsed((column and column.data_type) or "", dialect)
    except SqlglotError:
        return value
    plain: exp.DataType = parsed.transform(_in_microseconds)  # type: ignore[assignment]
    return value if plain == parsed else exp.cast(value, plain)


def _as_output(node: exp.Expr) -> exp.Expr:
    if not isinstance(node, exp.DataType):
        return node
    if node.this in _AS_TEXT or isinstance(node.this, exp.Interval):
        return exp.DataType.build("text")
    return _in_microseconds(node)


def _in_microseconds(node: exp.Expr) -> exp.Expr:
    is_other = isinstance(node, exp.DataType) and node.this in _OTHER_TIMESTAMPS
    return exp.DataType.build("timestamp") if is_other else node


def is_sortable(data_type: str | None, *, dialect: Dialect) -> bool:
    """True if a column of this type can be ordered by: one of the closed list's scalars except JSON."""
    try:
        found = _normalised(_parsed(data_type or "", dialect), dialect)
    except SqlglotError:
        return False
    return found is not None and found.scalar is not None and found.kind != "json"


def is_padded(column: Column, *, dialect: Dialect) -> bool:
    """True if a column holds blank-padded text, whose trailing blanks are ignored in comparisons."""
    return _parsed(column.data_type or "", dialect).this in _PADDED


def normal_type(data_type: str, *, dialect: Dialect) -> str:
    """Write a type in one normal spelling: a catalog, a contract and the warehouse may spell it differently.

    Types of different widths stay different: rows kept in a column of one may not fit a column of another.
    """
    try:
        parsed = _parsed(data_type, dialect).copy()
    except SqlglotError:
        return " ".join(data_type.split()).lower()
    for each in parsed.find_all(exp.DataType):
        each.set("this", _SYNONYMS.get((dialect.name, each.this)) or _SYNONYMS.get(("", each.this)) or each.this)
    for name in parsed.find_all(exp.Identifier):
        name.set("quoted", True)
    return parsed.sql()


def with_normal_types(view: FeatureView, *, dialect: Dialect) -> FeatureView:
    """Write the types of all columns of a view in their normal spelling, for fingerprints."""
    columns = {
        name: replace(column, data_type=column.data_type and normal_type(column.data_type, dialect=dialect))
        for name, column in view.relation.columns.items()
    }
    return replace(view, relation=replace(view.relation, columns=columns))


def _parsed(data_type: str, dialect: Dialect) -> exp.DataType:
    """Parse a type; parsed, the different spellings of structs and enums by DuckDB and sqlglot are equal.

    The result is shared: whoever changes it, copies it first.

    Raises:
        SqlglotError: sqlglot does not know the type.
    """
    return _parsed_once(data_type, dialect.name)


@lru_cache(maxsize=1024)
def _parsed_once(data_type: str, dialect: str) -> exp.DataType:
    """Parse a type once: a wide service has few types, and asks for that of each column several times."""
    return exp.DataType.build(data_type, dialect=dialect, udt=False)


def _normalised(parsed: exp.DataType, dialect: Dialect, *, in_array: bool = False) -> ValueType | None:
    inner = parsed.expressions
    if parsed.this in (_Type.ARRAY, _Type.LIST):
        is_known = bool(inner) and isinstance(inner[0], exp.DataType)
        element = _normalised(inner[0], dialect, in_array=True) if is_known else None
        return ValueType("array", element=element) if element is not None else None
    if parsed.this is _Type.STRUCT:
        return _struct(inner, dialect)
    if parsed.this in _WIDEST:
        return ValueType("decimal", precision=_WIDEST_DIGITS, scale=0)
    kind = KIND_OF.get(parsed.this)
    if kind == "float32" and not (in_array and dialect.has_float32):
        return ValueType("float64")
    if kind == "decimal":
        numbers = [int(each.name) for each in inner] or [*dialect.plain_decimals.get(parsed.this, ())]
        return ValueType(kind, precision=numbers[0], scale=sum(numbers[1:])) if numbers else ValueType(kind)
    return ValueType(kind) if kind else None


def _struct(inner: list[exp.Expr], dialect: Dialect) -> ValueType | None:
    """Return a struct's type; None if a field has none, or is an array of fixed length.

    Where a join finds no row, DuckDB 2.0 makes zeros of such an array in a struct, in place of null.
    """
    kinds = {each.name: each.args["kind"] for each in inner if isinstance(each, exp.ColumnDef)}
    fields = [(name, None if kind.args.get("values") else _normalised(kind, dialect)) for name, kind in kinds.items()]
    known = tuple((name, field) for name, field in fields if field is not None)
    return ValueType("struct", fields=known) if known and len(known) == len(inner) else None
