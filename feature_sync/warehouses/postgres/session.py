"""A connection to a PostgreSQL server, set up so that no setting of a role or database changes a result."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from select import select
from typing import Any, Self

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Identifier

from feature_sync.warehouses.postgres.settings import SECONDS_TO_CONNECT, PostgresSettings
from feature_sync.warehouses.postgres.values import load_as_text

_MORE_MEMORY_TO_SORT = SQL(
    "select set_config('work_mem', '64MB', false) "
    "where pg_size_bytes(current_setting('work_mem')) < pg_size_bytes('64MB')"
)
_CANCELS = 10
_SECONDS_BETWEEN_CANCELS = 0.1


class Session(psycopg.Connection[Any]):
    """A connection that closes itself if a signal comes between a command and its reply: it can send nothing else."""

    @classmethod
    def of(cls, settings: PostgresSettings, *, writable: bool) -> Self:
        """Connect, and set the session up; each transaction reads one snapshot (REPEATABLE READ).

        Raises:
            psycopg.Error: The server cannot be reached or refuses the user.
        """
        session = cls.connect(**settings.connection(), autocommit=True)
        if settings.role:
            session.execute(SQL("set role {}").format(Identifier(settings.role)))
        session.execute(settings.session(writable=writable))
        if writable:
            session.execute(_MORE_MEMORY_TO_SORT)
        session.autocommit = False
        session.read_only = not writable
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        load_as_text(session)
        return session

    @contextmanager
    def transaction(self, *arguments: Any, **options: Any) -> Iterator[psycopg.Transaction]:
        """Begin and commit; any exception rolls back."""
        try:
            with super().transaction(*arguments, **options) as begun:
                try:
                    yield begun
                except BaseException:
                    self._end_what_runs()
                    raise
        except BaseException:  # a signal may come before the transaction has begun, or while it is committed
            self._end_what_runs()
            raise

    def _end_what_runs(self) -> None:
        if self.info.transaction_status == TransactionStatus.ACTIVE:
            self._cancel()
            self.close()

    def _cancel(self) -> None:
        """Cancel the query that was sent; again if nothing comes, as a server ignores a request that is too early."""
        for _ in range(_CANCELS):
            with suppress(psycopg.Error):  # the server may be gone
                self.cancel_safe(timeout=SECONDS_TO_CONNECT)
            if select([self.pgconn.socket], [], [], _SECONDS_BETWEEN_CANCELS)[0]:
                return


def _is_of_use(record: logging.LogRecord) -> bool:
    """Return False for psycopg's warning that it cannot roll back what a signal ended: such a session is closed."""
    about = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return not (isinstance(about, psycopg.Transaction) and isinstance(about.connection, Session))


logging.getLogger("psycopg.transaction").addFilter(_is_of_use)
