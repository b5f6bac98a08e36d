"""The warehouse's side of a push: stages what Redis should hold, and how that differs from what it holds."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from feature_sync.clock import Clock
from feature_sync.definitions import view_fingerprint
from feature_sync.errors import HeldBack
from feature_sync.push.commit import Commits, Staged
from feature_sync.push.digests import Digest, Digests
from feature_sync.push.plan import Action, Expected, OnlineState, check_owner, plan_push
from feature_sync.push.report import PushOptions
from feature_sync.push.state import Committed, State, StateStore
from feature_sync.push.table_names import table_name
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.push.latest import newest_event, stored_rows
from feature_sync.sql.push.state_schema import PushTables
from feature_sync.sql.push.tables import ViewTables
from feature_sync.sql.render import Query, Select
from feature_sync.sql.types import with_normal_types
from feature_sync.sql.view_query import ViewQuery
from feature_sync.value_types import since_epoch

_VERSION = 4
"""The version of staged rows: raise it when older rows can no longer be compared, and so all must be sent."""
_LARGEST_REMOVAL = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a push would send.

    Args:
        query: Selects the rows to write.
        full: Why all rows would be sent; None if only changes.
        deleted: How many rows changes would delete; 0 if all rows would be sent, since Redis alone knows the others.
        rows: How many rows Redis would hold after changes; 0 if all rows would be sent.
    """

    query: str
    full: str | None
    deleted: int
    rows: int


class Origin(NamedTuple):
    """A view where its rows are.

    Args:
        runner: The warehouse that holds them.
        query: The view.
    """

    runner: QueryRunner
    query: ViewQuery


class _Counts(NamedTuple):
    """How many keys changes write and remove, and how many rows Redis holds then."""

    written: int
    removed: int
    rows: int


