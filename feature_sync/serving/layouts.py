"""The layouts of rows: what the values of a row mean, by the schema that it was written by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Annotated, Any

import msgspec

from feature_sync.online.codec import read_value
from feature_sync.service_schema import canonical
from feature_sync.serving.card import CardFeature
from feature_sync.serving.forms import Form
from feature_sync.value_types import from_microseconds, parse, to_microseconds

Row = tuple[Any, ...]
"""The schema id, the event timestamp in microseconds UTC, and the values of the selected features in wire form.

In the place of the schema id stands a status if no row answers: `MISSING`, `EXPIRED` or `INVALID`."""


class _Marker(Enum):
    """A value that no row holds, and that is itself after pickling."""

    GONE = auto()


GONE = _Marker.GONE
"""Stands for a value of a row that lacks the feature, or has it as another type."""
UNREADABLE = (msgspec.MsgspecError, ArithmeticError, RecursionError, TypeError, ValueError)
_EARLIEST = to_microseconds(datetime.min.replace(tzinfo=UTC))
_LATEST = to_microseconds(datetime.max.replace(tzinfo=UTC))
_Moment = Annotated[int, msgspec.Meta(ge=_EARLIEST, le=_LATEST)]


class Layout:
    """The values of rows of one schema, and where the selected features stand among them."""

    def __init__(
        self, named: tuple[tuple[str, str], ...], features: Sequence[CardFeature], forms: Sequence[Form]
    ) -> None:
        """Compile.

        Args:
            named: Names and types of the values.
            features: The selected features.
            forms: How their values are read.
        """
        self._features = features
        self.types = dict(named)
        positions = {name: at for at, (name, _) in enumerate(named, start=2)}
        held = {
            each.name: form
            for each, form in zip(features, forms, strict=True)
            if self.types.get(each.name) == each.type
        }
        self._at = [positions[each.name] if each.name in held else None for each in features]
        values = [held[name].annotation if name in held else Any for name, _ in named]
        self.decode = _decoder(bytes, _Moment | None, *values)
        self.decode_ending = _decoder(bytes, _Moment | None, *values, _Moment)
        self.pick = None if self._at == [*range(2, len(named) + 2)] else self._picker()
        self._width = len(named)

    def _picker(self) -> Callable[[Row], Row]:
        at = self._at
        first = at[0] if at else None
        if first is not None and at == [*range(first, first + len(at))]:
            last = first + len(at)
            return lambda row: (*row[:2], *row[first:last])
        return lambda row: (row[0], row[1], *[GONE if each is None else row[each] for each in at])

    def read(self, content: bytes, values: Sequence[Any]) -> tuple[list[Any], int | None]:
        """Read the selected values of a row, and its end; `GONE` stands for those that it lacks.

        Raises:
            MsgspecError: The row is not of this layout.
        """
        ends = len(values) == self._width + 1
        row = self.decode_ending(content) if ends else self.decode(content)
        return [GONE if at is None else row[at] for at in self._at], row[-1] if ends else None

    def fault(self, event_timestamp: int | None, values: Sequence[Any]) -> str:
        """Say what is wrong with a row of this schema that cannot be read; nothing if that is not known."""
        if len(values) not in (self._width, self._width + 1) or type([*values, 0][self._width]) is not int:
            return f"it has {len(values)} values, its schema {self._width}"
        try:
            _ = None if event_timestamp is None else from_microseconds(event_timestamp)
        except OverflowError:
            return f"its event timestamp is {event_timestamp}"
        for feature, at in zip(self._features, self._at, strict=True):
            try:
                _ = None if at is None else read_value(values[at - 2], canonical(parse(feature.type)))
            except UNREADABLE as wrong:
                return f"{feature.name}: {str(wrong) or type(wrong).__name__}"
        return ""


def _decoder(*types: Any) -> Callable[[bytes], Any]:
    """Return the decoder of arrays of these types."""
    decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(tuple.__class_getitem__(types)).decode
    return decode
