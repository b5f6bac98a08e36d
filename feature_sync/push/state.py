"""What the warehouse knows of the pushes of a view to one Redis: the rows that Redis holds, and what is unfinished."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import datetime

import msgspec

from feature_sync.errors import LeaseLost, WarehouseConflict, WarehouseError
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.push.states import STATE, StateTable
from feature_sync.sql.push.tables import PushTables

_WAREHOUSE = ("", "")
"""The row that holds the warehouse's own id: no view and no Redis are called so."""
_OUT = "another push has changed the state in the warehouse meanwhile; this one does not count"


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """The newest push that came to its end: Redis holds the rows of `table`.

    `definition` is the fingerprint of all that decides about rows, `columns` are those that tell which of them still
    answer. `candidates` and `digest` are those of the rows that could answer then.
    """

    push: str
    table: str
    rows: int
    definition: str
    columns: tuple[str, ...] = ()
    candidates: int
    digest: str | None


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """Pushes that began to send and did not end, as far as is known; the newest comes last.

    `table` holds all keys that any of them may have touched; of a full push it holds all rows, and says nothing of the
    keys that were there before.
    """

    pushes: tuple[str, ...]
    table: str
    is_full: bool


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a warehouse calls itself: random, and so unlike all others, whatever their addresses."""

    warehouse: str


class LastPush(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants to know of the newest push that came to its end."""

    at: datetime
    seconds: float
    written: int
    deleted: int
    relation: str
    invocation_id: str | None = None
    as_of: datetime | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; `revision` counts the changes, and is 0 before the first. Nobody needs the tables in `dropped`."""

    revision: int = 0
    committed: Committed | None = None
    unfinished: Unfinished | None = None
    last: LastPush | None = None
    dropped: tuple[str, ...] = ()

    @property
    def tables(self) -> set[str]:
        """The tables that are needed."""
        return {each.table for each in (self.committed, self.unfinished) if each is not None}

    @property
    def pushes(self) -> set[str]:
        """The pushes that Redis may have seen last."""
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
        """Read the state; an empty one where there is none, or where the rows that it names are gone.

        Raises:
            WarehouseError: It was written by another version of this package.
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
        """Write the revision that follows one that was read; tables that only that one needed count as dropped.

        Raises:
            LeaseLost: Somebody else has written one since.
        """
        dropped = {*before.dropped, *before.tables} - state.tables
        state = msgspec.structs.replace(state, revision=before.revision, dropped=tuple(sorted(dropped)))
        content = msgspec.json.encode(state).decode()
        try:
            written = self._runner.run(self._table.write(*self._row, state.revision, content))
        except WarehouseConflict as conflict:
            raise LeaseLost(_OUT) from conflict
        if written != 1:
            raise LeaseLost(_OUT)
        return msgspec.structs.replace(state, revision=state.revision + 1)

    def forget(self) -> None:
        """Drop the state, and the tables that it names."""
        state = self.read()
        if state.revision:
            tables = sorted({*state.tables, *state.dropped})
            self._runner.run(*map(self._tables.drop, tables), self._table.forget(*self._row))

    def clean(self, state: State) -> None:
        """Drop the tables that nobody needs, but those that a pusher still reads which was left behind."""
        for table in state.dropped:
            self._runner.run_if_free(self._tables.drop(table))

    def _existing_tables(self) -> set[str]:
        return existing_tables(self._runner, self._tables)


def create_states(runner: QueryRunner, tables: PushTables) -> str:
    """Create the place of all states, unless it is there; returns what this warehouse calls itself."""
    table = StateTable(tables, runner.dialect)
    if STATE not in existing_tables(runner, tables):
        with suppress(WarehouseConflict), runner.warehouse.transaction():  # then another push has just made it
            runner.run(*table.create(has_schema=runner.warehouse.has_schema(tables.schema)))
    if not (found := warehouse_id(runner, tables)):
        content = msgspec.json.encode(Identity(warehouse=secrets.token_hex(8))).decode()
        with suppress(WarehouseConflict), runner.warehouse.transaction():  # then another push has just chosen it
            runner.run(table.write(*_WAREHOUSE, 0, content))
        found = warehouse_id(runner, tables)
    return found


def warehouse_id(runner: QueryRunner, tables: PushTables) -> str:
    """Read what this warehouse calls itself; empty before its first push.

    Raises:
        WarehouseError: It was written by another version of this package.
    """
    if STATE not in existing_tables(runner, tables):
        return ""
    found = runner.fetch(StateTable(tables, runner.dialect).read(*_WAREHOUSE))
    try:
        # where no key is kept unique, two first pushes may have chosen: the same one counts for both
        return min((msgspec.json.decode(content, type=Identity).warehouse for _, content in found), default="")
    except msgspec.DecodeError as unreadable:
        raise WarehouseError(
            f"{tables.schema}.{STATE} cannot be read ({unreadable}); drop that schema and push again with --take-over"
        ) from unreadable


def existing_tables(runner: QueryRunner, tables: PushTables) -> set[str]:
    """The names of the tables that pushes have made."""
    return runner.warehouse.tables(tables.schema)
