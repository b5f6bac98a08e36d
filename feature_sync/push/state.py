"""The warehouse's record of the pushes of a view to one Redis: the rows that Redis holds, and what is unfinished."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import datetime

import msgspec

from feature_sync.errors import LeaseLost, WarehouseConflict, WarehouseError
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.push.state_schema import PushTables
from feature_sync.sql.push.states import STATE, StateTable

_WAREHOUSE = ("", "")
"""View and store id of the row that holds the warehouse's own id; no view or store has empty ones."""
_TAKEN_OVER = "another push has changed the state in the warehouse; nothing of this one is committed"


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """The newest push that was completed.

    Args:
        push: The id of the push.
        table: The table of the rows that Redis holds.
        rows: How many rows that are.
        definition: The fingerprint of all that determines the rows.
        columns: The columns of `table` by which rows stop answering.
        candidates: How many rows of the view could answer when they were counted last; negative if never.
        digest: The sum of their hashes; None if this push did not count them.
        digests: The table of the same for each bucket of entities; empty where there is none.
    """

    push: str
    table: str
    rows: int
    definition: str
    columns: tuple[str, ...] = ()
    candidates: int
    digest: str | None
    digests: str = ""

    @property
    def depth(self) -> float | None:
        """How many rows an entity had on average; None if they were never counted."""
        return self.candidates / self.rows if self.rows and self.candidates >= 0 else None


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """Pushes that may have begun to send, and were not committed.

    Args:
        pushes: Their ids, the newest last.
        table: All keys that any of them may have touched; after a full push all its rows, without the keys that Redis
            held before and that it may have deleted. Where one table holds rows and changes, its changes are meant.
        is_full: True after a full push.
        digests: The table of digests of the newest of them; empty where there is none.
    """

    pushes: tuple[str, ...]
    table: str
    is_full: bool
    digests: str = ""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The random id of a warehouse, which distinguishes warehouses that had the same address."""

    warehouse: str


class LastPush(msgspec.Struct, frozen=True, kw_only=True):
    """What `status` reports of the newest push that was completed; no push reads it."""

    at: datetime
    seconds: float
    written: int
    deleted: int
    relation: str
    invocation_id: str | None = None
    as_of: datetime | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The whole record.

    Args:
        revision: How often the state was written; 0 if never.
        committed: The newest completed push.
        unfinished: Pushes after it.
        last: What `status` reports of the newest completed push.
        dropped: Unreferenced tables that still exist.
    """

    revision: int = 0
    committed: Committed | None = None
    unfinished: Unfinished | None = None
    last: LastPush | None = None
    dropped: tuple[str, ...] = ()

    @property
    def tables(self) -> set[str]:
        """The tables that pushes still need."""
        named = [(each.table, each.digests) for each in (self.committed, self.unfinished) if each is not None]
        return {table for tables in named for table in tables if table}

    @property
    def pushes(self) -> set[str]:
        """The ids of the pushes that may have touched Redis last."""
        committed = {self.committed.push} if self.committed is not None else set()
        return committed.union(self.unfinished.pushes if self.unfinished is not None else ())


