"""Value types: scalars, and the arrays and structs of them."""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

from feature_sync.value_types.moments import as_utc, to_days, to_microseconds
from feature_sync.value_types.scalars import SCALARS, Equality, Scalar

if TYPE_CHECKING:
    import pyarrow

_DECIMALS = Context(prec=100)
_LARGEST_EXACT_FLOAT = 2**53


class ValueType(msgspec.Struct, frozen=True):
    """A type; its kind is a name in `SCALARS`, or `array` or `struct`, which hold other types.

    `float32` is only ever the element of an array, `wideint` an integer that may exceed 64 bits, `timestamp` a wall
    clock without a zone, `timestamptz` an instant.
    """

    kind: str
    precision: int | None = None
    scale: int | None = None
    element: ValueType | None = None
    fields: tuple[tuple[str, ValueType], ...] = ()

    @property
    def scalar(self) -> Scalar | None:
        """The scalar of its kind; None for arrays and structs."""
        return SCALARS.get(self.kind)

    @property
    def is_time(self) -> bool:
        """True for instants, wall clocks and dates."""
        return self.scalar is not None and self.scalar.is_time

    @property
    def can_be_key(self) -> bool:
        """True if its values can identify an entity."""
        return self.scalar is not None and self.scalar.key is not None

    @property
    def equality(self) -> Equality:
        """Whether values that a warehouse treats as equal are the same bytes in Redis."""
        return Equality.VARIES if self.scalar is None else self.scalar.equality

    def arrow_type(self) -> pyarrow.DataType:
        """Return the Arrow type in which a column of a file is read; text for types that CSV cannot express."""
        return SCALARS["string" if self.scalar is None else self.kind].arrow(self.precision, self.scale)

    def holds(self, kind: str) -> bool:
        """True if this type is of a kind, or holds one of that kind at any depth."""
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
    """Parse a type from the text that `str` writes.

    Raises:
        ValueError: The text is not a type of the closed list.

    >>> str(parse("array<decimal(10,2)>"))
    'array<decimal(10,2)>'
    """
    value_type, rest = _parse(text)
    if rest:
        raise ValueError(f"{text!r} is not a type: unexpected {rest!r} at its end")
    return value_type


def _parse(text: str, *, in_array: bool = False) -> tuple[ValueType, str]:
    if text.startswith("array<"):
        element, rest = _parse(text[6:], in_array=True)
        return ValueType("array", element=element), _skip(rest, ">")
    if text.startswith("struct<"):
        return _parse_struct(text[7:])
    end = next((at for at, letter in enumerate(text) if not letter.isalnum()), len(text))
    kind, rest = text[:end], text[end:]
    if kind not in SCALARS or (SCALARS[kind].only_in_arrays and not in_array):
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
    """Convert a feature's default in YAML to a Python value of the feature's type; None stays None.

    Raises:
        ValueError: The default is of another type.

    >>> read_default(ValueType("float64"), 0)
    0.0
    """
    if default is None:
        return None
    form = None if kind.scalar is None else kind.scalar.default
    if form is None:
        raise ValueError("a default cannot be given for this type")
    if not isinstance(default, form.written) or (isinstance(default, bool) and kind.kind != "bool"):
        raise ValueError(f"write {' or '.join(each.__name__ for each in form.written)}")
    try:
        value = form.read(default)
    except (ArithmeticError, ValueError) as wrong:
        raise ValueError(f"it cannot be read ({type(wrong).__name__})") from wrong
    return _fitting(kind, value)


def _fitting(kind: ValueType, value: Any) -> Any:
    """Return a default as a column of its type would hold it, so that training and serving show the same.

    Raises:
        ValueError: The type does not hold it exactly.
    """
    if kind.kind == "int64" and not -(2**63) <= value < 2**63:
        raise ValueError("it does not fit into 64 bits")
    if kind.kind == "float64":
        return value + 0.0  # -0.0, which SQL reads as 0.0
    if kind.kind == "timestamp" and value.tzinfo is not None:
        raise ValueError("it has a time zone, which the type has not")
    if kind.kind == "decimal" and kind.precision is not None:
        scale = kind.scale or 0
        try:
            scaled = value.quantize(Decimal(1).scaleb(-scale), context=_DECIMALS)
        except InvalidOperation as wrong:
            raise ValueError(f"{kind} does not hold it exactly") from wrong
        if scaled != value or scaled.adjusted() >= kind.precision - scale:
            raise ValueError(f"{kind} does not hold it exactly")
        return scaled
    return value


def wire_default(kind: ValueType, default: Any) -> Any:
    """Convert a feature's default in YAML to wire form, as JSON that readers in any language read exactly.

    A float that JSON lacks becomes text (`"nan"`, `"inf"`), and so does an integer that is not exact in float64.

    Raises:
        ValueError: The default is of another type.

    >>> wire_default(ValueType("date"), "1970-01-03")
    2
    """
    value = read_default(kind, default)
    if isinstance(value, datetime):
        value = to_microseconds(as_utc(value))
    elif isinstance(value, date):
        value = to_days(value)
    if isinstance(value, int) and abs(value) > _LARGEST_EXACT_FLOAT:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    scalar = kind.scalar
    return str(value) if scalar is not None and scalar.wire is str and value is not None else value
