"""PostgreSQL's transactions: one snapshot that every table belongs to, and locks that are waited for with patience.

A snapshot is older than the tables that are named after it was taken. PostgreSQL finds a name in the newest catalog, so
a table that was swapped (as dbt does) or truncated meanwhile is found, and looks empty: none of its rows is in the
snapshot. So each transaction that reads proves, by the catalog as the snapshot has it, that every table whose lock it
holds was there before; the locks keep it so until the end. Locks name the tables behind views and functions, too, and
unlike LOCK TABLE they need no right that reading does not.
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
"""Longer than a pusher that is suspended in a transaction keeps its session, and with it its locks."""
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
"""Joins `pg_class` as the snapshot has it with what functions know of the newest.

A new index is not a new table, and what does not exist any more was dropped in this very transaction."""
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
"""Also who still waits for such a lock: readers queue behind them."""
Result = TypeVar("Result")


class Swapped(WarehouseConflict):
    """A table that was read is younger than the snapshot."""


class Snapshots:
    """The transactions of one connection."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        *,
        patience: float | None,
        stopped: Callable[[], bool],
    ) -> None:
        """`patience` is how many seconds to wait for locks; None leaves it to the role's `lock_timeout`, or a minute.

        `stopped` asks to end early.
        """
        self._connection = connection
        self._stopped = stopped
        self._patience, self._usual = self._patience_for_locks(patience)

    def _patience_for_locks(self, patience: float | None) -> tuple[float, int]:
        """Bound every wait of the session, and return how long to wait before a read, and before a write in ms."""
        found = self._connection.execute("select setting from pg_catalog.pg_settings where name = 'lock_timeout'")
        milliseconds = int((found.fetchone() or ("0",))[0])
        usual = milliseconds or _SECONDS_TO_WRITE * 1000
        self._connection.execute(SQL("set lock_timeout = {}").format(Literal(usual)))
        self._connection.commit()
        if patience is None:
            patience = milliseconds / 1000 if milliseconds else _SECONDS_FOR_LOCKS
        return patience, usual

    @contextmanager
    def of(self, reads: Sequence[QueryNoTemplate] = ()) -> Iterator[None]:
        """Work in one transaction; the tables of the queries in `reads` are locked first.

        Inside another transaction it is a part of that.

        Raises:
            WarehouseConflict: A table that was read is younger than the snapshot.
        """
        if self._is_inside:
            with translating(), self._connection.transaction():
                yield
            return
        with self.patiently(lambda: self._begun(reads)):
            yield
            self.prove()

    def run(self, work: Callable[[], Result]) -> Result:
        """Run what may be run again in a transaction of its own, unless there is one."""

        def attempt() -> Result:
            with self._begun(()):
                self._be_brief()
                result = work()
                self.prove()
            return result

        return work() if self._is_inside else self.patiently(attempt)

    def prove(self) -> None:
        """Prove that whatever was read so far belongs to the snapshot.

        Raises:
            Swapped: A table is younger.
        """
        with translating():
            younger = self._connection.execute(_NOT_IN_SNAPSHOT, binary=True).fetchall()
        if younger:
            names = ", ".join(sorted(name for (name,) in younger))
            raise Swapped(f"PostgreSQL: {names} was rebuilt or truncated while it was read; run this again")

    def patiently(self, attempt: Callable[[], Result]) -> Result:
        """Attempt until no lock and no swap is in the way, and say so where it takes long.

        Raises:
            WarehouseError: A lock is held for longer than our patience, or this is asked to end.
        """
        began, swaps, is_told = time.monotonic(), 0, False
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
                        f"PostgreSQL: a table has been locked for {waited:.0f} s{self._who_locks()}; "
                        "end that session, or run this again when it has ended"
                    ) from locked
                if not is_told:
                    _LOG.warning("PostgreSQL: waiting for a table that is locked%s", self._who_locks())
                    is_told = True

    @property
    def _is_inside(self) -> bool:
        return self._connection.info.transaction_status != TransactionStatus.IDLE

    def _begun(self, reads: Sequence[QueryNoTemplate]) -> ExitStack:
        """Begin a transaction, lock what will be read, and prove that the snapshot has it."""
        with ExitStack() as begun:
            begun.enter_context(translating())
            begun.enter_context(self._connection.transaction())
            if reads:
                with translating():
                    self._be_brief()
                    for query in reads:
                        self._connection.execute(query, binary=True)
                    self._set_timeout(self._usual)
                self.prove()
            return begun.pop_all()

    def _be_brief(self) -> None:
        """Wait for locks in short turns, so that there is something to say between them."""
        self._set_timeout(max(1, int(min(_SECONDS_BETWEEN_TRIES, self._patience) * 1000)))

    def _set_timeout(self, milliseconds: int) -> None:
        """Set it for this transaction; unlike a query, this takes no snapshot yet."""
        self._connection.execute(SQL("set local lock_timeout = {}").format(Literal(milliseconds)))

    def _who_locks(self) -> str:
        """Name the sessions that hold exclusive locks of this database's tables, or wait for them."""
        with suppress(psycopg.Error, WarehouseError), self._connection.transaction():
            found = self._connection.execute(_LOCKED_NOW, binary=True).fetchall()
            each = [f"{table} by process {pid} ({user}, {program or 'unnamed'})" for table, pid, user, program in found]
            return f" ({'; '.join(each)})" if each else ""
        return ""


def locking(relation: str) -> QueryNoTemplate:
    """Write a query that locks a relation, and whatever is behind it, and reads nothing."""
    return SQL("select from {} where false").format(SQL(cast("Any", relation)))
