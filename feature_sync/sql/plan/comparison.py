"""Compares two queries: their rows, and column by column."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from feature_sync.sql.plan.queries import QueryForm
from feature_sync.sql.plan.words import may_conflate


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What may differ between two queries. Columns are folded names; None if the rows may differ at all."""

    rows: bool
    columns: frozenset[str]


def compare(old: QueryForm, new: QueryForm, columns: Collection[str]) -> Difference:
    """Compare two queries.

    Args:
        old: The query as it was.
        new: The query as it is now.
        columns: The columns to compare, in any case. One that only one of both has differs.
    """
    names = [new.fold(each) for each in columns]
    if may_conflate(old.words, new.words):
        return Difference(rows=True, columns=frozenset(names))
    differing = (name for name in names if not _is_equal(old, new, name))
    return Difference(rows=old.body.digest != new.body.digest, columns=frozenset(differing))


def _is_equal(old: QueryForm, new: QueryForm, name: str) -> bool:
    before, after = old.column(name), new.column(name)
    return before is not None and after is not None and before.digest == after.digest
