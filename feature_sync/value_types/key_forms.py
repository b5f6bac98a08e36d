"""How values identify entities: read from what callers pass, and written as in Redis keys.

Callers pass text, Python's own values, or those of NumPy and pandas.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import msgspec

from feature_sync.value_types.moments import as_utc, from_days, to_days, to_microseconds

_LARGEST_EXACT_FLOAT = 2**53
_MOST_DIGITS, _MOST_DECIMALS = 131_072, 16_383
"""The limits of PostgreSQL's numeric, the widest; written out, a decimal with a larger exponent could fill memory."""
_LONGEST_PRINTED = 60
_LONGEST_INTEGER = 80
_SPECIAL = re.compile(r"[%|{}]")
_PARTS_OF_MICROSECONDS = re.compile(r"[.,]\d{6}\d*[1-9]", re.ASCII)


class KeyForm(msgspec.Struct, frozen=True):
    """A type as a key: `read` converts a caller's value to wire form or raises ValueError, `text` writes wire form."""

    read: Callable[[Any], Any]
    text: Callable[[Any], str]


def printable_key(value: Any) -> str:
    """Return a short text for any value, for messages; large values are abbreviated or described."""
    if isinstance(value, str | bytes):
        return repr(value[:_LONGEST_PRINTED]) + ("..." if len(value) > _LONGEST_PRINTED else "")
    if isinstance(value, int) and value.bit_length() > _LONGEST_PRINTED * 3:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, Decimal):
        return printable_key(str(value)).strip("'")
    if isinstance(value, bool | int | float | date | UUID):
        return str(value)
    return f"a {type(value).__name__}"


def read_text(value: Any) -> str:
    """Read text; a lone surrogate is refused, as UTF-8 cannot encode it."""
    if not isinstance(value, str):
        raise ValueError(f"{printable_key(value)} is not text")  # noqa: TRY004 - one kind of error for what cannot be a key
    value.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
    return str(value)


def read_boolean(value: Any) -> bool:
    """Read a boolean, or "true" or "false" in any case."""
    text = str(value).lower() if isinstance(value, bool | str) else ""
    if text not in ("true", "false"):
        raise ValueError(f"{printable_key(value)} is neither true nor false")
    return text == "true"


def read_wide_integer(value: Any) -> int:
    """Read a whole number up to the size of a warehouse's widest integer; also from a float, a decimal or text."""
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a whole number")  # noqa: TRY004 - see read_text
    if isinstance(value, int):
        number = value
    elif isinstance(value, float):
        number = _of_float(value)
    elif _is_whole(value):
        number = int(value)
    else:
        raise ValueError(f"{printable_key(value)} is not a whole number")
    if number.bit_length() > _LONGEST_PRINTED * 4:
        raise ValueError(f"{printable_key(number)} is beyond all integers of a warehouse")
    return number


def _is_whole(value: Any) -> bool:
    """True if a decimal or a text is a whole number of at most 80 digits; the size is checked before any conversion."""
    if isinstance(value, Decimal):
        return value.is_finite() and value.adjusted() < _LONGEST_INTEGER and value == int(value)
    return isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,80}\s*", value, re.ASCII) is not None


def _of_float(value: float) -> int:
    """Read a whole float, such as pandas makes of integers in a column with nulls.

    Beyond 2**53 it is refused, as a double may have lost its last digits.
    """
    if not value.is_integer():
        raise ValueError(f"{value} is not a whole number")
    if abs(value) > _LARGEST_EXACT_FLOAT:
        raise ValueError(f"{value} is a float too large to be exact; pass an integer")
    return int(value)


def read_integer(value: Any) -> int:
    """Read a whole number that fits into 64 bits, signed."""
    number = read_wide_integer(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{printable_key(number)} does not fit into 64 bits")
    return number


def read_decimal(value: Any) -> str:
    """Read a finite number; a float is read as the decimal that Python prints."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise ValueError(f"{printable_key(value)} is not a number")  # noqa: TRY004 - see read_text
    if isinstance(value, int) and value.bit_length() > _MOST_DIGITS * 3:
        raise ValueError(f"{printable_key(value)} has more digits than a decimal of a warehouse")
    if isinstance(value, str) and not (value.isascii() and "_" not in value):
        raise ValueError(f"{printable_key(value)} is not a number")
    try:
        number = Decimal(value if isinstance(value, int | Decimal) else str(value))
    except InvalidOperation as wrong:
        raise ValueError(f"{printable_key(value)} is not a number") from wrong
    if not number.is_finite():
        raise ValueError(f"{printable_key(value)} is not a finite number")
    if number == 0:
        return "0"
    exponent = number.as_tuple().exponent
    if number.adjusted() > _MOST_DIGITS or (isinstance(exponent, int) and exponent < -_MOST_DECIMALS):
        raise ValueError(f"{printable_key(value)} has more digits than a decimal of a warehouse")
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
        raise ValueError(f"{printable_key(value)} is not a date")  # noqa: TRY004 - see read_text
    return to_days(value)


def read_microseconds(value: Any) -> int:
    """Read a moment, or a date as its midnight, as microseconds since 1970; a naive one is read as UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time(0))
    moment = _moment(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise ValueError(f"{printable_key(value)} is not a moment")  # noqa: TRY004 - see read_text
    if _nanoseconds(moment):
        raise ValueError(f"{moment.isoformat()} is finer than a microsecond")
    return to_microseconds(as_utc(moment))


def _nanoseconds(moment: datetime) -> int:
    """Return the nanoseconds of a pandas timestamp beyond its microseconds; 0 for a datetime."""
    return int(getattr(moment, "nanosecond", False))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise ValueError(f"{printable_key(text)} is not a moment such as 2024-01-31T17:00:00Z") from wrong
    if _PARTS_OF_MICROSECONDS.search(text):  # fromisoformat drops these digits
        raise ValueError(f"{printable_key(text)} is finer than a microsecond")
    return moment


def read_uuid(value: Any) -> str:
    """Read a UUID as lower-case text with hyphens."""
    if isinstance(value, UUID):
        return str(value)
    try:
        return str(UUID(read_text(value)))
    except ValueError as wrong:
        raise ValueError(f"{printable_key(value)} is not a UUID") from wrong


def boolean_text(value: object) -> str:
    """Write a boolean as true or false."""
    return "true" if value else "false"


def date_text(days: int) -> str:
    """Write a date, as days since 1970, in ISO 8601."""
    return from_days(days).isoformat()


def decimal_text(number: str) -> str:
    """Write a decimal in plain digits without trailing zeros, so that equal decimals have equal text."""
    plain = format(Decimal(number), "f")  # normalize() would round to the context's precision
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain == "-0" else plain


def escaped(text: str) -> str:
    """Percent-encode the characters that separate and enclose values in a Redis key: `|`, `{`, `}` and `%` itself."""
    return _SPECIAL.sub(lambda match: f"%{ord(match[0]):02X}", text) if _SPECIAL.search(text) else text
