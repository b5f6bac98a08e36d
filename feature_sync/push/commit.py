"""The commit of a push: the warehouse knows beforehand which keys it may touch, and afterwards which rows arrived."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from feature_sync.push.state import Committed, LastPush, State, StateStore, Unfinished
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.push.tables import ViewTables


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What is to be sent: all rows of `table`, or where `full` is None its changes.

    `rows` are those that Redis will hold then. Where `is_unchanged`, nothing is to be sent and there is no table.
    """

    push: str
    state: State
    committed: Committed
    full: str | None = None
    table: str = ""
    is_unchanged: bool = False

    @property
    def rows(self) -> int:
        """How many rows Redis will hold."""
        return self.committed.rows


class Commits:
    """Records the pushes of one view in the warehouse.

    Raises:
        LeaseLost: From `begin` and `commit`: another push has changed the state since this one read it.
    """

    def __init__(self, runner: QueryRunner, tables: ViewTables, states: StateStore) -> None:
        self._runner = runner
        self._tables = tables
        self._states = states
        self._after = State()

    def begin(self, staged: Staged) -> Staged:
        """Record a push before it touches Redis; its table holds all keys of the unfinished one before."""
        is_full, before = staged.full is not None, staged.state.unfinished
        pushes = before.pushes if before is not None and not is_full else ()
        unfinished = Unfinished(pushes=(*pushes, staged.push), table=staged.table, is_full=is_full)
        state = self._states.write(staged.state, msgspec.structs.replace(staged.state, unfinished=unfinished))
        return replace(staged, state=state)

    def commit(self, staged: Staged, last: LastPush) -> None:
        """Record that Redis now holds what was staged."""
        self._after = self._states.write(staged.state, State(committed=staged.committed, last=last))
        if staged.table and staged.full is None and self._tables.changes_in_place:
            # only now it is sure that the tables are there
            self._runner.run(*self._tables.apply(staged.table, staged.committed.table))

    def clean(self) -> None:
        """Keep the rows that the commit names, and drop the tables that it no longer needs."""
        if self._after.committed is not None:
            self._runner.run(*self._tables.keep(self._after.committed.table))
        self._states.clean(self._after)
