"""A form: a digest that is equal only for equal meanings, and the columns of tables that the meaning depends on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

ROWS = ""
"""Stands for the rows of a table where a column's name would stand; no column has an empty name."""
WHOLE = "*"
"""Stands for all columns of a table, known or not."""
_BYTES = 16


@dataclass(frozen=True, slots=True)
class Form:
    """The meaning of a query, of its rows, or of one expression.

    Args:
        digest: Equal for two forms only if they mean the same.
        reads: The columns that the meaning depends on: the table, and the column's name, `ROWS` or `WHOLE`.
    """

    digest: str
    reads: frozenset[tuple[str, str]] = frozenset()


def combine(kind: str, *parts: Form | str | None) -> Form:
    """Combine parts, in their order, into one form."""
    hashed = blake2b(digest_size=_BYTES)
    for each in (kind, *parts):
        text = "n" if each is None else f"s{len(each)}:{each}" if isinstance(each, str) else f"f{each.digest}"
        hashed.update(text.encode())
    return Form(hashed.hexdigest(), frozenset().union(*(each.reads for each in parts if isinstance(each, Form))))


def unordered(kind: str, parts: Iterable[Form]) -> Form:
    """Combine parts whose order has no meaning."""
    return combine(kind, *sorted(parts, key=lambda each: each.digest))
