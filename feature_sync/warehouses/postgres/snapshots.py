"""PostgreSQL's transactions: one snapshot that every table belongs to, and bounded waits for locks.

PostgreSQL resolves names in the newest catalog, not in the snapshot. So a table that was swapped (as dbt does) or
truncated after the snapshot was taken is found, and looks empty: none of its rows is in the snapshot. Therefore each
transaction that reads checks, by the catalog as of the snapshot, that every table that it has locked existed then; the
locks preserve that until the end. The list of locks includes the tables behind views and functions. Locks are taken by
planning queries: unlike LOCK TABLE, that needs no right that reading does not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar, cast

import psycopg
from psycopg.abc import QueryNoTemplate
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Literal

from feature_sync.errors import WarehouseConflict, WarehouseError
from feature_sync.warehouses.postgres.errors import Locked, translating

_LOG = logging.getLogger(__name__)
_SECONDS_FOR_LOCKS = 60
_SECONDS_BETWEEN_TRIES = 2
_SECONDS_TO_WRITE = 90
"""Longer than a push that is suspended in a transaction keeps its session, and with it its locks."""
_MOST_SWAPS = 20
_NOT_IN_SNAPSHOT = b"""
select lock.relation::pg_catalog.regclass::text
from pg_catalog.pg_locks as lock
left join pg_catalog.pg_class as seen on seen.oid = lock.relation
where
    lock.pid = pg_catalog.pg_backend_pid()
    and lock.locktype = 'relation'
    and lock.relation >= 16384
    and lock.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
    and case
        when seen.oid is null
            then pg_catalog.pg_table_is_visible(lock.relation) is not null
            and pg_catalog.pg_get_indexdef(lock.relation) is null
        else seen.relkind in ('r', 'm') and seen.relfilenode <> pg_catalog.pg_relation_filenode(seen.oid)
    end
"""
"""Compares `pg_class` as of the snapshot with functions that read the newest catalog.

A new index is not a new table, and a relation that no longer exists was dropped in this very transaction. Ids below
16384 are the system's own relations."""
_LOCKED_NOW = b"""
select distinct lock.relation::pg_catalog.regclass::text, lock.pid, activity.usename, activity.application_name
from pg_catalog.pg_locks as lock
join pg_catalog.pg_stat_activity as activity on activity.pid = lock.pid
where
    lock.locktype = 'relation'
    and lock.mode = 'AccessExclusiveLock'
    and lock.relation >= 16384
    and lock.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
    and lock.pid <> pg_catalog.pg_backend_pid()
order by lock.pid
limit 3
"""
"""Also sessions that still wait for such a lock: readers queue behind them."""
Result = TypeVar("Result")


class Swapped(WarehouseConflict):
    """A table that was read is newer than the snapshot."""


