"""Turns a column of decoded values into the wire form of a type, strictly: what does not fit is refused, not bent."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Context, Decimal, InvalidOperation
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from feature_sync.definitions.stream import UNITS
from feature_sync.stream.messages import Unfit
from feature_sync.value_types import EPOCH, MICROSECOND, ValueType, printable_key
from feature_sync.value_types.key_forms import read_uuid
from feature_sync.value_types.moments import to_days

Convert = Callable[[Any], Any]
"""Converts one value that is not null to wire form, or raises `Unfit`."""
ReadColumn = Callable[[Sequence[Any]], Sequence[Any]]
"""Converts a column, nulls included, or raises `Unfit` for one of its values."""
_FINER = re.compile(r"[.,]\d{6}\d*[1-9]", re.ASCII)
_DIGITS = re.compile(r"[+-]?\d{1,80}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,5})?", re.ASCII)
_DECIMALS = Context(prec=100)
_MOST_DIGITS = 1_000
_INT64 = 2**63
_NULL = type(None)
_DAY, _SECOND = 86_400_000_000, 1_000_000
_DOCUMENTS = msgspec.json.Encoder(decimal_format="number")


class ValueReaders:
    """Makes readers of columns for one view: its time zone, and the unit of numbers that stand for moments."""

    def __init__(self, timezone: str, unit: str | None) -> None:
        self._zone: tzinfo = UTC if timezone.upper() == "UTC" else ZoneInfo(timezone)
        self._unit = None if unit is None else UNITS[unit]

    def column(self, kind: ValueType) -> ReadColumn:
        """Return the reader of a column of a type.

        Raises:
            ValueError: No message can hold such a type as the warehouse writes it.
        """
        convert, same = self.value(kind), _UNCHANGED.get(kind.kind, frozenset())
        check = _within_64_bits if kind.kind == "int64" else None

        def read(column: Sequence[Any]) -> Sequence[Any]:
            if same.issuperset(map(type, column)):  # several times faster than a look at each value
                return column if check is None else check(column)
            return [None if each is None else convert(each) for each in column]

        return read

    def moments(self, column: Sequence[Any]) -> list[int]:
        """Read a column of event timestamps as microseconds since 1970 in UTC; nulls are refused."""
        if None in column:
            raise Unfit("the event timestamp is null")
        return self._of_texts(column) or [self._moment(each) for each in column]

    def _of_texts(self, column: Sequence[Any]) -> list[int] | None:
        """Read a column of texts, all with a zone or all in UTC, several times faster; None if it is another."""
        if {str}.issuperset(map(type, column)) and not _FINER.search("\n".join(column)):
            for epoch in (EPOCH, EPOCH.replace(tzinfo=None)) if self._zone is UTC else (EPOCH,):
                with suppress(ValueError, TypeError):  # not a moment; or with a zone, or without one, as epoch is not
                    return [
                        since.days * _DAY + since.seconds * _SECOND + since.microseconds
                        for since in [datetime.fromisoformat(each) - epoch for each in column]
                    ]
        return None

    def value(self, kind: ValueType) -> Convert:
        """Return the function that converts one value.

        Raises:
            ValueError: See `column`.
        """
        if kind.element is not None:
            element = self.value(kind.element)
            return lambda value: [
                None if each is None else element(each) for each in _expected(value, (list, tuple), "a list")
            ]
        if kind.kind == "struct":
            return self._struct(kind)
        if kind.kind == "decimal":
            return lambda value: _decimal(value, kind.precision, kind.scale)
        of_time: dict[str, Convert] = {"timestamptz": self._moment, "timestamp": self._clock}
        if convert := of_time.get(kind.kind) or _CONVERTERS.get(kind.kind):
            return convert
        raise ValueError(f"the form of {kind} is the warehouse's own, and no message is sure to have it")

    def _struct(self, kind: ValueType) -> Convert:
        fields = [(name, self.value(each)) for name, each in kind.fields]

        def read(value: Any) -> dict[str, Any]:
            given = _expected(value, (dict,), "a mapping of fields")
            return {name: None if (each := given.get(name)) is None else convert(each) for name, convert in fields}

        return read

    def _moment(self, value: Any) -> int:
        """Read a moment; a naive one is on the view's wall clock."""
        moment = self._datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._zone)
        return (moment - EPOCH) // MICROSECOND

    def _clock(self, value: Any) -> int:
        """Read a time of the view's wall clock; one with a zone is converted to it."""
        moment = self._datetime(value)
        if moment.tzinfo is not None:
            try:
                moment = moment.astimezone(self._zone)
            except OverflowError as beyond:
                raise Unfit(f"{printable_key(value)} is beyond the years 1 to 9999") from beyond
        return (moment.replace(tzinfo=UTC) - EPOCH) // MICROSECOND

    def _datetime(self, value: Any) -> datetime:
        if isinstance(value, str):
            return _of_text(value)
        if isinstance(value, datetime):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return self._of_number(value)
        if isinstance(value, date):
            return datetime.combine(value, time(0))
        raise Unfit(f"{printable_key(value)} is not a moment such as 2024-01-31T17:00:00Z")

    def _of_number(self, value: int) -> datetime:
        if self._unit is None:
            raise Unfit(
                f"{value} may count seconds or thousandths of them: set timestamps: milliseconds (or seconds, "
                "microseconds) in the view's stream"
            )
        try:
            return EPOCH + MICROSECOND * (value * self._unit)
        except OverflowError as beyond:
            raise Unfit(f"{value} is beyond the years 1 to 9999: see timestamps in the view's stream") from beyond


