"""DuckDB: a file beside the project, opened for reading only, so that any number of commands can share it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb
import msgspec

from feature_sync.definitions import Target
from feature_sync.errors import ProfileError, WarehouseError
from feature_sync.warehouses.base import Warehouse, read_settings

if TYPE_CHECKING:
    import pyarrow


_LENT = "_feature_sync_lent"


class DuckDBSettings(msgspec.Struct):
    """The fields of dbt-duckdb's profile that reading needs."""

    path: str = ":memory:"
    extensions: list[str | dict[str, str]] | None = None
    settings: dict[str, Any] | None = None
    config_options: dict[str, Any] | None = None


class DuckDBWarehouse(Warehouse):
    """A read-only connection to a DuckDB file."""

    dialect = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    @classmethod
    def connect(cls, target: Target) -> Self:
        """Open the file; as in dbt, a relative path starts at the project.

        Raises:
            ProfileError: The target keeps its tables in memory.
            WarehouseError: The file does not exist, is locked, or is no database.
        """
        settings = read_settings(target, DuckDBSettings)
        if settings.path.startswith(":memory:"):
            raise ProfileError(
                f"target {target.name}: path is {settings.path}, which is gone when dbt ends; name a file"
            )
        path = Path(target.project_dir, settings.path)
        if not path.exists():
            raise WarehouseError(f"{path} does not exist; run dbt build")
        config = {**(settings.config_options or {}), **(settings.settings or {})}
        try:
            connection = duckdb.connect(str(path), read_only=True, config=config)
            for extension in settings.extensions or []:
                connection.load_extension(extension if isinstance(extension, str) else extension["name"])
        except duckdb.Error as refused:
            raise _translated(refused, str(path)) from refused
        return cls(connection)

    def describe(self, query: str) -> Mapping[str, str]:
        """Ask DuckDB to bind the query, without running it."""
        with _translating():
            relation = self._connection.sql(query)
            return {name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}

    def rows(self, query: str, *, batch_size: int) -> Iterator[list[tuple[Any, ...]]]:
        """Stream through Arrow, whose columns become Python values faster than rows do."""
        with self.arrow(query, batch_size=batch_size) as reader:
            for batch in reader:
                yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))

    @contextmanager
    def arrow(self, query: str, *, batch_size: int) -> Iterator[pyarrow.RecordBatchReader]:
        """Stream record batches."""
        import pyarrow

        with _translating():
            reader = self._connection.sql(query).to_arrow_reader(batch_size)

        def batches() -> Iterator[pyarrow.RecordBatch]:
            with _translating():
                yield from reader

        yield pyarrow.RecordBatchReader.from_batches(reader.schema, batches())

    def keep(self, name: str, query: str) -> None:
        """Create a temporary table, which a file opened for reading allows too: it is no part of the file."""
        with _translating():
            self._connection.execute(f"create temp table {_quoted(name)} as {query}")

    def load(self, name: str, rows: pyarrow.RecordBatchReader, types: Mapping[str, str]) -> None:
        """Insert batch after batch, straight from Arrow."""
        self._insert(f"create temp table {_quoted(name)} as", rows.schema.empty_table())
        for column, data_type in types.items():
            if column in rows.schema.names:
                with _translating():
                    self._connection.execute(f"alter table {_quoted(name)} alter {_quoted(column)} type {data_type}")
        for batch in rows:
            self._insert(f"insert into {_quoted(name)}", batch)

    def _insert(self, into: str, rows: pyarrow.Table | pyarrow.RecordBatch) -> None:
        with _translating():
            self._connection.register(_LENT, rows)
            try:
                self._connection.execute(f"{into} from {_LENT}")
            finally:
                self._connection.unregister(_LENT)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Nobody writes to a file that is open for reading, so it is its own snapshot."""
        yield

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


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
    if isinstance(refused, duckdb.CatalogException):
        return WarehouseError(f"{text.partition(' LINE ')[0]}; run dbt build")
    return WarehouseError(f"{where}: {text}")
