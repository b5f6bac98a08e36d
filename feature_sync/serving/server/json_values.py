"""Values as JSON has them, from their wire form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from feature_sync.online.codec import read_value
from feature_sync.value_types import ValueType

Converter = Callable[[Any], Any]


def json_converter(kind: ValueType) -> Converter | None:
    """Return the function that turns a value in wire form, which is not null, into one that msgspec encodes.

    Dates and times become Python's, which msgspec writes as ISO 8601. All else stays in wire form: decimals and wide
    integers are text already, and msgspec writes bytes as base64.

    Returns:
        None if the wire form is encoded as it is.
    """
    if kind.is_time:
        return lambda value: read_value(value, kind)
    if kind.element is not None and kind.element.kind in ("float32", "float64"):
        return lambda value: read_value(value, kind) if type(value) is bytes else value
    if kind.element is not None:
        convert = json_converter(kind.element)
        return None if convert is None else lambda value: [_or_null(each, convert) for each in value]
    if kind.kind == "struct":
        converters = {name: json_converter(each) for name, each in kind.fields}
        if any(converters.values()):
            return lambda value: {name: _or_null(value.get(name), each) for name, each in converters.items()}
    return None


def _or_null(value: Any, convert: Converter | None) -> Any:
    return value if value is None or convert is None else convert(value)
