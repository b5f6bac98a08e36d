"""The closed list of types that features and keys can have, the same in every warehouse and in Redis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID

SCALARS = (
    "bool", "int64", "wideint", "float64", "decimal", "string", "bytes", "date", "timestamp", "timestamptz",
    "interval", "uuid", "json",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ValueType:
    """A type by its kind: one of `SCALARS`, or `array` or `struct`, which hold other types.

    `wideint` is an integer that may leave 64 bits, `timestamp` a wall clock without a zone, `timestamptz` an instant.
    """

    kind: str
    precision: int | None = None
    scale: int | None = None
    element: ValueType | None = None
    fields: tuple[tuple[str, ValueType], ...] = ()

    def holds(self, kind: str) -> bool:
        """True if this is a kind, or holds it at any depth."""
        inner = [each for _, each in self.fields] + ([] if self.element is None else [self.element])
        return self.kind == kind or any(each.holds(kind) for each in inner)

    def __str__(self) -> str:
        if self.element is not None:
            return f"array<{self.element}>"
        if self.kind == "struct":
            return f"struct<{', '.join(f'{_quote(name)} {each}' for name, each in self.fields)}>"
        if self.precision is not None:
            return f"{self.kind}({self.precision},{self.scale or 0})"
        return self.kind


def parse(text: str) -> ValueType:
    """Read a type as `str` writes it.

    Raises:
        ValueError: The text is no type of the closed list.

    >>> str(parse("array<decimal(10,2)>"))
    'array<decimal(10,2)>'
    """
    value_type, rest = _parse(text)
    if rest:
        raise ValueError(f"{text!r} is not a type: {rest!r} is too much")
    return value_type


def _parse(text: str) -> tuple[ValueType, str]:
    if text.startswith("array<"):
        element, rest = _parse(text[6:])
        return ValueType("array", element=element), _skip(rest, ">")
    if text.startswith("struct<"):
        return _parse_struct(text[7:])
    end = next((at for at, letter in enumerate(text) if not letter.isalnum()), len(text))
    kind, rest = text[:end], text[end:]
    if kind not in SCALARS:
        raise ValueError(f"{text!r} does not begin with a type")
    if not rest.startswith("("):
        return ValueType(kind), rest
    numbers, _, rest = rest[1:].partition(")")
    precision, _, scale = numbers.partition(",")
    return ValueType(kind, precision=int(precision), scale=int(scale or 0)), rest


def _parse_struct(rest: str) -> tuple[ValueType, str]:
    fields: list[tuple[str, ValueType]] = []
    while not rest.startswith(">"):
        name, rest = _unquote(rest.removeprefix(", "))
        each, rest = _parse(_skip(rest, " "))
        fields.append((name, each))
    return ValueType("struct", fields=tuple(fields)), rest[1:]


def _skip(text: str, mark: str) -> str:
    if not text.startswith(mark):
        raise ValueError(f"{mark!r} is missing before {text!r}")
    return text[len(mark) :]


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _unquote(text: str) -> tuple[str, str]:
    at = 1
    while (at := text.index('"', at)) + 1 < len(text) and text[at + 1] == '"':
        at += 2
    return text[1:at].replace('""', '"'), text[at + 1 :]


def read_default(kind: ValueType, default: Any) -> Any:
    """Turn a feature's default in YAML into the value that a row of that type would give; None stays None.

    Raises:
        ValueError: The default is of another type.

    >>> read_default(ValueType("float64"), 0)
    0.0
    """
    if default is None:
        return None
    convert, allowed = _DEFAULTS.get(kind.kind, (None, ()))
    if convert is None:
        raise ValueError("a default cannot be given for this type")
    if not isinstance(default, allowed) or (isinstance(default, bool) and kind.kind != "bool"):
        raise ValueError(f"write {' or '.join(each.__name__ for each in allowed)}")
    try:
        return convert(default)
    except (ArithmeticError, ValueError) as wrong:
        raise ValueError(f"it cannot be read ({type(wrong).__name__})") from wrong


_DEFAULTS: dict[str, tuple[Callable[[Any], Any], tuple[type, ...]]] = {
    "bool": (bool, (bool,)),
    "int64": (int, (int,)),
    "wideint": (int, (int,)),
    "float64": (float, (int, float)),
    "decimal": (lambda number: Decimal(str(number)), (int, float, str)),
    "string": (str, (str,)),
    "json": (str, (str,)),
    "uuid": (UUID, (str,)),
    "date": (date.fromisoformat, (str,)),
    "timestamp": (datetime.fromisoformat, (str,)),
    "timestamptz": (lambda text: as_utc(datetime.fromisoformat(text)), (str,)),
}


def as_utc(moment: datetime) -> datetime:
    """Read a moment in UTC; a naive one is taken to be in UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def moved(moment: datetime, *durations: timedelta) -> datetime | None:
    """Move a moment on by durations, or back by negative ones; None beyond the years 1 to 9999."""
    try:
        return sum(durations, timedelta(0)) + moment
    except OverflowError:
        return None


def seen_in(moment: datetime, zone: tzinfo) -> datetime | None:
    """Read a moment on a zone's clocks; None where these show a time beyond the years 1 to 9999."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return None


def since_epoch(microseconds: int | None) -> datetime | None:
    """Read a count of microseconds since 1970 as a moment in UTC; None for none, and beyond the years 1 to 9999."""
    try:
        return None if microseconds is None else EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
