"""Records a push in the warehouse: first the keys that it may touch in Redis, at the end the rows that Redis holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from feature_sync.push.state import Committed, LastPush, State, StateStore, Unfinished
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.push.tables import ViewTables


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What a push will send.

    Args:
        push: The id of the push; of the committed one if nothing changed.
        state: The state in the warehouse that this push read, or wrote last.
        committed: What the commit will record.
        full: Why `table` holds all rows; None if it holds changes.
        table: The staging table of this push; empty if nothing changed.
        is_unchanged: True if nothing is sent.
        reason: Why the plan is what it is.
        lost: The hash slots of a cluster whose rows are all sent, besides the changes.
    """

    push: str
    state: State
    committed: Committed
    full: str | None = None
    table: str = ""
    is_unchanged: bool = False
    reason: str = ""
    lost: frozenset[int] = frozenset()

    @property
    def rows(self) -> int:
        """How many rows Redis will hold after the push."""
        return self.committed.rows


class Commits:
    """Records the pushes of one view in the warehouse.

    Raises:
        LeaseLost: From `begin` and `commit`: another push has changed the state since this one read it.
    """

    def __init__(self, runner: QueryRunner, tables: ViewTables, states: StateStore) -> None:
        """Prepare to record pushes.

        Args:
            runner: The warehouse.
            tables: The staging tables of the view.
            states: The state of the view.
        """
        self._runner = runner
        self._tables = tables
        self._states = states
        self._after = State()

    def begin(self, staged: Staged) -> Staged:
        """Record a push as unfinished; to be committed in the warehouse before Redis is touched.

        Its change table must hold all keys of that of the unfinished push before: the state names only one table.
        """
        is_full, before = staged.full is not None, staged.state.unfinished
        # A full push compares with what Redis holds, not with a list, so that earlier pushes no longer matter.
        pushes = before.pushes if before is not None and not is_full else ()
        unfinished = Unfinished(
            pushes=(*pushes, staged.push), table=staged.table, is_full=is_full, digests=staged.committed.digests
        )
        state = self._states.write(staged.state, msgspec.structs.replace(staged.state, unfinished=unfinished))
        return replace(staged, state=state)

    def commit(self, staged: Staged, last: LastPush) -> None:
        """Record that Redis now holds what was staged, by one conditional update."""
        self._after = self._states.write(staged.state, State(committed=staged.committed, last=last))
        if staged.table and staged.full is None and self._tables.changes_in_place:
            # After the conditional update, which proves that no other push has dropped these tables.
            self._runner.run(*self._tables.apply(staged.table, staged.committed.table))

    def clean(self) -> None:
        """Drop the tables that the commit does not need; runs outside its transaction, and may be repeated.

        Where committed rows expire with their table, keep them for good.
        """
        if self._after.committed is not None:
            self._runner.run(*self._tables.keep(self._after.committed.table))
        self._states.clean(self._after)
