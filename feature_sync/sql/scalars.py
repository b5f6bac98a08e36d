"""One record for each scalar type in SQL: the warehouses' types that are read as it, and how its values are written.

sqlglot spells the types of each dialect, except for the few in `Dialect.explicit_types`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, TypeAlias

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect
from feature_sync.value_types import ValueType

Converting: TypeAlias = Callable[[exp.Expr, ValueType, Dialect], exp.Expr]
Ordering: TypeAlias = Callable[[exp.Expr, ValueType, Dialect], list[exp.Expr]]
Writing: TypeAlias = Callable[[Any, ValueType, Dialect], exp.Expr]
_Type = exp.DataType.Type
_BIGINT_ENDS = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlScalar:
    """A scalar type in SQL; `feature_sync.value_types.Scalar` is its form in Redis and in files."""

    types: tuple[exp.DType, ...]
    """The warehouses' types that are read as it, the usual one first."""
    to_wire: Converting
    """Converts a value to what Redis holds."""
    order: Ordering
    """Returns terms that order values alike in all warehouses; equal ones are left to `Dialect.distinguish_equals`."""
    default: Writing | None
    """Writes a default that `read_default` has read; None where the type can have none."""


def as_it_is(value: exp.Expr, kind: ValueType, dialect: Dialect) -> exp.Expr:
    """Return a value unchanged: Redis holds what the warehouse returns."""
    del kind, dialect
    return value


def _cast_to(data_type: str) -> Converting:
    return lambda value, _kind, _dialect: exp.cast(value, data_type)


def _days(value: exp.Expr, _kind: ValueType, dialect: Dialect) -> exp.Expr:
    return dialect.days(value)


def _microseconds(value: exp.Expr, kind: ValueType, dialect: Dialect) -> exp.Expr:
    return dialect.microseconds(dialect.utc(value, kind, timezone="UTC"))


def _json(value: exp.Expr, _kind: ValueType, dialect: Dialect) -> exp.Expr:
    return dialect.stored_json(value)


def _own_order(value: exp.Expr, _kind: ValueType, _dialect: Dialect) -> list[exp.Expr]:
    return [value]


def _code_points(value: exp.Expr, _kind: ValueType, dialect: Dialect) -> list[exp.Expr]:
    return [dialect.by_code_point(value)]


def by_json_text(value: exp.Expr, kind: ValueType, dialect: Dialect) -> list[exp.Expr]:
    """Order values of a type without an order by their JSON text."""
    return [dialect.by_code_point(dialect.ordered_text(value, kind))]


def _nan_highest(value: exp.Expr, _kind: ValueType, dialect: Dialect) -> list[exp.Expr]:
    return [value] if dialect.puts_nan_highest else [exp.IsNan(this=value.copy()), value]


def _constant(default: Any, _kind: ValueType, _dialect: Dialect) -> exp.Expr:
    return exp.convert(default)


def _text(default: Any, _kind: ValueType, _dialect: Dialect) -> exp.Expr:
    return exp.Literal.string(str(default))


def _integer(default: int, _kind: ValueType, _dialect: Dialect) -> exp.Expr:
    """Write a number beyond 64 bits as text: a warehouse may read its literal as a double, or refuse it."""
    return exp.convert(default) if abs(default) < _BIGINT_ENDS else exp.Literal.string(str(default))


def _double(default: float, _kind: ValueType, dialect: Dialect) -> exp.Expr:
    if math.isfinite(default):
        return exp.convert(default)
    return exp.Literal.string(str(default).replace("inf", dialect.infinity).replace("nan", "NaN"))


def _decimal(default: Decimal, _kind: ValueType, _dialect: Dialect) -> exp.Expr:
    """Write a number as text: a warehouse may read its literal as a double."""
    return exp.Literal.string(f"{default:f}")


def _time(default: date, kind: ValueType, dialect: Dialect) -> exp.Expr:
    moment = default if isinstance(default, datetime) else datetime.combine(default, time(), UTC)
    return dialect.literal(moment, kind)


