"""What a query reads from: tables, other queries, and whatever makes rows; each answers for its rows and columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from feature_sync.sql.plan.forms import ROWS, WHOLE, Form, combine


class Source(Protocol):
    """What stands in FROM.

    `body` is the form of its rows without their columns, `full` that of rows and all columns.
    `names` are its columns, folded, in order; None if they are not known.
    """

    @property
    def body(self) -> Form: ...  # noqa: D102

    @property
    def full(self) -> Form: ...  # noqa: D102

    @property
    def names(self) -> tuple[str, ...] | None: ...  # noqa: D102

    def column(self, name: str) -> Form | None:
        """Return the form of a column; None if the source surely has no such column."""
        ...


class TableSource:
    """A table of the warehouse, by a name that is the same in all environments."""

    def __init__(self, table: str, names: tuple[str, ...] | None) -> None:
        self.names = names
        self._table = table
        self.body = Form(combine("table", table).digest, frozenset({(table, ROWS)}))
        self.full = Form(combine("whole table", table).digest, frozenset({(table, ROWS), (table, WHOLE)}))

    def column(self, name: str) -> Form | None:
        """See `Source`."""
        if self.names is not None and name not in self.names:
            return None
        return Form(combine("column", self._table, name).digest, frozenset({(self._table, name)}))


class OpaqueSource:
    """Rows of a function, of VALUES, or of what is not understood further: each column depends on all of it."""

    def __init__(self, form: Form, *, alias: str, names: tuple[str, ...] | None) -> None:
        self.body = self.full = form
        self.names = None
        self._alias = alias
        self._named = names or ()

    def column(self, name: str) -> Form | None:
        """See `Source`; a name that the query gives stands for its position, the alias for the only column."""
        if name in self._named:
            return combine("position", self.full, str(self._named.index(name)))
        return combine("alone", self.full) if name == self._alias else combine("named", self.full, name)


class RenamedSource:
    """A query whose columns have other names: `(...) as t (a, b)`."""

    def __init__(self, source: Source, names: Sequence[str]) -> None:
        self.body, self.full = source.body, combine("renamed", source.full, *names)
        known = source.names
        self._columns: Mapping[str, str] | None = None
        if known is not None:
            self._columns = dict(zip((*names, *known[len(names) :]), known, strict=True))
        self.names = None if self._columns is None else tuple(self._columns)
        self._source = source

    def column(self, name: str) -> Form | None:
        """See `Source`."""
        if self._columns is None:
            return combine("named", self.full, name)
        return self._source.column(self._columns[name]) if name in self._columns else None


class TaggedSource:
    """A query that is written once and read in several places, where each reading may differ from the other."""

    def __init__(self, source: Source, tag: str) -> None:
        self._source = source
        self._tag = tag
        self.names = source.names
        self.body, self.full = combine("tag", tag, source.body), combine("tag", tag, source.full)

    def column(self, name: str) -> Form | None:
        """See `Source`."""
        found = self._source.column(name)
        return None if found is None else combine("tag", self._tag, found)


FindTable = Callable[[str], Source]
"""Returns the source of a table by its name in the query, rendered in one spelling."""
