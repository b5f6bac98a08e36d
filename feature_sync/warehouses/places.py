"""Where the rows of a push are, and where its state is kept: one warehouse, or two where the first can only be read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from feature_sync.warehouses.base import Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The connections of one push.

    Args:
        rows: Holds the rows of feature views; only read, unless it is `state`, too.
        state: Holds the states and tables of pushes.
    """

    rows: Warehouse
    state: Warehouse

    @property
    def are_one(self) -> bool:
        """True if the state is kept beside the rows."""
        return self.rows is self.state

    def check_rights(self, relations: Sequence[str], *, writes_to: str | None) -> None:
        """Check the rights to read relations, and to keep tables in a schema: see `Warehouse.check_rights`."""
        if self.are_one:
            self.state.check_rights(relations, writes_to=writes_to)
        else:
            self.rows.check_rights(relations)
            self.state.check_rights((), writes_to=writes_to)

    def label(self, **labels: str | None) -> None:
        """Tag subsequent queries: see `Warehouse.label`."""
        for each in self._each:
            each.label(**labels)

    def cancel(self) -> None:
        """Cancel the queries that run; another thread may call it, at any time."""
        for each in self._each:
            each.cancel()

    def close(self) -> None:
        """Close the connections."""
        with ExitStack() as closing:
            for each in self._each:
                closing.callback(each.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _each(self) -> tuple[Warehouse, ...]:
        return (self.rows,) if self.are_one else (self.rows, self.state)
