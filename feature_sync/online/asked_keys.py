"""Reads join keys as people and programs give them: text, Python's own values, or those of NumPy and pandas."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from numbers import Real
from typing import Any
from uuid import UUID

from feature_sync.value_types import EPOCH, ValueType, as_utc

_LARGEST_EXACT_FLOAT = 2**53
_MOST_DIGITS, _MOST_DECIMALS = 131_072, 16_383
"""Those of PostgreSQL's numeric, which is the widest; a decimal of another exponent would fill the memory as a key."""
_LONGEST_SHOWN = 60
_LONGEST_INTEGER = 80
_NULLS = ("NAType", "NaTType")
"""The types of pandas' own nulls, which is not imported for their sake."""
_PARTS_OF_MICROSECONDS = re.compile(r"[.,]\d{6}\d*[1-9]", re.ASCII)


def is_null_key(value: Any) -> bool:
    """True if a value stands for null: None, NaN, and the NA and NaT of pandas and NumPy."""
    if value is None or type(value).__name__ in _NULLS:
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, Real):
        return bool(value != value)  # noqa: PLR0124 - only NaN differs from itself
    return _is_of_numpy(value, "datetime64") and str(value) == "NaT"


def wire_key(value: Any, kind: ValueType) -> Any:
    """Read a join key that is not null into wire form.

    Raises:
        ValueError: The value is not of the key's type, or not exactly.
    """
    read = _READERS.get(kind.kind)
    if read is None:
        raise ValueError(f"{kind} cannot be a key")
    if _is_of_numpy(value, "datetime64"):
        if kind.kind in ("date", "timestamp", "timestamptz"):
            return read(str(value))  # its own item() is a bare number where it counts nanoseconds
    elif type(value).__module__ == "numpy" and hasattr(value, "item"):
        value = value.item()
    try:
        return read(value)
    except (ArithmeticError, UnicodeError) as wrong:
        raise ValueError(f"{_shown(value)} is not a {kind} that can be a key") from wrong


def _is_of_numpy(value: Any, name: str) -> bool:
    return type(value).__module__ == "numpy" and type(value).__name__ == name


def _shown(value: Any) -> str:
    """Show a value in a message, however large it is or whatever it is."""
    if isinstance(value, str | bytes):
        return repr(value[:_LONGEST_SHOWN]) + ("..." if len(value) > _LONGEST_SHOWN else "")
    if isinstance(value, int) and value.bit_length() > _LONGEST_SHOWN * 3:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, Decimal):
        return _shown(str(value)).strip("'")
    if isinstance(value, bool | int | float | date | UUID):
        return str(value)
    return f"a {type(value).__name__}"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is not text")  # noqa: TRY004 - one kind of error for what cannot be a key
    value.encode()  # half of a surrogate pair is not text
    return str(value)


def _boolean(value: Any) -> bool:
    text = str(value).lower() if isinstance(value, bool | str) else ""
    if text not in ("true", "false"):
        raise ValueError(f"{_shown(value)} is neither true nor false")
    return text == "true"


def _wide_integer(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError(f"{value} is no whole number")  # noqa: TRY004 - see _text
    if isinstance(value, int):
        number = value
    elif isinstance(value, float):
        number = _of_float(value)
    elif _is_whole(value):
        number = int(value)
    else:
        raise ValueError(f"{_shown(value)} is no whole number")
    if number.bit_length() > _LONGEST_SHOWN * 4:
        raise ValueError(f"{_shown(number)} is beyond all integers of a warehouse")
    return number


def _is_whole(value: Any) -> bool:
    """True if a decimal or a text is a whole number of a size that a key can have."""
    if isinstance(value, Decimal):
        return value.is_finite() and value.adjusted() < _LONGEST_INTEGER and value == int(value)
    return isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,80}\s*", value, re.ASCII) is not None


def _of_float(value: float) -> int:
    """Whole floats come of integers that stood beside nulls; beyond 2**53 some have lost their last digits."""
    if not value.is_integer():
        raise ValueError(f"{value} is no whole number")
    if abs(value) > _LARGEST_EXACT_FLOAT:
        raise ValueError(f"{value} is a float too large to be exact; pass an integer")
    return int(value)


def _integer(value: Any) -> int:
    number = _wide_integer(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{_shown(number)} does not fit into 64 bits")
    return number


def _decimal(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise ValueError(f"{_shown(value)} is not a number")  # noqa: TRY004 - see _text
    if isinstance(value, int) and value.bit_length() > _MOST_DIGITS * 3:
        raise ValueError(f"{_shown(value)} has more digits than a decimal of a warehouse")
    if isinstance(value, str) and not (value.isascii() and "_" not in value):
        raise ValueError(f"{_shown(value)} is not a number")
    try:
        number = Decimal(value if isinstance(value, int | Decimal) else str(value))
    except InvalidOperation as wrong:
        raise ValueError(f"{_shown(value)} is not a number") from wrong
    if not number.is_finite():
        raise ValueError(f"{_shown(value)} is not a finite number")
    if number == 0:
        return "0"
    exponent = number.as_tuple().exponent
    if number.adjusted() > _MOST_DIGITS or (isinstance(exponent, int) and exponent < -_MOST_DECIMALS):
        raise ValueError(f"{_shown(value)} has more digits than a decimal of a warehouse")
    return str(number)


def _days(value: Any) -> int:
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            value = _moment(value)
    if isinstance(value, datetime):
        if value.time() != time(0) or _nanoseconds(value):
            raise ValueError(f"{value.isoformat()} is not a date: it is not midnight")
        value = value.date()
    if not isinstance(value, date):
        raise ValueError(f"{_shown(value)} is not a date")  # noqa: TRY004 - see _text
    return (value - EPOCH.date()).days


def _microseconds(value: Any) -> int:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time(0))
    moment = _moment(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise ValueError(f"{_shown(value)} is not a moment")  # noqa: TRY004 - see _text
    if _nanoseconds(moment):
        raise ValueError(f"{moment.isoformat()} is finer than a microsecond")
    return (as_utc(moment) - EPOCH) // timedelta(microseconds=1)


def _nanoseconds(moment: datetime) -> int:
    """What the timestamps of pandas have beyond microseconds."""
    return int(getattr(moment, "nanosecond", False))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise ValueError(f"{_shown(text)} is not a moment such as 2024-01-31T17:00:00Z") from wrong
    if _PARTS_OF_MICROSECONDS.search(text):  # which fromisoformat drops
        raise ValueError(f"{_shown(text)} is finer than a microsecond")
    return moment


def _uuid(value: Any) -> str:
    if isinstance(value, UUID):
        return str(value)
    try:
        return str(UUID(_text(value)))
    except ValueError as wrong:
        raise ValueError(f"{_shown(value)} is not a UUID") from wrong


_READERS: dict[str, Callable[[Any], Any]] = {
    "bool": _boolean,
    "date": _days,
    "decimal": _decimal,
    "int64": _integer,
    "string": _text,
    "timestamp": _microseconds,
    "timestamptz": _microseconds,
    "uuid": _uuid,
    "wideint": _wide_integer,
}
