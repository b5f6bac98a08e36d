"""Counts a model's rows, keys and times, with at most two queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from feature_sync.adopting.counts import Counts, TimeCounts
from feature_sync.adopting.evidence import Table, TableColumn
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.grain import distinct_values, rows_of_keys
from feature_sync.sql.render import Query
from feature_sync.value_types import since_epoch

BeforeScan = Callable[[str, int], None]
"""Called with a model's name and the number of bytes that a query over it will read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """Counts the rows of one model; without a `runner` it runs no queries and returns nothing.

    `now` is the real clock, even if the project fixes its own: a time after it is a plan. `before_scan` is called
    before each query, on warehouses that charge by bytes read.
    """

    table: Table
    runner: QueryRunner | None
    before_scan: BeforeScan
    now: datetime

    def unique_columns(self, columns: Sequence[TableColumn]) -> list[TableColumn]:
        """Return the columns without repeated values.

        Nulls do not count, but a column must be filled in more than half of the rows. A single row proves nothing, so
        then no column is returned.
        """
        if self.runner is None or not columns:
            return []
        names = [column.name for column in columns]
        query = distinct_values(self.table.relation, names, dialect=self.runner.dialect)
        rows, *counts = self._row(self.runner, query)
        pairs = zip(columns, counts[::2], counts[1::2], strict=True)
        return [each for each, filled, different in pairs if different == filled > max(1, rows // 2)]

    def rows_of(self, keys: Sequence[TableColumn], times: Sequence[TableColumn]) -> Counts | None:
        """Count rows, entities and times; None without a `runner`."""
        if self.runner is None:
            return None
        kinds = {each.name: each.kind for each in times if each.kind is not None and each.is_time}
        names = [each.name for each in keys]
        query = rows_of_keys(self.table.relation, names, kinds, dialect=self.runner.dialect)
        entities, rows, *rest = self._row(self.runner, query)
        found = {
            name: TimeCounts(timed=int(timed), moments=int(moments), first=_moment(first), last=_moment(last))
            for name, timed, moments, first, last in zip(
                kinds, rest[::4], rest[1::4], rest[2::4], rest[3::4], strict=True
            )
        }
        return Counts(rows=int(rows), entities=int(entities), now=self.now, times=found)

    def _row(self, runner: QueryRunner, query: Query) -> tuple[Any, ...]:
        size = runner.warehouse.bytes_to_scan(runner.text(query))
        if size is not None:
            self.before_scan(self.table.name, size)
        (row,) = runner.fetch(query)
        return row


def _moment(microseconds: Any) -> datetime | None:
    return since_epoch(None if microseconds is None else int(microseconds))
