"""PostgreSQL's values on their way to Arrow: times as numbers, which reach beyond Python's; errors name the column."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from feature_sync.errors import UnfitValue

if TYPE_CHECKING:
    import pyarrow

_DAYS = 10_957
"""From 1970 to 2000, where PostgreSQL begins to count."""
_MICROSECONDS = _DAYS * 86_400_000_000
_ENDLESS_DAYS = {2**31 - 1: 2**31 - 1, -(2**31): -(2**31)}
_ENDLESS_MICROSECONDS = {2**63 - 1: 2**63 - 1, -(2**63): -(2**63)}
_LAST_MICROSECOND = 2**63 - 2


class _Days(Loader):
    """Loads a date as days since 1970; infinity is the largest or the least number of 32 bits."""

    format = psycopg.pq.Format.BINARY

    def load(self, data: Buffer) -> int:
        days: int = _DAY.unpack(data)[0]
        return _ENDLESS_DAYS.get(days, days + _DAYS)


class _Microseconds(Loader):
    """Loads a timestamp as microseconds since 1970; infinity is the largest or the least number of 64 bits."""

    format = psycopg.pq.Format.BINARY

    def load(self, data: Buffer) -> int:
        count: int = _MOMENT.unpack(data)[0]
        return _ENDLESS_MICROSECONDS.get(count, min(count + _MICROSECONDS, _LAST_MICROSECOND))


_DAY = struct.Struct("!i")
_MOMENT = struct.Struct("!q")


def load_times_as_numbers(cursor: psycopg.Cursor[Any]) -> None:
    """Let a cursor give dates and timestamps, in arrays, too, as Arrow counts them."""
    cursor.adapters.register_loader("date", _Days)
    for name in ("timestamp", "timestamptz"):
        cursor.adapters.register_loader(name, _Microseconds)


def arrow_array(name: str, values: Sequence[Any], kind: pyarrow.DataType) -> pyarrow.Array:
    """Build a column of a result.

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
        raise UnfitValue(name, f"a value that is no {kind} ({' '.join(str(unfit).split())})") from unfit


def _is_time(kind: pyarrow.DataType) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_date32(kind) or pyarrow.types.is_timestamp(kind))


def _numbers(kind: pyarrow.DataType) -> pyarrow.DataType:
    import pyarrow

    return pyarrow.int32() if pyarrow.types.is_date32(kind) else pyarrow.int64()
