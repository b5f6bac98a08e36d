"""Maps PostgreSQL's types to Arrow's and back, and loads times as numbers, whose range exceeds Python's datetime."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.json import set_json_loads

from feature_sync.errors import RequestError, UnfitValue

if TYPE_CHECKING:
    import pyarrow

_DAYS = 10_957
"""From 1970 to 2000, the epoch of PostgreSQL."""
_MICROSECONDS = _DAYS * 86_400_000_000
_INFINITE_DAYS = {2**31 - 1: 2**31 - 1, -(2**31): -(2**31)}
_INFINITE_MICROSECONDS = {2**63 - 1: 2**63 - 1, -(2**63): -(2**63)}
_LAST_MICROSECOND = 2**63 - 2
_YEARS_OF_CSV = 30_000
_DAYS_OF_CSV = 365 * _YEARS_OF_CSV
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_DECIMAL128_DIGITS = 38
_COLUMN_TYPES = {
    "bool": "boolean", "int8": "smallint", "int16": "smallint", "int32": "integer", "int64": "bigint",
    "uint8": "smallint", "uint16": "integer", "uint32": "bigint", "uint64": "numeric(20, 0)", "float": "real",
    "double": "double precision", "string": "text", "date32[day]": "date", "time64[us]": "time",
}  # fmt: skip


class _Days(Loader):
    """Loads a date as days since 1970; infinity stays the largest or the least number of 32 bits."""

    format = psycopg.pq.Format.BINARY

    def load(self, data: Buffer) -> int:
        days: int = _DAY.unpack(data)[0]
        return _INFINITE_DAYS.get(days, days + _DAYS)


class _Microseconds(Loader):
    """Loads a timestamp as microseconds since 1970; infinity stays the largest or the least number of 64 bits."""

    format = psycopg.pq.Format.BINARY

    def load(self, data: Buffer) -> int:
        count: int = _MOMENT.unpack(data)[0]
        return _INFINITE_MICROSECONDS.get(count, min(count + _MICROSECONDS, _LAST_MICROSECOND))


class _UuidAsText(Loader):
    """Loads a uuid as text, as Arrow holds it."""

    format = psycopg.pq.Format.BINARY

    def load(self, data: Buffer) -> str:
        return str(UUID(bytes=bytes(data)))


_DAY = struct.Struct("!i")
_MOMENT = struct.Struct("!q")


def load_times_as_numbers(cursor: psycopg.Cursor[Any]) -> None:
    """Let a cursor return dates and timestamps, also in arrays, as the numbers that Arrow holds."""
    cursor.adapters.register_loader("date", _Days)
    for name in ("timestamp", "timestamptz"):
        cursor.adapters.register_loader(name, _Microseconds)


def load_as_text(connection: psycopg.Connection[Any]) -> None:
    """Let a connection return uuids and JSON as text, as Arrow holds them."""
    connection.adapters.register_loader("uuid", _UuidAsText)
    set_json_loads(lambda text: text.decode() if isinstance(text, bytes) else text, connection)


def column_type(field: pyarrow.Field) -> str:
    """Return PostgreSQL's type for a column of rows to load.

    Raises:
        RequestError: PostgreSQL has no such type, or its text would not come back as the same value.
    """
    import pyarrow

    kind = field.type
    if pyarrow.types.is_decimal(kind):
        return f"numeric({kind.precision}, {kind.scale})"
    if pyarrow.types.is_timestamp(kind):
        return "timestamp with time zone" if kind.tz else "timestamp"
    if str(kind) not in _COLUMN_TYPES:
        raise RequestError(f"the column {field.name!r} is {kind}, which cannot be sent to PostgreSQL; leave it out")
    return _COLUMN_TYPES[str(kind)]


def check_years(rows: pyarrow.RecordBatch) -> None:
    """Check that CSV can hold the moments of rows to load: Arrow writes no year that 16 bits do not hold.

    Raises:
        RequestError: It cannot.
    """
    import pyarrow.compute

    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        if pyarrow.types.is_timestamp(column.type):
            numbers = column.cast(pyarrow.int64())
            least, greatest = pyarrow.compute.min_max(numbers).as_py().values()
            per_day = _PER_DAY[column.type.unit]
            if least is not None and not -_DAYS_OF_CSV * per_day <= least <= greatest < _DAYS_OF_CSV * per_day:
                raise RequestError(
                    f"the column {name!r} holds a moment more than {_YEARS_OF_CSV:,} years from 1970, which cannot be "
                    "sent to PostgreSQL"
                )


def arrow_type(column: psycopg.Column) -> pyarrow.DataType:
    """Return the Arrow type of a column of a result; numeric without a precision gets Arrow's widest decimal."""
    import pyarrow

    simple = {
        "bool": pyarrow.bool_(), "int2": pyarrow.int16(), "int4": pyarrow.int32(), "int8": pyarrow.int64(),
        "float4": pyarrow.float32(), "float8": pyarrow.float64(), "bytea": pyarrow.binary(), "date": pyarrow.date32(),
        "timestamp": pyarrow.timestamp("us"), "timestamptz": pyarrow.timestamp("us", tz="UTC"),
        "interval": pyarrow.duration("us"), "time": pyarrow.time64("us"),
    }  # fmt: skip
    name = re.sub(r"\(.*?\)", "", column.type_display)
    element = name.removesuffix("[]")
    if element == "numeric":
        precision, scale = column.precision, column.scale
        if precision is None or scale is None:
            precision, scale = 76, 38
        precision, scale = max(precision - min(scale, 0), scale), max(scale, 0)  # PostgreSQL also has (3, 5), (5, -2)
        kind = (
            pyarrow.decimal128(precision, scale)
            if precision <= _DECIMAL128_DIGITS
            else pyarrow.decimal256(precision, scale)
        )
    else:
        kind = simple.get(element, pyarrow.string())
    return pyarrow.list_(kind) if name.endswith("[]") else kind


def arrow_array(name: str, values: Sequence[Any], kind: pyarrow.DataType) -> pyarrow.Array:
    """Build a column of a result.

    Args:
        name: The name of the column, for the error.
        values: Its values; times as numbers.
        kind: Its type.

    Raises:
        UnfitValue: A value does not fit the column's type.
    """
    import pyarrow

    try:
        if pyarrow.types.is_list(kind) and _is_time(kind.value_type):
            numbers = pyarrow.array(values, type=pyarrow.list_(_numbers(kind.value_type)))
            return numbers.cast(kind)
        if _is_time(kind):
            return pyarrow.array(values, type=_numbers(kind)).view(kind)
        return pyarrow.array(values, type=kind)
    except (pyarrow.ArrowException, OverflowError, ValueError) as unfit:
        raise UnfitValue(name, f"a value that is not a {kind} ({' '.join(str(unfit).split())})") from unfit


def _is_time(kind: pyarrow.DataType) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_date32(kind) or pyarrow.types.is_timestamp(kind))


def _numbers(kind: pyarrow.DataType) -> pyarrow.DataType:
    import pyarrow

    return pyarrow.int32() if pyarrow.types.is_date32(kind) else pyarrow.int64()