SQL_SCALARS: dict[str, SqlScalar] = {
    "bool": SqlScalar(types=(_Type.BOOLEAN,), to_wire=as_it_is, order=_own_order, default=_constant),
    "int64": SqlScalar(
        types=(
            _Type.BIGINT, _Type.TINYINT, _Type.SMALLINT, _Type.MEDIUMINT, _Type.INT,
            _Type.UTINYINT, _Type.USMALLINT, _Type.UINT, _Type.SMALLSERIAL, _Type.SERIAL, _Type.BIGSERIAL,
        ),
        to_wire=_cast_to("bigint"),
        order=_own_order,
        default=_integer,
    ),
    "wideint": SqlScalar(
        types=(_Type.INT128, _Type.UBIGINT),
        to_wire=_cast_to("text"),
        order=_own_order,
        default=_integer,
    ),
    "float32": SqlScalar(types=(_Type.FLOAT,), to_wire=as_it_is, order=_nan_highest, default=None),
    "float64": SqlScalar(types=(_Type.DOUBLE,), to_wire=_cast_to("double"), order=_nan_highest, default=_double),
    "decimal": SqlScalar(
        types=(_Type.DECIMAL, _Type.BIGDECIMAL, _Type.UDECIMAL, _Type.DECIMAL128, _Type.DECIMAL256),
        to_wire=_cast_to("text"),
        order=_own_order,
        default=_decimal,
    ),
    "string": SqlScalar(
        types=(_Type.TEXT, _Type.ENUM, _Type.BPCHAR, *(exp.DataType.TEXT_TYPES - {_Type.TEXT})),
        to_wire=_cast_to("text"),
        order=_code_points,
        default=_constant,
    ),
    "bytes": SqlScalar(
        types=(_Type.VARBINARY, _Type.BINARY, _Type.BLOB), to_wire=as_it_is, order=_own_order, default=None
    ),
    "date": SqlScalar(types=(_Type.DATE,), to_wire=_days, order=_own_order, default=_time),
    "timestamp": SqlScalar(
        types=(
            _Type.TIMESTAMP, _Type.DATETIME, _Type.TIMESTAMPNTZ,
            _Type.TIMESTAMP_S, _Type.TIMESTAMP_MS, _Type.TIMESTAMP_NS,
        ),
        to_wire=_microseconds,
        order=_own_order,
        default=_time,
    ),
    "timestamptz": SqlScalar(
        types=(_Type.TIMESTAMPTZ, _Type.TIMESTAMPLTZ), to_wire=_microseconds, order=_own_order, default=_time
    ),
    "interval": SqlScalar(types=(_Type.INTERVAL,), to_wire=_cast_to("text"), order=_own_order, default=None),
    "uuid": SqlScalar(types=(_Type.UUID,), to_wire=_cast_to("text"), order=_own_order, default=_text),
    "json": SqlScalar(types=(_Type.JSON, _Type.JSONB), to_wire=_json, order=by_json_text, default=_constant),
}  # fmt: skip


KIND_OF = {each: kind for kind, scalar in SQL_SCALARS.items() for each in scalar.types}
"""The scalar type as which each of the warehouses' types is read."""


def orderable(value: exp.Expr, kind: ValueType, dialect: Dialect) -> list[exp.Expr]:
    """Return terms that order values alike in all warehouses.

    Text is ordered by code point, NaN is the highest, and types without an order are ordered by their JSON text.

    Args:
        value: The value as the warehouse stores it.
        kind: Its type.
        dialect: Dialect of the query.
    """
    scalar = SQL_SCALARS.get(kind.kind)
    return by_json_text(value, kind, dialect) if scalar is None else scalar.order(value, kind, dialect)


def default_value(default: Any, kind: ValueType, *, stored: exp.DataType, dialect: Dialect) -> exp.Expr:
    """Write a default that `read_default` has read, as a value of the type in which its feature is stored.

    The value is exact, whatever the session's settings.

    Args:
        default: The default.
        kind: Its type.
        stored: The warehouse's type of its feature.
        dialect: The dialect of the query.

    Raises:
        ValueError: Defaults of this type cannot be written; `read_default` refuses them first.
    """
    scalar = SQL_SCALARS.get(kind.kind)
    if scalar is None or scalar.default is None:
        raise ValueError(f"a default cannot be given for {kind}")
    is_float = kind.kind == "float64"  # a default of a 32-bit float is a double, as in Redis: 0.1, not 0.10000000149
    return exp.cast(scalar.default(default, kind, dialect), exp.DataType.build("double") if is_float else stored)