def _of_text(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise Unfit(f"{printable_key(text)} is not a moment such as 2024-01-31T17:00:00Z") from wrong
    if ("." in text or "," in text) and _FINER.search(text):  # fromisoformat drops these digits
        raise Unfit(f"{printable_key(text)} is finer than a microsecond")
    return moment


def _expected(value: Any, kinds: tuple[type, ...], what: str) -> Any:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise Unfit(f"{printable_key(value)} is not {what}")
    return value


def _within_64_bits(column: Sequence[Any]) -> Sequence[Any]:
    numbers = [each for each in column if each is not None] if None in column else column
    if numbers and not (min(numbers) >= -_INT64 and max(numbers) < _INT64):
        raise Unfit("a whole number does not fit into 64 bits")
    return column


def _integer(value: Any) -> int:
    number: int = _expected(value, (int,), "a whole number")
    if not -_INT64 <= number < _INT64:
        raise Unfit(f"{printable_key(number)} does not fit into 64 bits")
    return number


def _wide_integer(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _DIGITS.fullmatch(text):
        raise Unfit(f"{printable_key(value)} is not a whole number of at most 80 digits")
    return str(int(text))


def _float(value: Any) -> float:
    try:
        number = float(_expected(value, (int, float, Decimal), "a number"))
    except OverflowError as beyond:
        raise Unfit(f"{printable_key(value)} does not fit float64") from beyond
    if math.isinf(number) and not isinstance(value, float):
        raise Unfit(f"{printable_key(value)} does not fit float64")
    return number


def _decimal(value: Any, precision: int | None, scale: int | None) -> str:
    """Read an exact number, as text with as many decimals as its type has."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise Unfit(f"{printable_key(value)} is not a number")
    number = Decimal(_expected(value, (int, Decimal, str), "an exact number, or its text"))
    if not number.is_finite() or abs(number.adjusted()) > _MOST_DIGITS:
        raise Unfit(f"{printable_key(value)} is not a finite number of at most {_MOST_DIGITS} digits")
    if precision is None:
        return f"{number:f}"
    decimals = scale or 0
    try:
        scaled = number.quantize(Decimal(1).scaleb(-decimals), context=_DECIMALS)
    except InvalidOperation as wrong:
        raise Unfit(f"{printable_key(value)} does not fit decimal({precision},{decimals})") from wrong
    if scaled != number or (scaled and scaled.adjusted() >= precision - decimals):
        raise Unfit(f"{printable_key(value)} does not fit decimal({precision},{decimals}) exactly")
    return f"{scaled:f}"


def _text(value: Any) -> str:
    text: str = _expected(value, (str,), "text")
    try:
        text.encode()
    except UnicodeEncodeError as surrogate:
        raise Unfit("a text holds half of a surrogate pair, which UTF-8 cannot encode") from surrogate
    return text


def _day(value: Any) -> int:
    value = _date(value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise Unfit(f"{printable_key(value)} is not a date such as 2024-01-31")
    return to_days(value)


def _date(value: Any) -> Any:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as wrong:
        raise Unfit(f"{printable_key(value)} is not a date such as 2024-01-31") from wrong


def _uuid(value: Any) -> str:
    try:
        return read_uuid(_expected(value, (str, UUID), "a UUID"))
    except ValueError as wrong:
        raise Unfit(str(wrong)) from wrong


def _json(value: Any) -> str:
    """Return a document as text: a text is one already, anything else is written."""
    if not isinstance(value, str):
        return _DOCUMENTS.encode(value).decode()
    try:
        msgspec.json.decode(value)
    except msgspec.DecodeError as wrong:
        raise Unfit(f"{printable_key(value)} is not a JSON document") from wrong
    return value


_UNCHANGED = {
    "bool": frozenset({bool, _NULL}),
    "int64": frozenset({int, _NULL}),
    "float64": frozenset({float, _NULL}),
    "bytes": frozenset({bytes, _NULL}),
    "string": frozenset({str, _NULL}),
}
"""The types whose values are in wire form already; no decoder makes text that UTF-8 cannot encode."""
_CONVERTERS: dict[str, Convert] = {
    "bool": lambda value: _expected(value, (bool,), "true or false"),
    "int64": _integer,
    "wideint": _wide_integer,
    "float32": _float,
    "float64": _float,
    "string": _text,
    "bytes": lambda value: _expected(value, (bytes,), "bytes"),
    "date": _day,
    "uuid": _uuid,
    "json": _json,
}
