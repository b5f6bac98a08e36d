"""How values identify entities: read from what people and programs give, and written as keys in Redis hold them.

People and programs give text, Python's own values, or those of NumPy and pandas.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from feature_sync.value_types.moments import as_utc, from_days, to_days, to_microseconds

_LARGEST_EXACT_FLOAT = 2**53
_MOST_DIGITS, _MOST_DECIMALS = 131_072, 16_383
"""Those of PostgreSQL's numeric, which is the widest; a decimal of another exponent would fill the memory as a key."""
_LONGEST_SHOWN = 60
_LONGEST_INTEGER = 80
_SPECIAL = re.compile(r"[%|{}]")
_PARTS_OF_MICROSECONDS = re.compile(r"[.,]\d{6}\d*[1-9]", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyForm:
    """A type as a key: `read` turns what is asked into wire form or raises a ValueError, `text` writes that."""

    read: Callable[[Any], Any]
    text: Callable[[Any], str]


def shown_key(value: Any) -> str:
    """Show a value in a message, however large it is or whatever it is."""
    if isinstance(value, str | bytes):
        return repr(value[:_LONGEST_SHOWN]) + ("..." if len(value) > _LONGEST_SHOWN else "")
    if isinstance(value, int) and value.bit_length() > _LONGEST_SHOWN * 3:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, Decimal):
        return shown_key(str(value)).strip("'")
    if isinstance(value, bool | int | float | date | UUID):
        return str(value)
    return f"a {type(value).__name__}"


def read_text(value: Any) -> str:
    """Read text, which must be whole characters."""
    if not isinstance(value, str):
        raise ValueError(f"{shown_key(value)} is not text")  # noqa: TRY004 - one kind of error for what cannot be a key
    value.encode()  # half of a surrogate pair is not text
    return str(value)


def read_boolean(value: Any) -> bool:
    """Read a boolean, or its name in any case."""
    text = str(value).lower() if isinstance(value, bool | str) else ""
    if text not in ("true", "false"):
        raise ValueError(f"{shown_key(value)} is neither true nor false")
    return text == "true"


def read_wide_integer(value: Any) -> int:
    """Read a whole number of any size that a warehouse has, also from a float, a decimal or text that is one."""
    if isinstance(value, bool):
        raise ValueError(f"{value} is no whole number")  # noqa: TRY004 - see read_text
    if isinstance(value, int):
        number = value
    elif isinstance(value, float):
        number = _of_float(value)
    elif _is_whole(value):
        number = int(value)
    else:
        raise ValueError(f"{shown_key(value)} is no whole number")
    if number.bit_length() > _LONGEST_SHOWN * 4:
        raise ValueError(f"{shown_key(number)} is beyond all integers of a warehouse")
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


def read_integer(value: Any) -> int:
    """Read a whole number of 64 bits."""
    number = read_wide_integer(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{shown_key(number)} does not fit into 64 bits")
    return number


def read_decimal(value: Any) -> str:
    """Read a finite number; a float stands for the decimal that Python writes."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise ValueError(f"{shown_key(value)} is not a number")  # noqa: TRY004 - see read_text
    if isinstance(value, int) and value.bit_length() > _MOST_DIGITS * 3:
        raise ValueError(f"{shown_key(value)} has more digits than a decimal of a warehouse")
    if isinstance(value, str) and not (value.isascii() and "_" not in value):
        raise ValueError(f"{shown_key(value)} is not a number")
    try:
        number = Decimal(value if isinstance(value, int | Decimal) else str(value))
    except InvalidOperation as wrong:
        raise ValueError(f"{shown_key(value)} is not a number") from wrong
    if not number.is_finite():
        raise ValueError(f"{shown_key(value)} is not a finite number")
    if number == 0:
        return "0"
    exponent = number.as_tuple().exponent
    if number.adjusted() > _MOST_DIGITS or (isinstance(exponent, int) and exponent < -_MOST_DECIMALS):
        raise ValueError(f"{shown_key(value)} has more digits than a decimal of a warehouse")
    return str(number)


def read_days(value: Any) -> int:
    """Read a date, or a moment at midnight, as days since 1970."""
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
        raise ValueError(f"{shown_key(value)} is not a date")  # noqa: TRY004 - see read_text
    return to_days(value)


def read_microseconds(value: Any) -> int:
    """Read a moment, or a date as its midnight, as microseconds since 1970; a naive one is taken to be in UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time(0))
    moment = _moment(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise ValueError(f"{shown_key(value)} is not a moment")  # noqa: TRY004 - see read_text
    if _nanoseconds(moment):
        raise ValueError(f"{moment.isoformat()} is finer than a microsecond")
    return to_microseconds(as_utc(moment))


def _nanoseconds(moment: datetime) -> int:
    """What the timestamps of pandas have beyond microseconds."""
    return int(getattr(moment, "nanosecond", False))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise ValueError(f"{shown_key(text)} is not a moment such as 2024-01-31T17:00:00Z") from wrong
    if _PARTS_OF_MICROSECONDS.search(text):  # which fromisoformat drops
        raise ValueError(f"{shown_key(text)} is finer than a microsecond")
    return moment


def read_uuid(value: Any) -> str:
    """Read a UUID as lower-case text with hyphens."""
    if isinstance(value, UUID):
        return str(value)
    try:
        return str(UUID(read_text(value)))
    except ValueError as wrong:
        raise ValueError(f"{shown_key(value)} is not a UUID") from wrong


def boolean_text(value: object) -> str:
    """Write a boolean."""
    return "true" if value else "false"


def date_text(days: int) -> str:
    """Write a date, a count of days since 1970, as ISO has it."""
    return from_days(days).isoformat()


def decimal_text(number: str) -> str:
    """Write a decimal in plain digits without trailing zeros, so that equal ones are alike."""
    plain = format(Decimal(number), "f")  # normalize() would round to the context's precision
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain == "-0" else plain


def escaped(text: str) -> str:
    """Percent-encode what stands between and around the values of a key."""
    return _SPECIAL.sub(lambda match: f"%{ord(match[0]):02X}", text) if _SPECIAL.search(text) else text
