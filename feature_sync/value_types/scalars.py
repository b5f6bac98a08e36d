"""One record for each scalar type: its form in Redis, in keys, in YAML and in files.

A new type needs a record here and one in `feature_sync/sql/scalars.py`; tests/test_value_types.py fails on what else is
missing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import msgspec

from feature_sync.value_types import key_forms
from feature_sync.value_types.key_forms import KeyForm
from feature_sync.value_types.moments import as_utc, clock_from_microseconds, from_days, from_microseconds

if TYPE_CHECKING:
    import pyarrow


class Equality(Enum):
    """Whether values that a warehouse treats as equal are the same bytes in Redis."""

    EXACT = auto()
    """Always, on every warehouse."""
    LOOSE = auto()
    """Not always, on every warehouse: -0.0 and 0.0, 1 day and 24 hours."""
    VARIES = auto()
    """Depends on the warehouse."""


class DefaultForm(msgspec.Struct, frozen=True):
    """How YAML writes a default: `read` converts a value of one of the YAML types in `written`."""

    read: Callable[[Any], Any]
    written: tuple[type, ...]


class Scalar(msgspec.Struct, frozen=True, kw_only=True):
    """A scalar type; `feature_sync.sql.scalars` holds its form in SQL."""

    name: str
    python: type
    """The type of its values in Python, as callers get them."""
    wire: type
    """The type of its values in Redis, as MessagePack reads them."""
    from_wire: Callable[[Any], Any] | None = None
    """Converts a value in wire form to Python; None if both are the same."""
    arrow: Callable[[int | None, int | None], pyarrow.DataType]
    """Returns the Arrow type of a file's column, by precision and scale; text for types that CSV cannot express."""
    key: KeyForm | None
    """How its values identify entities; None if equal values may have different text."""
    default: DefaultForm | None
    """How YAML writes its defaults; None if it cannot have defaults."""
    is_time: bool = False
    """Whether its values are instants, wall clocks or dates."""
    equality: Equality = Equality.VARIES
    only_in_arrays: bool = False
    """Whether only an element of an array is of this type; a column or a field of a struct has a wider one."""


def _int64(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise OverflowError(f"{value} does not fit int64")
    return value


def _float32(value: float) -> float:
    """Return the float32 nearest to a number, as a double: a driver may have read 0.1, the shortest text of one."""
    rounded: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    return rounded


def _arrow(name: str, *arguments: str) -> Callable[[int | None, int | None], pyarrow.DataType]:
    """Return a function that calls a type factory of pyarrow by name; pyarrow is only imported when it is called."""

    def make(precision: int | None, scale: int | None) -> pyarrow.DataType:
        import pyarrow

        del precision, scale
        made: pyarrow.DataType = getattr(pyarrow, name)(*arguments)
        return made

    return make


def _arrow_decimal(precision: int | None, scale: int | None) -> pyarrow.DataType:
    import pyarrow

    if precision is None or precision > _DECIMAL128_DIGITS:  # pyarrow does not convert CSV to decimal256
        return pyarrow.string()
    return pyarrow.decimal128(precision, scale or 0)


_DECIMAL128_DIGITS = 38
_FLOAT32 = struct.Struct("<f")
_ARROW_TEXT = _arrow("string")
_RECORDS = (
    Scalar(
        name="bool",
        python=bool,
        wire=bool,
        arrow=_arrow("bool_"),
        key=KeyForm(key_forms.read_boolean, key_forms.boolean_text),
        default=DefaultForm(bool, (bool,)),
        equality=Equality.EXACT,
    ),
    Scalar(
        name="int64",
        python=int,
        wire=int,
        from_wire=_int64,
        arrow=_arrow("int64"),
        key=KeyForm(key_forms.read_integer, str),
        default=DefaultForm(int, (int,)),
        equality=Equality.EXACT,
    ),
    Scalar(
        name="wideint",
        python=int,
        wire=str,
        from_wire=int,
        arrow=_ARROW_TEXT,
        key=KeyForm(key_forms.read_wide_integer, str),
        default=DefaultForm(int, (int,)),
    ),
    Scalar(
        name="float32",
        python=float,
        wire=float,
        from_wire=_float32,
        arrow=_arrow("float32"),
        key=None,
        default=None,
        equality=Equality.LOOSE,
        only_in_arrays=True,
    ),
    Scalar(
        name="float64",
        python=float,
        wire=float,
        arrow=_arrow("float64"),
        key=None,
        default=DefaultForm(float, (int, float)),
        equality=Equality.LOOSE,
    ),
    Scalar(
        name="decimal",
        python=Decimal,
        wire=str,
        from_wire=Decimal,
        arrow=_arrow_decimal,
        key=KeyForm(key_forms.read_decimal, key_forms.decimal_text),
        default=DefaultForm(lambda number: Decimal(str(number)), (int, float, str)),
    ),
    Scalar(
        name="string",
        python=str,
        wire=str,
        arrow=_ARROW_TEXT,
        key=KeyForm(key_forms.read_text, key_forms.escaped),
        default=DefaultForm(str, (str,)),
    ),
    Scalar(
        name="bytes",
        python=bytes,
        wire=bytes,
        arrow=_arrow("binary"),
        key=None,
        default=None,
        equality=Equality.EXACT,
    ),
    Scalar(
        name="date",
        python=date,
        wire=int,
        from_wire=from_days,
        arrow=_arrow("date32"),
        key=KeyForm(key_forms.read_days, key_forms.date_text),
        default=DefaultForm(date.fromisoformat, (str,)),
        is_time=True,
        equality=Equality.EXACT,
    ),
    Scalar(
        name="timestamp",
        python=datetime,
        wire=int,
        from_wire=clock_from_microseconds,
        arrow=_arrow("timestamp", "us"),
        key=KeyForm(key_forms.read_microseconds, str),
        default=DefaultForm(datetime.fromisoformat, (str,)),
        is_time=True,
        equality=Equality.EXACT,
    ),
    Scalar(
        name="timestamptz",
        python=datetime,
        wire=int,
        from_wire=from_microseconds,
        arrow=_arrow("timestamp", "us", "UTC"),
        key=KeyForm(key_forms.read_microseconds, str),
        default=DefaultForm(lambda text: as_utc(datetime.fromisoformat(text)), (str,)),
        is_time=True,
        equality=Equality.EXACT,
    ),
    Scalar(
        name="interval",
        python=str,
        wire=str,
        arrow=_ARROW_TEXT,
        key=None,
        default=None,
        equality=Equality.LOOSE,
    ),
    Scalar(
        name="uuid",
        python=str,
        wire=str,
        arrow=_ARROW_TEXT,
        key=KeyForm(key_forms.read_uuid, str.lower),
        default=DefaultForm(key_forms.read_uuid, (str,)),
        equality=Equality.EXACT,
    ),
    Scalar(
        name="json",
        python=str,
        wire=str,
        arrow=_ARROW_TEXT,
        key=None,
        default=DefaultForm(str, (str,)),
    ),
)

SCALARS = {each.name: each for each in _RECORDS}
"""All scalar types by name."""