class Snapshots:
    """Runs the transactions of one connection."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        *,
        patience: float | None,
        stopped: Callable[[], bool],
    ) -> None:
        """Bound the waits of a connection.

        Args:
            connection: The connection.
            patience: How many seconds to wait for locks before a read; None for the role's `lock_timeout`, or a minute.
            stopped: Ends a wait when it returns True.
        """
        self._connection = connection
        self._stopped = stopped
        self._patience, self._usual_timeout = self._bound_waits(patience)

    def _bound_waits(self, patience: float | None) -> tuple[float, int]:
        """Bound every wait of the session; returns seconds to wait before a read, and milliseconds elsewhere."""
        found = self._connection.execute("select setting from pg_catalog.pg_settings where name = 'lock_timeout'")
        milliseconds = int((found.fetchone() or ("0",))[0])
        usual = milliseconds or _SECONDS_TO_WRITE * 1000
        self._connection.execute(SQL("set lock_timeout = {}").format(Literal(usual)))
        self._connection.commit()  # a rollback would undo the SET
        if patience is None:
            patience = milliseconds / 1000 if milliseconds else _SECONDS_FOR_LOCKS
        return patience, usual

    @contextmanager
    def transaction(self, reads: Sequence[QueryNoTemplate] = ()) -> Iterator[None]:
        """Work in one transaction; the tables of the queries in `reads` are locked first.

        Inside another transaction it is a savepoint, and locks nothing.

        Raises:
            WarehouseConflict: A table that was read is newer than the snapshot.
        """
        if self._in_transaction:
            with translating(), self._connection.transaction():
                yield
            return
        # Only the beginning is tried again: what the caller does inside may not be repeatable.
        with self._with_retry(lambda: self._begin(reads)):
            yield
            self._check_snapshot()

    def run(self, work: Callable[[], Result]) -> Result:
        """Run work that may be repeated, in a transaction of its own unless one is open."""

        def attempt() -> Result:
            with self._begin(()):
                self._shorten_waits()
                result = work()
                self._check_snapshot()
            return result

        return work() if self._in_transaction else self._with_retry(attempt)

    def _check_snapshot(self) -> None:
        """Raise unless every table read so far belongs to the snapshot.

        Raises:
            Swapped: A table is newer.
        """
        with translating():
            newer = self._connection.execute(_NOT_IN_SNAPSHOT, binary=True).fetchall()
        if newer:
            names = ", ".join(sorted(name for (name,) in newer))
            raise Swapped(f"PostgreSQL: {names} was rebuilt or truncated while it was read; run this again")

    def _with_retry(self, attempt: Callable[[], Result]) -> Result:
        """Attempt again as long as a lock or a swap interferes; logs a warning at the first lock.

        Raises:
            Swapped: Tables were swapped more than 20 times.
            WarehouseError: A lock is held for longer than the patience, or `stopped` ended the wait.
        """
        began, swaps, is_logged = time.monotonic(), 0, False
        while True:
            try:
                return attempt()
            except Swapped:
                swaps += 1
                if swaps > _MOST_SWAPS:
                    raise
            except Locked as locked:
                waited = time.monotonic() - began
                if self._stopped():
                    raise WarehouseError("stopped while waiting for a lock") from locked
                if waited >= self._patience:
                    raise WarehouseError(
                        f"PostgreSQL: a table has been locked for {waited:.0f} s{self._lock_holders()}; "
                        "end that session, or run this again when it has ended"
                    ) from locked
                if not is_logged:
                    _LOG.warning("PostgreSQL: waiting for a table that is locked%s", self._lock_holders())
                    is_logged = True

    @property
    def _in_transaction(self) -> bool:
        return self._connection.info.transaction_status != TransactionStatus.IDLE

    def _begin(self, reads: Sequence[QueryNoTemplate]) -> ExitStack:
        """Begin a transaction, lock what will be read, and check that the snapshot has it; returns what ends it."""
        with ExitStack() as transaction:
            transaction.enter_context(translating())
            transaction.enter_context(self._connection.transaction())
            if reads:
                with translating():
                    self._shorten_waits()
                    for query in reads:
                        self._connection.execute(query, binary=True)
                    self._set_timeout(self._usual_timeout)
                self._check_snapshot()
            return transaction.pop_all()

    def _shorten_waits(self) -> None:
        """Wait for locks in short turns, so that a warning, `stopped` and the patience take effect between them."""
        # at least 1: PostgreSQL takes 0 for no timeout at all
        self._set_timeout(max(1, int(min(_SECONDS_BETWEEN_TRIES, self._patience) * 1000)))

    def _set_timeout(self, milliseconds: int) -> None:
        """Set the timeout of locks for this transaction; unlike a query, this takes no snapshot yet."""
        self._connection.execute(SQL("set local lock_timeout = {}").format(Literal(milliseconds)))

    def _lock_holders(self) -> str:
        """Return the sessions that hold exclusive locks of tables, or wait for them; empty if that cannot be read."""
        with suppress(psycopg.Error, WarehouseError), self._connection.transaction():
            found = self._connection.execute(_LOCKED_NOW, binary=True).fetchall()
            each = [f"{table} by process {pid} ({user}, {program or 'unnamed'})" for table, pid, user, program in found]
            return f" ({'; '.join(each)})" if each else ""
        return ""


def lock_query(relation: str) -> QueryNoTemplate:
    """Return a query that locks a relation, with the tables behind it, and reads no rows."""
    return SQL("select from {} where false").format(SQL(cast("Any", relation)))
