"""What could have changed since the last push: digests of the rows that could answer, by buckets of entities."""

from __future__ import annotations

from datetime import datetime

from feature_sync.push.plan import Candidates
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.push.digests import candidates
from feature_sync.sql.push.tables import ViewTables
from feature_sync.sql.render import Query
from feature_sync.sql.view_query import ViewQuery

_MOST_BUCKETS = 0.5
"""The share of changed buckets above which all entities are compared, since hashing every key again would not pay."""


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

    def create(self, name: str) -> str:
        """Create a table of the digests of buckets; returns its name, empty where the warehouse keeps none."""
        if not self._tables.has_buckets:
            return ""
        self._runner.run(self._tables.create_digests(name, now=self._now))
        return name

    def candidates(self, table: str) -> Candidates | None:
        """Count the rows that could answer, and sum their hashes; by a table of digests if one is named.

        None where the statement that stages would read other rows than this one: there a comparison costs no more.
        """
        if not self._tables.changes_in_place:
            return None
        query = self._tables.candidates(table) if table else candidates(self._query, now=self._now)
        return Candidates(*self._runner.fetch(query)[0])

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