class StateStore:
    """The state of one view and one Redis, in one row of the warehouse."""

    def __init__(self, runner: QueryRunner, tables: PushTables, view: str, store: str) -> None:
        """Read and write the state of one view.

        Args:
            runner: The warehouse.
            tables: The tables of pushes there.
            view: The name of the view in the online store: key prefix and reference.
            store: The id of the online store.
        """
        self._runner = runner
        self._tables = tables
        self._row = (view, store)
        self._table = StateTable(tables, runner.dialect)

    def read(self) -> State:
        """Read the state; an empty one if there is none.

        If a table that it names is gone, what it knows of Redis is dropped, so that the next push sends all rows.

        Raises:
            WarehouseError: It cannot be read, as if another version of this package wrote it.
        """
        names = self._existing_tables()
        if STATE not in names:
            return State()
        found = self._runner.fetch(self._table.read(*self._row))
        if not found:
            return State()
        if len(found) > 1:
            raise WarehouseError(
                f"{self._tables.schema}.{STATE} holds {self._row[0]} twice; drop that schema and push again"
            )
        revision, content = found[0]
        try:
            state = msgspec.structs.replace(msgspec.json.decode(content, type=State), revision=revision)
        except msgspec.DecodeError as unreadable:
            raise WarehouseError(
                f"{self._tables.schema}.{STATE} cannot be read ({unreadable}); drop that schema and push again"
            ) from unreadable
        dropped = names.intersection(state.dropped)
        if not names.issuperset(state.tables):
            dropped |= names & state.tables
            state = State(revision=revision, last=state.last)
        return msgspec.structs.replace(state, dropped=tuple(sorted(dropped)))

    def write(self, before: State, state: State) -> State:
        """Write the next revision of a state, and return it; tables that only the one before needed become `dropped`.

        Args:
            before: The state that was read, or written last.
            state: The new state; its revision and dropped tables are computed.

        Raises:
            LeaseLost: Another push has written the state since.
        """
        dropped = {*before.dropped, *before.tables} - state.tables
        state = msgspec.structs.replace(state, revision=before.revision, dropped=tuple(sorted(dropped)))
        content = msgspec.json.encode(state).decode()
        try:
            written = self._runner.run(self._table.write(*self._row, state.revision, content))
        except WarehouseConflict as conflict:
            raise LeaseLost(_TAKEN_OVER) from conflict
        if written != 1:  # the update is conditional on the revision that was read
            raise LeaseLost(_TAKEN_OVER)
        return msgspec.structs.replace(state, revision=state.revision + 1)

    def forget(self) -> None:
        """Drop the state, and the tables that it names."""
        state = self.read()
        if state.revision:
            tables = sorted({*state.tables, *state.dropped})
            self._runner.run(*map(self._tables.drop, tables), self._table.forget(*self._row))

    def clean(self, state: State) -> None:
        """Drop unreferenced tables. Skips any still locked by an abandoned push: a later push drops them."""
        for table in state.dropped:
            self._runner.run_if_free(self._tables.drop(table))

    def _existing_tables(self) -> set[str]:
        return existing_tables(self._runner, self._tables)


def create_states(runner: QueryRunner, tables: PushTables) -> str:
    """Create the table of states unless it exists, and the warehouse's id; returns the id."""
    table = StateTable(tables, runner.dialect)
    if STATE not in existing_tables(runner, tables):
        with suppress(WarehouseConflict), runner.warehouse.transaction():  # then another push has just created it
            runner.run(*table.create(has_schema=runner.warehouse.has_schema(tables.schema)))
    if not (found := warehouse_id(runner, tables)):
        content = msgspec.json.encode(Identity(warehouse=secrets.token_hex(8))).decode()
        with suppress(WarehouseConflict), runner.warehouse.transaction():  # then another push has just written it
            runner.run(table.write(*_WAREHOUSE, 0, content))
        found = warehouse_id(runner, tables)
    return found


def warehouse_id(runner: QueryRunner, tables: PushTables) -> str:
    """Read the random id of this warehouse; empty before its first push.

    Raises:
        WarehouseError: It cannot be read, as if another version of this package wrote it.
    """
    if STATE not in existing_tables(runner, tables):
        return ""
    found = runner.fetch(StateTable(tables, runner.dialect).read(*_WAREHOUSE))
    try:
        # Without unique constraints, two first pushes may each have written one: all use the least.
        return min((msgspec.json.decode(content, type=Identity).warehouse for _, content in found), default="")
    except msgspec.DecodeError as unreadable:
        raise WarehouseError(
            f"{tables.schema}.{STATE} cannot be read ({unreadable}); drop that schema and push again with --take-over"
        ) from unreadable


def existing_tables(runner: QueryRunner, tables: PushTables) -> set[str]:
    """Return the names of the tables in the state schema."""
    return runner.warehouse.tables(tables.schema)
