"""What could have changed since the last push: digests of the rows that could answer, by buckets of entities."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from feature_sync.push.plan import Candidates
from feature_sync.push.state import Committed
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.newest_rows import can_be_deep, is_deep
from feature_sync.sql.push.digests import candidates, count_candidates
from feature_sync.sql.push.tables import ViewTables
from feature_sync.sql.render import Query
from feature_sync.sql.view_query import ViewQuery

_NEVER_COUNTED = -1
_MOST_BUCKETS = 0.3
"""The share of changed buckets above which all entities are compared, since hashing every key again would not pay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What a push recorded of the rows that could answer.

    Args:
        rows: Their number when they were counted last; negative if never.
        candidates: Their number and the sum of their hashes; None if not read, so that rows have to be compared.
        table: The table of the same for each bucket of entities; empty where the warehouse keeps none.
    """

    rows: int
    candidates: Candidates | None = None
    table: str = ""


class Digests:
    """The digests of one view at one moment."""

    def __init__(self, runner: QueryRunner, query: ViewQuery, tables: ViewTables, *, now: datetime) -> None:
        """Prepare to read them.

        Args:
            runner: The warehouse.
            query: The view.
            tables: The tables of its pushes.
            now: The moment.
        """
        self._runner = runner
        self._query = query
        self._tables = tables
        self._now = now

    def of_changes(self, name: str, known: Committed) -> Digest:
        """Digest the rows that could answer, unless the newest of them are found faster, and compared at once.

        Args:
            name: The table of digests to create.
            known: The last push.
        """
        if not self._tables.changes_in_place or is_deep(self._query, known.depth):
            return Digest(rows=known.candidates)
        return self._read(name)

    def of_all(self, name: str, entities: int, *, estimate: float | None) -> Digest:
        """Digest the rows that could answer after all of them were staged; only count them if there are many.

        Args:
            name: The table of digests to create.
            entities: How many rows were staged.
            estimate: How many rows an entity has by the warehouse's own statistics; None if unknown.
        """
        if not self._tables.changes_in_place:
            return Digest(rows=_NEVER_COUNTED)
        if estimate is not None and is_deep(self._query, estimate):
            return Digest(rows=round(estimate * entities))
        if can_be_deep(self._query):
            rows = int(self._runner.fetch(count_candidates(self._query, now=self._now))[0][0])
            if entities and is_deep(self._query, rows / entities):
                return Digest(rows=rows)
        return self._read(name)

    def _read(self, name: str) -> Digest:
        query = candidates(self._query, now=self._now)
        if self._tables.has_buckets:
            self._runner.run(self._tables.create_digests(name, now=self._now))
            query = self._tables.candidates(name)
        found = Candidates(*self._runner.fetch(query)[0])
        return Digest(rows=found.rows, candidates=found, table=name if self._tables.has_buckets else "")

    def estimated_depth(self) -> float | None:
        """Return how many rows an entity has by the warehouse's own statistics; None if unknown, or of no use."""
        return estimated_depth(self._runner, self._query)

    def changed(self, fresh: str, known: str, uncertain: str | None) -> Query | None:
        """Select the buckets of the entities that may have changed; None to compare all entities.

        Args:
            fresh: The table of digests now; empty if there is none.
            known: The one of the last push.
            uncertain: Change table of an unfinished push.
        """
        if not fresh or not known:
            return None
        changed = self._tables.changed_buckets(fresh, known, uncertain)
        count, every = self._runner.fetch(self._tables.count_buckets(changed, fresh))[0]
        return changed if count <= every * _MOST_BUCKETS else None


def estimated_depth(runner: QueryRunner, query: ViewQuery) -> float | None:
    """Return how many rows an entity has by the warehouse's own statistics; None if unknown, or of no use."""
    if not can_be_deep(query):
        return None
    return runner.warehouse.estimated_depth(query.view.relation.name, query.native_keys)
