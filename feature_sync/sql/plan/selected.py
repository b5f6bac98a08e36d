"""The sources that queries are: a SELECT, and two queries put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feature_sync.sql.plan.forms import Form, combine
from feature_sync.sql.plan.sources import Source


@dataclass(frozen=True, slots=True)
class Item:
    """One selected expression; `name` is None if only the warehouse knows it.

    `direct` is the form of a column of the only source as that source has it; None for any other expression.
    """

    name: str | None
    form: Form
    direct: Form | None = None

    @property
    def is_direct(self) -> bool:
        """True if it may be read as the column of the source itself."""
        return self.direct is not None

    def whole(self) -> Form:
        """Return the form with the name."""
        return combine("item", self.name, self.form)


@dataclass(frozen=True, slots=True)
class Star:
    """A star: all columns of some sources, but `left_out`. `is_alone`: its query has one source."""

    form: Form
    sources: tuple[tuple[int, Source], ...]
    left_out: frozenset[str]
    is_known: bool
    is_alone: bool

    @property
    def is_direct(self) -> bool:
        """True if its columns may be read as those of the source itself."""
        return self.is_known and self.is_alone

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of its columns; None if they are not known."""
        if not self.is_known or any(source.names is None for _, source in self.sources):
            return None
        return tuple(name for _, source in self.sources for name in source.names or () if name not in self.left_out)

    def whole(self) -> Form:
        """Return the form of all its columns."""
        return self.form

    def columns(self, name: str, *, as_it_is: bool) -> list[Form]:
        """Return what a name may stand for."""
        if not self.is_known:
            return [combine("of star", name, self.form)]
        found = [(at, source.column(name)) for at, source in self.sources if name not in self.left_out]
        return [form if as_it_is else at_source(0, at, form) for at, form in found if form is not None]


def at_source(level: int, position: int, form: Form) -> Form:
    """Return the form of what a source has, by where the source stands in FROM."""
    return combine("at", str(level), str(position), form)


class SelectedSource:
    """A SELECT. `passes_through`: it only selects and renames columns of its source, whose rows are its own."""

    def __init__(self, rows: Form, items: Sequence[Item | Star], *, passes_through: bool) -> None:
        self.body = rows
        self._items = tuple(items)
        self._passes_through = passes_through
        self.full = combine("full", rows, *(each.whole() for each in items))

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the columns; None if a star's or an expression's are not known."""
        found: list[str] = []
        for each in self._items:
            names = each.names if isinstance(each, Star) else None if each.name is None else (each.name,)
            if names is None:
                return None
            found += names
        return tuple(found)

    def column(self, name: str) -> Form | None:
        """See `Source`."""
        found: list[Form] = []
        for each in self._items:
            if isinstance(each, Star):
                found += each.columns(name, as_it_is=self._passes_through)
            elif each.name == name:
                found.append(each.direct if self._passes_through and each.direct is not None else each.form)
            elif each.name is None:
                found.append(combine("unnamed", name, self.full))
        if not found:
            return None
        return found[0] if len(found) == 1 else combine("one of", *found)


class UnionSource:
    """A set operation. `by_position`: each column depends only on the columns at its position."""

    def __init__(self, kind: str, left: Source, right: Source, *, by_position: bool, ending: Sequence[Form]) -> None:
        self._left, self._right, self._by_position = left, right, by_position
        self.names = left.names
        self.full = combine(kind, left.full, right.full, *ending)
        self.body = combine(f"rows of {kind}", left.body, right.body) if by_position else self.full

    def column(self, name: str) -> Form | None:
        """See `Source`."""
        names, others = self.names, self._right.names
        if names is None:
            return combine("named", name, self.full)
        if name not in names:
            return None
        if not self._by_position or others is None or names.count(name) > 1 or len(others) != len(names):
            return combine("position", str(names.index(name)), self.full)
        above, below = self._left.column(name), self._right.column(others[names.index(name)])
        return combine("either", above, below)
