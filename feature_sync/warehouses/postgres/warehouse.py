"""The warehouse on PostgreSQL: runs queries of a session, each read in a transaction of one snapshot."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, cast

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from feature_sync.definitions import Index, Target
from feature_sync.errors import RequestError, WarehouseConflict, WarehouseError
from feature_sync.warehouses.base import Columns, Warehouse, never, read_settings
from feature_sync.warehouses.postgres.errors import one_line, translating
from feature_sync.warehouses.postgres.indexes import indexes_of
from feature_sync.warehouses.postgres.rights import missing_grants
from feature_sync.warehouses.postgres.session import Session
from feature_sync.warehouses.postgres.settings import SECONDS_TO_CONNECT, PostgresSettings
from feature_sync.warehouses.postgres.snapshots import Snapshots, lock_query
from feature_sync.warehouses.postgres.statistics import estimated_depth
from feature_sync.warehouses.postgres.tls import why_refused
from feature_sync.warehouses.postgres.values import (
    arrow_array,
    arrow_type,
    check_years,
    column_type,
    load_times_as_numbers,
)

if TYPE_CHECKING:
    import pyarrow

_ROWS_PER_CHUNK = 512
_MILLISECONDS_TO_LOCK = 500
_SYSTEM_COLUMNS = {"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"}
_BYTES_OF_NAME = 63


class PostgresWarehouse(Warehouse):
    """A connection to PostgreSQL."""

    adapter = "postgres"

    def __init__(self, session: Session, address: str, snapshots: Snapshots) -> None:
        self._session = session
        self._snapshots = snapshots
        self._address = address
        self._cursors = itertools.count()

    @classmethod
    def connect(
        cls, target: Target, *, writable: bool = False, wait: bool = False, stopped: Callable[[], bool] = never
    ) -> Self:
        """Connect with dbt's own fields.

        Raises:
            ProfileError: A field is missing or wrong.
            WarehouseError: The server cannot be reached or refuses the user.
        """
        settings = read_settings(target, PostgresSettings)
        try:
            session = Session.of(settings, writable=writable)
            snapshots = Snapshots(session, patience=math.inf if wait else None, stopped=stopped)
        except psycopg.Error as refused:
            said = one_line(refused)
            cure = why_refused(said, settings)
            raise WarehouseError(f"PostgreSQL at {settings.host}:{settings.port}: {said}{cure}") from refused
        return cls(session, f"postgres {settings.host}:{settings.port}/{session.info.dbname}", snapshots)

    @property
    def address(self) -> str:
        """Host, port and database."""
        return self._address

    def check_rights(self, relations: Sequence[str], *, writes_to: str | None = None) -> None:
        """Look each right up, in one transaction."""
        with translating(), self._session.transaction():
            grants = missing_grants(self._session, relations, writes_to)
        if grants:
            raise WarehouseError(f"PostgreSQL: rights are missing; have their owner run: {'; '.join(grants)}")

    def has_schema(self, schema: str) -> bool:
        """Look the schema up in the catalog."""
        query = "select 1 from pg_catalog.pg_namespace where nspname = %s"
        with translating(), self._session.transaction():
            return self._session.execute(query, [schema]).fetchone() is not None

    def tables(self, schema: str) -> set[str]:
        """Look the tables up in the catalog, not in information_schema, which omits tables without rights on them."""
        query = (
            "select relname from pg_catalog.pg_class where relkind in ('r', 'p', 'v', 'm', 'f') "
            "and relnamespace = (select oid from pg_catalog.pg_namespace where nspname = %s)"
        )
        with translating(), self._session.transaction():
            return {name for (name,) in self._session.execute(query, [schema]).fetchall()}

    def describe(self, query: str) -> Mapping[str, str]:
        """Let the server plan the query, and return its columns."""
        described = self._snapshots.run(lambda: self._described(query))
        named = self._type_names({column.type_code for column in described if column.type_display.isdigit()})
        return {column.name: named.get(column.type_code, column.type_display) for column in described}

    def _type_names(self, unknown: set[int]) -> Mapping[int, str]:
        """Look up the names of types that the driver knows only by number: enums, composites and extension types."""
        query = "select oid::bigint, format_type(oid, null) from pg_type where oid = any(%s)"
        if not unknown:
            return {}
        with translating(), self._session.transaction():
            return dict(self._session.execute(query, [list(unknown)]).fetchall())

    def indexes(self, relations: Sequence[str]) -> Mapping[str, Sequence[Index]]:
        """Look all of them up by one query of the catalog; inside `snapshot`, they are those of the snapshot."""
        with translating(), self._session.transaction():
            return indexes_of(self._session, relations)

    def estimated_depth(self, relation: str, columns: Sequence[str]) -> float | None:
        """Ask the planner; None before the table was analyzed."""
        with translating(), self._session.transaction():
            return estimated_depth(self._session, relation, columns)

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Run the query, in a transaction of its own unless one is open."""

        def fetched() -> list[tuple[Any, ...]]:
            with translating(), self._session.transaction():
                return self._session.execute(query.encode(), binary=True).fetchall()

        return self._snapshots.run(fetched)

    def columns(self, query: str, *, batch_size: int) -> Generator[Columns]:
        """Stream the rows, and transpose every batch."""
        with self._snapshots.transaction([_planning(query)]), closing(self._batches(query, batch_size)) as batches:
            for rows in batches:
                yield list(zip(*rows, strict=True))

    @contextmanager
    def arrow(self, query: str, *, batch_size: int) -> Iterator[pyarrow.RecordBatchReader]:
        """Build record batches, with the types that the server reports."""
        import pyarrow

        with self._snapshots.transaction([_planning(query)]):
            schema = pyarrow.schema([(column.name, arrow_type(column)) for column in self._described(query)])

            def batches() -> Generator[pyarrow.RecordBatch]:
                with translating():
                    for rows in self._batches(query, batch_size, times_as_numbers=True):
                        columns = zip(schema.names, zip(*rows, strict=True), schema.types, strict=True)
                        arrays = [arrow_array(*column) for column in columns]
                        rows.clear()  # Python rows take many times the memory of their record batch
                        yield pyarrow.RecordBatch.from_arrays(arrays, schema=schema)

            with closing(batches()) as rows:
                yield pyarrow.RecordBatchReader.from_batches(schema, rows)

    def keep(self, name: str, query: str) -> str:
        """Create a temporary table, and analyze it: autovacuum does not, and the planner would guess its size."""

        def kept() -> None:
            self._execute(SQL("create temp table {} as {}").format(Identifier(name), SQL(query)))
            self._execute(SQL("analyze {}").format(Identifier(name)))

        with self._writing_temporarily():
            self._snapshots.run(kept)
        return Identifier(name).as_string()

    def load(self, name: str, rows: pyarrow.RecordBatchReader, types: Mapping[str, str]) -> str:
        """Copy batch after batch in as CSV, which Arrow writes much faster than Python writes rows."""
        import pyarrow.csv

        for column in rows.schema.names:
            if not 0 < len(column.encode()) <= _BYTES_OF_NAME:
                raise RequestError(f"the column {column!r}: PostgreSQL takes names of 1 to {_BYTES_OF_NAME} bytes")
            if column in _SYSTEM_COLUMNS:
                raise RequestError(f"the column {column!r}: PostgreSQL has a column of this name in every table")
        declared = {field.name: types.get(field.name) or column_type(field) for field in rows.schema}
        columns = [SQL("{} {}").format(Identifier(column), SQL(kind)) for column, kind in declared.items()]
        options = pyarrow.csv.WriteOptions(include_header=False)
        into = SQL("copy {} from stdin (format csv)").format(Identifier(name))
        with self._writing_temporarily(), self._snapshots.transaction():
            # Whoever makes the rows may be slow.
            self._execute(SQL("set local idle_in_transaction_session_timeout = 0").format())
            self._execute(SQL("create temp table {} ({})").format(Identifier(name), SQL(", ").join(columns)))
            for batch in rows:
                check_years(batch)
                text = io.BytesIO()
                pyarrow.csv.write_csv(batch, text, options)
                with translating(), self._session.cursor() as cursor, cursor.copy(into) as copy:
                    copy.write(text.getbuffer())
            self._execute(SQL("analyze {}").format(Identifier(name)))
        return Identifier(name).as_string()

    def unload(self, name: str) -> None:
        """Drop it, also where nothing but temporary tables may be written."""
        with self._writing_temporarily():
            super().unload(name)

    def snapshot(self, reads: Sequence[str] = ()) -> AbstractContextManager[None]:
        """Read in one transaction."""
        return self.transaction(reads)

    def transaction(self, reads: Sequence[str] = ()) -> AbstractContextManager[None]:
        """Work in one transaction of one snapshot; the relations in `reads` are locked first."""
        return self._snapshots.transaction([lock_query(relation) for relation in reads])

    def execute(self, statement: str) -> int:
        """Run a statement."""
        with translating():
            return max(self._session.execute(statement.encode(), binary=True).rowcount, 0)

    def execute_if_free(self, statement: str) -> None:
        """Run a statement; waits only half a second for a lock, since the session that holds it may be suspended."""
        with suppress(WarehouseConflict), self.transaction():
            self.execute(f"set local lock_timeout = {_MILLISECONDS_TO_LOCK}")
            self.execute(statement)

    @contextmanager
    def detached_results(self, queries: Sequence[str], *, batch_size: int) -> Iterator[Sequence[Iterator[Columns]]]:
        """Stream from the server, which never keeps other clients out."""
        with ExitStack() as streams:
            yield [streams.enter_context(closing(self.columns(each, batch_size=batch_size))) for each in queries]

    def cancel(self) -> None:
        """Ask the server to cancel the query."""
        with suppress(psycopg.Error):  # it may be closed by now
            self._session.cancel_safe(timeout=SECONDS_TO_CONNECT)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    @contextmanager
    def _writing_temporarily(self) -> Iterator[None]:
        """Make the connection writable for a transaction: creating a temporary table counts as writing."""
        if not self._session.read_only:  # one that writes stays as it is
            yield
            return
        self._session.read_only = False
        try:
            yield
        finally:
            if not self._session.closed:
                self._session.read_only = True

    def _execute(self, statement: Composed) -> None:
        """Run one statement: the binary protocol refuses a text that contains several."""
        with translating():
            self._session.execute(statement, binary=True)

    def _described(self, query: str) -> Sequence[psycopg.Column]:
        """Describe a query by a cursor from which nothing is fetched."""
        cursor: psycopg.ServerCursor[Any]
        with translating(), self._session.transaction():
            cursor = psycopg.ServerCursor(self._session, f"feature_sync_{next(self._cursors)}")
            with cursor:
                cursor.execute(query, binary=True)
                return cursor.description or []

    def _batches(self, query: str, size: int, *, times_as_numbers: bool = False) -> Generator[list[tuple[Any, ...]]]:
        """Stream the rows of a query in batches.

        Not by a server-side cursor: that sends rows only on request, and PostgreSQL never parallelizes its query. In a
        stream the server sends ahead.
        """
        chunk = _ROWS_PER_CHUNK if psycopg.capabilities.has_stream_chunked() else 1
        with translating(), self._session.cursor() as cursor:
            if times_as_numbers:
                load_times_as_numbers(cursor)
            stream = cast("Generator[tuple[Any, ...]]", cursor.stream(query, binary=True, size=chunk))
            with closing(stream) as rows:
                while batch := list(itertools.islice(rows, size)):
                    yield batch
                    del batch  # before the next one is read, so that memory holds only one


def _planning(query: str) -> Composed:
    """Return the EXPLAIN of a query: planning it locks the tables that it reads, and runs nothing."""
    return SQL("explain {}").format(SQL(cast("Any", query)))
