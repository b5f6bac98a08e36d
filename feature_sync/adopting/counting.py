"""Counts rows in the warehouse: twice at most for a model, and over the columns that matter alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from feature_sync.adopting.table import Table, TableColumn
from feature_sync.sql.grain import distinct_values, rows_of_keys
from feature_sync.sql.render import Query
from feature_sync.statements import Statements
from feature_sync.value_types import EPOCH

BeforeScan = Callable[[str, int], None]
"""Called with a model's name and the bytes that a query over it will read."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeCounts:
    """How many rows have a time, how many different ones there are within the entities, the first and the last."""

    timed: int
    moments: int
    first: datetime | None = None
    last: datetime | None = None

    @property
    def span(self) -> timedelta:
        """From the first to the last."""
        return self.last - self.first if self.first and self.last else timedelta(0)

    @property
    def are_midnights(self) -> bool:
        """Whether the first and the last are different midnights, as if days were written as timestamps."""
        return self.span > timedelta(0) and all(each and (each - EPOCH) % _DAY == timedelta(0) for each in self._ends)

    @property
    def _ends(self) -> tuple[datetime | None, datetime | None]:
        return self.first, self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many rows and entities a table has, rows without a key left out, and what its times hold, as of now."""

    rows: int
    entities: int
    now: datetime
    times: Mapping[str, TimeCounts] = field(default_factory=dict)


class Counter:
    """Counts in a warehouse; `before_scan` is told what a query reads where the warehouse charges by it.

    `now` is the real clock, for a time that lies ahead of it tells of no fact, whatever the project's clock.
    """

    def __init__(self, statements: Statements, before_scan: BeforeScan, *, now: datetime) -> None:
        self._statements = statements
        self._before_scan = before_scan
        self._now = now

    def unique_columns(self, table: Table, columns: Sequence[TableColumn]) -> list[TableColumn]:
        """Find the columns that differ in all rows that have them, most of all rows; none if rows are too few."""
        names = [column.name for column in columns]
        rows, *counts = self._row(table, distinct_values(table.relation, names, dialect=self._statements.dialect))
        pairs = zip(columns, counts[::2], counts[1::2], strict=True)
        return [each for each, filled, different in pairs if different == filled > max(1, rows // 2)]

    def rows_of(self, table: Table, keys: Sequence[TableColumn], times: Sequence[TableColumn]) -> Counts:
        """Count rows and entities, and look at some columns of times."""
        kinds = {each.name: each.kind for each in times if each.kind is not None}
        query = rows_of_keys(table.relation, [each.name for each in keys], kinds, dialect=self._statements.dialect)
        entities, rows, *rest = self._row(table, query)
        found = {
            name: TimeCounts(timed=int(timed), moments=int(moments), first=_moment(first), last=_moment(last))
            for name, (timed, moments, first, last) in zip(kinds, _fours(rest), strict=True)
        }
        return Counts(rows=int(rows), entities=int(entities), now=self._now, times=found)

    def _row(self, table: Table, query: Query) -> tuple[Any, ...]:
        size = self._statements.warehouse.bytes_to_scan(self._statements.text(query))
        if size is not None:
            self._before_scan(table.name, size)
        (row,) = self._statements.fetch(query)
        return row


def _fours(values: Sequence[Any]) -> list[Sequence[Any]]:
    return [values[at : at + 4] for at in range(0, len(values), 4)]


def _moment(microseconds: Any) -> datetime | None:
    try:
        return None if microseconds is None else EPOCH.astimezone(UTC) + timedelta(microseconds=int(microseconds))
    except OverflowError:
        return None
