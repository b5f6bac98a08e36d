"""DuckDB: a file beside the project. Any number of commands share it for reading; one that writes has it alone."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar

import duckdb

from feature_sync.definitions import Target
from feature_sync.errors import ProfileError, UnfitValue, WarehouseConflict, WarehouseError
from feature_sync.warehouses import interruptible
from feature_sync.warehouses.base import Columns, Warehouse, never, read_settings
from feature_sync.warehouses.duckdb_profile import DuckDBSettings, extensions, names_file, statements, without_values

if TYPE_CHECKING:
    import pyarrow


Result = TypeVar("Result")
_LENT = "_feature_sync_lent"
_PINNED = {
    "arrow_large_buffer_size": "false",
    "arrow_lossless_conversion": "false",
    "arrow_output_list_view": "false",
    "arrow_output_version": "1.0",
    "calendar": "gregorian",
    "default_collation": "",
    "timezone": "UTC",
}
"""What a profile or the machine may set otherwise, and our SQL or the types of results depend on.

What only the words of a model depend on, such as `default_order` or `integer_division`, stays as the profile has it:
a view is read as dbt reads it. Our own SQL leaves nothing to these."""
_OPENING = Lock()
"""While one thread opens or closes a file, DuckDB cannot tell another whether it is open in this process."""
_SECONDS_TO_REOPEN = 60
_SECONDS_BETWEEN_TRIES = 0.1


class DuckDBWarehouse(Warehouse):
    """A connection to a DuckDB file."""

    dialect = "duckdb"

    def __init__(
        self,
        path: Path,
        settings: DuckDBSettings,
        *,
        project_dir: Path = Path(),
        writable: bool,
        patience: float = 0,
        stopped: Callable[[], bool] = never,
    ) -> None:
        self._path = path
        self._stopped = stopped
        self._settings = settings
        self._project_dir = project_dir
        self._writable = writable
        self._opened: duckdb.DuckDBPyConnection | None = self._open(patience)

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """The open file; one that was handed over is opened again when it is next needed."""
        if self._opened is None:
            self._opened = self._open(_SECONDS_TO_REOPEN)
        return self._opened

    @classmethod
    def connect(
        cls, target: Target, *, writable: bool = False, wait: bool = False, stopped: Callable[[], bool] = never
    ) -> Self:
        """Open the file; as in dbt, a relative path starts at the project.

        Raises:
            ProfileError: The target keeps its tables in memory.
            WarehouseError: The file does not exist, is locked, or is no database.
        """
        settings = read_settings(target, DuckDBSettings)
        if not names_file(settings.path) and not settings.path.startswith(":memory:"):
            raise ProfileError(f"target {target.name}: path names no file, but something else, which is not supported")
        if settings.path.startswith(":memory:"):
            raise ProfileError(
                f"target {target.name}: path is {settings.path}, which is gone when dbt ends; name a file"
            )
        path = Path(target.project_dir, settings.path)
        if not path.exists():
            raise WarehouseError(f"{path} does not exist; run dbt build")
        return cls(
            path,
            settings,
            project_dir=Path(target.project_dir),
            writable=writable,
            patience=math.inf if wait else 0,
            stopped=stopped,
        )

    def _open(self, patience: float = 0) -> duckdb.DuckDBPyConnection:
        """Open the file, within some seconds of patience for another process that has it."""
        config = self._settings.config_options or {}
        deadline = time.monotonic() + patience
        while True:
            try:
                with _OPENING:
                    connection = duckdb.connect(str(self._path), read_only=not self._writable, config=config)
                with _closing_on_failure(connection):
                    interruptible.run(partial(self._set_up, connection), interrupt=connection.interrupt)
            except duckdb.Error as refused:
                if not _is_locked(refused) or time.monotonic() >= deadline or self._stopped():
                    said = str(_translated(refused, str(self._path)))
                    raise WarehouseError(without_values(said, self._settings)) from None
                time.sleep(_SECONDS_BETWEEN_TRIES)
            else:
                return connection

    def _set_up(self, connection: duckdb.DuckDBPyConnection) -> None:
        with suppress(duckdb.InvalidInputException):  # `config_options` may have locked the configuration
            connection.execute("set enable_progress_bar = false")  # which would go to stdout, amid our own output
        pin(connection)  # before the profile, which may lock the configuration
        self._follow_profile(connection)
        if self._settings.settings or self._settings.extensions:
            pin(connection)  # once more: what these set must not change an answer

    def _follow_profile(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Do what dbt-duckdb does with a new connection; what fails is named by its key, never by its value."""
        for name, install in extensions(self._settings):
            try:
                connection.load_extension(name)
            except duckdb.Error:
                with self._naming(f"extensions: {name}"):
                    connection.execute(install)
                    connection.load_extension(name)
        for key, statement in statements(self._settings, self._project_dir):
            with self._naming(key, silent=key.startswith("secrets")):
                connection.execute(statement)

    @contextmanager
    def _naming(self, key: str, *, silent: bool = False) -> Iterator[None]:
        """Name the profile's key where DuckDB refuses what it asks for; a lock passes, so that it is waited for.

        What DuckDB says may quote a secret, so that it is left out where `silent`, and without the profile's values
        elsewhere.
        """
        try:
            yield
        except duckdb.Error as refused:
            if _is_locked(refused):
                raise
            text = "DuckDB refuses it" if silent else without_values(" ".join(str(refused).split()), self._settings)
            raise ProfileError(f"the profile's {key}: {text}") from None

    def _run(self, work: Callable[[duckdb.DuckDBPyConnection], Result]) -> Result:
        """Ask something of the open file that may take long."""
        connection = self._connection
        with _translating():
            return interruptible.run(partial(work, connection), interrupt=connection.interrupt)

    @property
    def place(self) -> str:
        """The file's path."""
        return f"duckdb {self._path.resolve()}"

    def has_schema(self, schema: str) -> bool:
        """Look it up in the catalog."""
        query = "select 1 from information_schema.schemata where catalog_name = current_database() and schema_name = ?"
        with _translating():
            return self._connection.execute(query, [schema]).fetchone() is not None

    def tables(self, schema: str) -> set[str]:
        """Look them up in the catalog."""
        query = (  # of the file itself: an attached database may hold a schema of the same name
            "select table_name from information_schema.tables"
            " where table_catalog in (current_database(), 'temp') and table_schema = ?"
        )
        with _translating():
            return {name for (name,) in self._connection.execute(query, [schema]).fetchall()}

    def describe(self, query: str) -> Mapping[str, str]:
        """Ask DuckDB to bind the query, without running it."""
        relation = self._run(lambda connection: connection.sql(query))
        return {name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Run the query."""
        return self._run(lambda connection: connection.execute(query).fetchall())

    def columns(self, query: str, *, batch_size: int) -> Iterator[Columns]:
        """Stream through Arrow, whose columns become Python values faster than rows do."""
        with self.arrow(query, batch_size=batch_size) as reader:
            for batch in reader:
                yield _columns(batch)

    @contextmanager
    def arrow(self, query: str, *, batch_size: int) -> Iterator[pyarrow.RecordBatchReader]:
        """Stream record batches."""
        import pyarrow

        reader = self._run(lambda connection: connection.sql(query).to_arrow_reader(batch_size))

        def batches() -> Iterator[pyarrow.RecordBatch]:
            while (batch := self._run(lambda _: next(reader, None))) is not None:
                yield batch

        try:
            yield pyarrow.RecordBatchReader.from_batches(reader.schema, batches())
        finally:  # a traceback may keep the reader, and an open reader blocks every later connection to the file
            reader.close()

    def keep(self, name: str, query: str) -> str:
        """Create a temporary table, which a file opened for reading allows too: it is no part of the file."""
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
            connection.register(_LENT, rows)
            try:
                connection.execute(f"{into} from {_LENT}")
            finally:
                connection.unregister(_LENT)

        self._run(inserted)

    def snapshot(self, reads: Sequence[str] = ()) -> AbstractContextManager[None]:
        """Read in one transaction: nobody else writes to a file that is open, but attached databases may change."""
        return self.transaction(reads)

    @contextmanager
    def transaction(self, reads: Sequence[str] = ()) -> Iterator[None]:  # noqa: ARG002 - tables never are younger
        """Begin and commit; whatever goes wrong rolls back."""
        with _translating():
            self._connection.begin()
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error):  # what went wrong may have ended the transaction already
                self._connection.rollback()
            raise
        with _translating():
            self._connection.commit()

    def execute(self, statement: str) -> int:
        """Run a statement; DuckDB answers an insert, update or delete with the number of rows."""
        answer = self._run(lambda connection: connection.execute(statement).fetchone())
        return int(answer[0]) if answer else 0

    def execute_if_free(self, statement: str) -> None:
        """Run a statement; what another thread of this process holds leads to a conflict."""
        with suppress(WarehouseConflict):
            self.execute(statement)

    @contextmanager
    def detached_results(self, queries: Sequence[str], *, batch_size: int) -> Iterator[Sequence[Iterator[Columns]]]:
        """Spool the results beside the file and close it meanwhile: while it is open, nobody else can write to it.

        The spools have no names, so that nothing is left of them however this process ends.
        """
        with ExitStack() as spools:
            files = [spools.enter_context(self._new_spool()) for _ in queries]
            for query, file in zip(queries, files, strict=True):
                self._spool(query, file, batch_size)
            self.close()
            yield [_columns_of(file) for file in files]

    def _new_spool(self) -> IO[bytes]:
        """Make a spool beside the file, where there is room for results; where nothing may be written, elsewhere."""
        try:
            return TemporaryFile(dir=self._path.parent)
        except OSError:
            with _translating():
                return TemporaryFile()

    def _spool(self, query: str, file: IO[bytes], batch_size: int) -> None:
        import pyarrow

        with self.arrow(query, batch_size=batch_size) as reader, pyarrow.ipc.new_stream(file, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
        file.seek(0)

    def cancel(self) -> None:
        """Interrupt the query."""
        if (opened := self._opened) is not None:
            with suppress(duckdb.Error):  # it may be closed by now
                opened.interrupt()

    def close(self) -> None:
        """Close the file."""
        if self._opened is not None:
            with _OPENING:
                self._opened.close()
            self._opened = None


def pin(connection: duckdb.DuckDBPyConnection) -> None:
    """Set what our SQL depends on, unless it is so already: a profile may have locked the configuration."""
    found = connection.execute("select name, value from duckdb_settings()").fetchall()
    for name, value in found:
        wanted = _PINNED.get(name.lower())
        if wanted is not None and value.lower() != wanted.lower():
            connection.execute(f"set {name} = '{wanted}'")


@contextmanager
def _closing_on_failure(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Close what was opened in vain: an open file would lock the next try, and dbt, out."""
    try:
        yield
    except BaseException:
        with _OPENING:
            connection.close()
        raise


def _is_locked(refused: duckdb.Error) -> bool:
    return isinstance(refused, duckdb.IOException) and "lock" in str(refused)


def _columns_of(file: IO[bytes]) -> Iterator[Columns]:
    import pyarrow

    with pyarrow.ipc.open_stream(file) as reader:
        for batch in reader:
            yield _columns(batch)


def _columns(batch: pyarrow.RecordBatch) -> Columns:
    return [column.to_pylist() for column in batch.columns]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, OSError) as refused:
        raise _translated(refused, "DuckDB") from refused


def _translated(refused: Exception, where: str) -> WarehouseError:
    text = " ".join(str(refused).split())
    if "lock" in text.lower() and (holder := re.search(r"PID (\d+)", text)):
        return WarehouseError(
            f"{where} is locked by process {holder[1]}; wait until it has ended (a dbt run, a notebook?)"
        )
    if unfit := UnfitValue.read(text):
        return unfit
    if isinstance(refused, duckdb.CatalogException):
        return WarehouseError(f"{text.partition(' LINE ')[0]}; run dbt build")
    if isinstance(refused, (duckdb.TransactionException, duckdb.ConstraintException)):
        return WarehouseConflict(f"{where}: {text}")
    return WarehouseError(f"{where}: {text}")
