"""dbt's filters that convert rendered text to other types; their errors never quote a value, which may be a secret."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

_LONGEST_LITERAL = 10_000


class Unfit(Exception):
    """A value cannot be rendered; the message is the reason, without the value."""


def _as_number(text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise Unfit("the value is not a number")


def _as_native(text: str) -> Any:
    """Parse a literal of Python; anything else stays text, and so does a literal that nests too deep."""
    if len(text) > _LONGEST_LITERAL:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _as_bool(text: str) -> bool:
    if text.strip().lower() not in ("true", "false"):
        raise Unfit("the value is neither true nor false")
    return text.strip().lower() == "true"


CONVERSIONS: Mapping[str, Callable[[str], Any]] = {
    "as_number": _as_number,
    "as_bool": _as_bool,
    "as_native": _as_native,
}
