"""The names of the tables that pushes keep in the warehouse."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LONGEST_NAME = 30


def table_name(reference: str, kind: str, push: str) -> str:
    """Return the name of a table of one push: of `rows`, `changes` or `digests`."""
    return f"{_begin(reference)}_{kind}_{push}"


def tables_with_keys(reference: str, names: Iterable[str]) -> list[str]:
    """Return those of some tables that hold join keys of a view, of all its pushes to any Redis."""
    form = re.compile(rf"{re.escape(_begin(reference))}_(rows|changes)_[0-9a-f]+")
    return sorted(filter(form.fullmatch, names))


def _begin(reference: str) -> str:
    return re.sub(r"\W+", "_", reference.lower(), flags=re.ASCII)[:_LONGEST_NAME]
