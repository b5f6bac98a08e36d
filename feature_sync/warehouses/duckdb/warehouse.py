"""The warehouse on DuckDB: runs queries and streams their results through Arrow, which DuckDB supports itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Self

import duckdb

from feature_sync.definitions import Target
from feature_sync.errors import WarehouseConflict
from feature_sync.warehouses.base import Columns, Warehouse, never
from feature_sync.warehouses.duckdb.errors import translating
from feature_sync.warehouses.duckdb.session import Session

if TYPE_CHECKING:
    import pyarrow

_BATCH_VIEW = "_feature_sync_lent"


class DuckDBWarehouse(Warehouse):
    """A connection to a DuckDB file; `close` lets other processes have it, the next query opens it again."""

    adapter = "duckdb"

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    def connect(
        cls, target: Target, *, writable: bool = False, wait: bool = False, stopped: Callable[[], bool] = never
    ) -> Self:
        """Open the file; as in dbt, a relative path starts at the project.

        Raises:
            ProfileError: The target keeps its tables in memory, or a field is wrong.
            WarehouseError: The file does not exist, is locked, or is not a database.
        """
        return cls(Session.of(target, writable=writable, wait=wait, stopped=stopped))

    @classmethod
    def create(cls, target: Target) -> None:
        """Make an empty file unless there is one.

        Raises:
            ProfileError: The target keeps its tables in memory, or a field is wrong.
            WarehouseError: The folder does not exist, or cannot be written to.
        """
        Session.create(target)

    @property
    def address(self) -> str:
        """The absolute path of the file."""
        return f"duckdb {self._session.path.resolve()}"

    def has_schema(self, schema: str) -> bool:
        """Look the schema up in the catalog."""
        query = "select 1 from information_schema.schemata where catalog_name = current_database() and schema_name = ?"
        with translating():
            return self._session.connection.execute(query, [schema]).fetchone() is not None

    def tables(self, schema: str) -> set[str]:
        """Look the tables up in the catalog."""
        query = (  # of the file itself: an attached database may hold a schema of the same name
            "select table_name from information_schema.tables"
            " where table_catalog in (current_database(), 'temp') and table_schema = ?"
        )
        with translating():
            return {name for (name,) in self._session.connection.execute(query, [schema]).fetchall()}

    def describe(self, query: str) -> Mapping[str, str]:
        """Let DuckDB bind the query, without running it."""
        relation = self._session.run(lambda connection: connection.sql(query))
        return {name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Run the query."""
        return self._session.run(lambda connection: connection.execute(query).fetchall())

    def columns(self, query: str, *, batch_size: int) -> Iterator[Columns]:
        """Stream through Arrow, whose columns convert to Python values faster than rows do."""
        with self.arrow(query, batch_size=batch_size) as reader:
            for batch in reader:
                yield _columns(batch)

    @contextmanager
    def arrow(self, query: str, *, batch_size: int) -> Iterator[pyarrow.RecordBatchReader]:
        """Stream record batches."""
        import pyarrow

        reader = self._session.run(lambda connection: connection.sql(query).to_arrow_reader(batch_size))

        def batches() -> Iterator[pyarrow.RecordBatch]:
            while (batch := self._session.run(lambda _: next(reader, None))) is not None:
                yield batch

        try:
            yield pyarrow.RecordBatchReader.from_batches(reader.schema, batches())
        finally:  # a traceback may keep the reader alive, and an open reader blocks every later connection to the file
            reader.close()

    def keep(self, name: str, query: str) -> str:
        """Create a temporary table, which works with a read-only file, too: it is not a part of the file."""
        self.execute(f"create temp table {_quoted(name)} as {query}")
        return _quoted(name)

    def load(self, name: str, rows: pyarrow.RecordBatchReader, types: Mapping[str, str]) -> str:
        """Insert batch after batch, straight from Arrow."""
        self._insert(f"create temp table {_quoted(name)} as", rows.schema.empty_table())
        for column, data_type in types.items():
            if column in rows.schema.names:
                self.execute(f"alter table {_quoted(name)} alter {_quoted(column)} type {data_type}")
        for batch in rows:
            self._insert(f"insert into {_quoted(name)}", batch)
        return _quoted(name)

    def _insert(self, into: str, rows: pyarrow.Table | pyarrow.RecordBatch) -> None:
        def inserted(connection: duckdb.DuckDBPyConnection) -> None:
            connection.register(_BATCH_VIEW, rows)
            try:
                connection.execute(f"{into} from {_BATCH_VIEW}")
            finally:
                connection.unregister(_BATCH_VIEW)

        self._session.run(inserted)

    def snapshot(self, reads: Sequence[str] = ()) -> AbstractContextManager[None]:
        """Read in one transaction: no other process writes to an open file, but attached databases may change."""
        return self.transaction(reads)

    @contextmanager
    def transaction(self, reads: Sequence[str] = ()) -> Iterator[None]:  # noqa: ARG002 - no table is newer than the snapshot
        """Begin and commit; any exception rolls back."""
        with translating():
            self._session.connection.begin()
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error):  # the error may have ended the transaction already
                self._session.connection.rollback()
            raise
        with translating():
            self._session.connection.commit()

    def execute(self, statement: str) -> int:
        """Run a statement; DuckDB returns the number of rows of an insert, update or delete."""
        answer = self._session.run(lambda connection: connection.execute(statement).fetchone())
        return int(answer[0]) if answer else 0

    def execute_if_free(self, statement: str) -> None:
        """Run a statement; a table that another thread of this process uses leads to a conflict."""
        with suppress(WarehouseConflict):
            self.execute(statement)

    @contextmanager
    def detached_results(self, queries: Sequence[str], *, batch_size: int) -> Iterator[Sequence[Iterator[Columns]]]:
        """Spool the results to disk and close the file: while it is open, no other process can write to it.

        The spools are unnamed files, so that nothing is left of them however this process ends.
        """
        with ExitStack() as spools:
            files = [spools.enter_context(self._new_spool()) for _ in queries]
            for query, file in zip(queries, files, strict=True):
                self._spool(query, file, batch_size)
            self.close()
            yield [_columns_of(file) for file in files]

    def _new_spool(self) -> IO[bytes]:
        """Create a spool beside the file, whose disk has room for results; in TMPDIR if that folder is not writable."""
        try:
            return TemporaryFile(dir=self._session.path.parent)
        except OSError:
            with translating():
                return TemporaryFile()

    def _spool(self, query: str, file: IO[bytes], batch_size: int) -> None:
        import pyarrow

        with self.arrow(query, batch_size=batch_size) as reader, pyarrow.ipc.new_stream(file, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
        file.seek(0)

    def cancel(self) -> None:
        """Interrupt the query."""
        self._session.interrupt()

    def rest(self) -> None:
        """Close the file."""
        self._session.close()

    def close(self) -> None:
        """Close the file; the next query opens it again."""
        self._session.close()


def _columns_of(file: IO[bytes]) -> Iterator[Columns]:
    import pyarrow

    with pyarrow.ipc.open_stream(file) as reader:
        for batch in reader:
            yield _columns(batch)


def _columns(batch: pyarrow.RecordBatch) -> Columns:
    return [column.to_pylist() for column in batch.columns]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