class Staging:
    """Stages and commits pushes of one view, for one Redis."""

    def __init__(
        self,
        runner: QueryRunner,
        query: ViewQuery,
        *,
        origin: Origin,
        name: str,
        warehouse_id: str,
        online: OnlineState,
        clock: Clock,
        options: PushOptions,
    ) -> None:
        """Prepare to stage.

        Args:
            runner: The place of the state.
            query: The rows to stage, there.
            origin: The view, where its rows are.
            name: The name of the view in the online store: key prefix and reference.
            warehouse_id: The random id kept in the place of the state; empty before its first push.
            online: The online store before the push.
            clock: The moment of the push.
            options: How to push.
        """
        self._runner = runner
        self._query = query
        self._origin = origin
        self._online = online
        self._options = options
        self._tables = PushTables(options.state_schema)
        self._view_tables = ViewTables(self._tables, query)
        self._states = StateStore(runner, self._tables, name, online.store)
        self.commits = Commits(runner, self._view_tables, self._states)
        self._now = clock.now
        self._digests = Digests(runner, query, self._view_tables, now=clock.now)
        defined = origin.query.view
        self.address = f"{origin.runner.warehouse.address} {defined.relation.name}"
        view = with_normal_types(defined, dialect=origin.runner.dialect)
        self._expected = Expected(
            reference=defined.reference,
            address=self.address,
            warehouse_id=warehouse_id,
            definition=f"{_VERSION} {query.dialect.hash_version} {view_fingerprint(view)}",
            options=options,
            topic=None if defined.stream is None else defined.stream.topic,
        )

    def stage(self, check: Callable[[], None]) -> Staged:
        """Write what is to be sent to a table, and record the push as unfinished; to be called in one transaction.

        Args:
            check: Raises if dbt has rewritten the artifacts that this push goes by. Called after the rows are staged,
                since dbt may build the view while they are, and before the push is recorded.

        Raises:
            HeldBack: The rows look too wrong to be sent.
            LeaseLost: Another push has changed the state.
            OnlineStoreError: The keys in Redis belong to another warehouse.
        """
        state = self._states.read()
        check_owner(self._online, state, self._expected)  # before a scan that may cost money
        push, known = secrets.token_hex(8), state.committed
        self._runner.warehouse.label(push=push)
        plan = plan_push(self._online, state, self._expected, None)
        if plan.action is Action.SEND_ALL or known is None:
            staged = self._stage_all(state, push, plan.reason)
        else:
            digest = self._digests.of_changes(self._table("digests", push), known)
            plan = plan_push(self._online, state, self._expected, digest.candidates)
            if plan.action is Action.SKIP:
                self._drop(digest.table)
                staged = Staged(push=known.push, state=state, committed=known, is_unchanged=True)
            else:
                staged = self._stage_changes(state, known, self._committed(push, digest))
        check()
        staged = replace(staged, reason=plan.reason, lost=plan.lost)
        return staged if staged.is_unchanged else self.commits.begin(staged)

    def _committed(self, push: str, digest: Digest, *, table: str = "", rows: int = 0) -> Committed:
        return Committed(
            push=push,
            table=table,
            rows=rows,
            definition=self._expected.definition,
            columns=self._view_tables.liveness_columns,
            candidates=digest.rows,
            digest=None if digest.candidates is None else digest.candidates.digest,
            digests=digest.table,
        )

    def _drop(self, *tables: str) -> None:
        self._runner.run(*(self._tables.drop(table) for table in sorted(tables) if table))

    def _stage_all(self, state: State, push: str, reason: str) -> Staged:
        table = self._table("rows", push)
        estimate = self._digests.estimated_depth() if state.committed is None else None
        depth = estimate if state.committed is None else state.committed.depth
        self._runner.run(*self._view_tables.create_rows(table, now=self._now, depth=depth))
        rows, _ = self._runner.fetch(self._view_tables.count_rows(table, now=self._now))[0]
        if state.committed is not None:
            alive = self._count_alive(state.committed)
            self._check_removals(alive - rows, alive)
        self._check_rows(rows, state)
        digest = self._digests.of_all(self._table("digests", push), rows, estimate=estimate)
        committed = self._committed(push, digest, table=table, rows=rows)
        return Staged(push=push, state=state, committed=committed, full=reason, table=table)

    def _stage_changes(self, state: State, known: Committed, committed: Committed) -> Staged:
        if self._view_tables.changes_in_place:
            table = self._table("changes", committed.push)
            committed = msgspec.structs.replace(committed, table=known.table)
            buckets = self._digests.changed(committed.digests, known.digests, _uncertain(state))
            changes = self._changes(state, known, buckets=buckets)
            self._runner.run(*self._view_tables.create_changes(table, changes, depth=known.depth))
        else:  # no two statements see the same rows, so that one reads them
            table = self._table("rows", committed.push)
            committed = msgspec.structs.replace(committed, table=table)
            staged = self._view_tables.create_rows_and_changes(table, known.table, _uncertain(state), now=self._now)
            self._runner.run(staged)
        counts = self._count(table, state, known)
        committed = msgspec.structs.replace(committed, rows=counts.rows)
        if not counts.written and not counts.removed:
            self._drop(*{table, committed.table} - {known.table})
            committed = msgspec.structs.replace(committed, push=known.push, table=known.table)
            if committed.digests:  # recorded at once, since no table may be left that no state names
                state = self._states.write(state, msgspec.structs.replace(state, committed=committed))
            return Staged(push=known.push, state=state, committed=committed, is_unchanged=True)
        return Staged(push=committed.push, state=state, committed=committed, table=table)

    def _changes(self, state: State, known: Committed, *, buckets: Query | None = None) -> Select:
        """Select how the rows that answer now differ from the committed ones."""
        tables = self._view_tables
        fresh = tables.fresh(now=self._now, buckets=buckets, depth=known.depth)
        return tables.changes(fresh, known.table, _uncertain(state), now=self._now, buckets=buckets)

    def _count(self, changes: Select | str, state: State, known: Committed) -> _Counts:
        """Count changes; raises HeldBack if they look wrong."""
        changed, removed, removed_known, removed_alive, new = self._runner.fetch(
            self._view_tables.count_changes(changes)
        )[0]
        counts = _Counts(written=changed - removed, removed=removed, rows=known.rows - removed_known + new)
        if removed_alive:
            self._check_removals(removed_alive, self._count_were_alive(changes, known))
        self._check_rows(counts.rows, state)
        return counts

    def _count_alive(self, known: Committed) -> int:
        """Count the committed entities that still answer; all of them if staged without the columns needed."""
        if known.columns != self._view_tables.liveness_columns:
            return known.rows
        return int(self._runner.fetch(self._view_tables.count_rows(known.table, now=self._now))[0][1])

    def _count_were_alive(self, changes: Select | str, known: Committed) -> int:
        """Count the committed entities that still answer, in the table of this push if it holds them all."""
        if isinstance(changes, str) and not self._view_tables.changes_in_place:
            return int(self._runner.fetch(self._view_tables.count_were_alive(changes))[0][0])
        return self._count_alive(known)

    def bytes_to_scan(self) -> int | None:
        """Return how many bytes of the view staging would read; None if the warehouse does not report it."""
        runner, query = self._origin
        return runner.warehouse.bytes_to_scan(runner.text(stored_rows(query, now=self._now)))

    def preview(self) -> Preview:
        """Return what would be staged, and write nothing.

        Raises:
            HeldBack: The push would be held back.
            OnlineStoreError: The keys in Redis belong to another warehouse.
        """
        state = self._states.read()
        plan = plan_push(self._online, state, self._expected, None)
        known = state.committed
        if plan.action is Action.SEND_ALL or known is None:
            rows = self._view_tables.rows_to_write(self._view_tables.fresh(now=self._now), of_changes=False)
            return Preview(query=self._runner.text(rows), full=plan.reason, deleted=0, rows=0)
        changes = self._changes(state, known)
        counts = self._count(changes, state, known)
        rows = self._view_tables.rows_to_write(changes, of_changes=True)
        return Preview(query=self._runner.text(rows), full=None, deleted=counts.removed, rows=counts.rows)

    def queries(self, staged: Staged) -> list[str]:
        """Return the queries of the rows to write and, for changes, of the keys to delete (a full push asks Redis)."""
        is_full = staged.full is not None
        queries = [self._view_tables.rows_to_write(staged.table, of_changes=not is_full)]
        queries += [] if is_full else [self._view_tables.keys_to_delete(staged.table)]
        return [self._runner.text(query) for query in queries]

    def query_of_unchanged(self, staged: Staged) -> str:
        """Return the query of the rows that did not change, and perhaps others; in the form in which they are sent."""
        return self._runner.text(self._view_tables.rows_to_write(staged.committed.table, of_changes=False))

    def _check_removals(self, removed: int, alive: int) -> None:
        if removed > alive * _LARGEST_REMOVAL and not self._options.allow_removals:
            raise HeldBack(
                f"it would remove {removed:,} of {alive:,} entities; if they are gone on purpose, add --allow-removals"
            )

    def _check_rows(self, rows: int, state: State) -> None:
        """Hold back a push without rows: the cause is nearly always a wrong clock, or a pipeline that stopped."""
        if rows or (state.committed is not None and self._options.allow_removals):
            return
        now = f"{self._now:%Y-%m-%d %H:%M:%S}Z"
        runner, query = self._origin
        if not query.has_times:
            raise HeldBack("the table holds no row with a key")
        newest = runner.fetch(newest_event(runner.query_of(query.view)))[0][0]
        if newest is None:
            raise HeldBack("the table holds no row with a key and an event timestamp")
        moment = since_epoch(newest)
        when = "beyond the years 1 to 9999" if moment is None else f"of {moment:%Y-%m-%d %H:%M:%S}Z"
        raise HeldBack(f"no row answers at {now}; the newest is {when}")

    def _table(self, kind: str, push: str) -> str:
        return table_name(self._query.view.reference, kind, push)


def _uncertain(state: State) -> str | None:
    """Return the table of the keys that unfinished pushes may have touched."""
    return state.unfinished.table if state.unfinished else None
