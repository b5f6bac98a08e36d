"""The warehouse on BigQuery: runs jobs, without transactions; each statement takes effect by itself."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Self

from google.api_core.exceptions import NotFound

from feature_sync.definitions import Target
from feature_sync.errors import WarehouseConflict, WarehouseError
from feature_sync.warehouses.base import Columns, Warehouse, never
from feature_sync.warehouses.bigquery.errors import translating
from feature_sync.warehouses.bigquery.session import Session
from feature_sync.warehouses.bigquery.values import arrow_type, cast_column, column_type, quoted, quoted_path, sql_type

if TYPE_CHECKING:
    import pyarrow

_HOURS_OF_TEMPORARY_TABLES = 24
_EXPIRING = (
    f"options (expiration_timestamp = timestamp_add(current_timestamp(), interval {_HOURS_OF_TEMPORARY_TABLES} hour))"
)


class BigQueryWarehouse(Warehouse):
    """A client of one project. Temporary tables are in the target's dataset, and expire if they are not dropped."""

    adapter = "bigquery"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._temporary: list[str] = []

    @classmethod
    def connect(
        cls,
        target: Target,
        *,
        writable: bool = False,  # noqa: ARG003 - one client does both
        wait: bool = False,  # noqa: ARG003 - no process has it to itself
        stopped: Callable[[], bool] = never,  # noqa: ARG003
    ) -> Self:
        """Find credentials with dbt's own fields; no request is sent to BigQuery.

        Raises:
            ProfileError: A field is missing or wrong.
            WarehouseError: No credentials were found.
        """
        return cls(Session.of(target))

    @property
    def address(self) -> str:
        """The project, whose name is unique in Google's cloud; with the endpoint of another service than Google's."""
        return " ".join(["bigquery", self._session.dataset.project, *filter(None, [self._session.endpoint])])

    @property
    def database(self) -> str:
        """The project of the tables, which need not be the one that pays."""
        return str(self._session.dataset.project)

    def label(self, **labels: str | None) -> None:
        """Add to the labels of all jobs."""
        self._session.label(**labels)

    def bytes_to_scan(self, query: str) -> int | None:
        """Let BigQuery plan the query (a dry run)."""
        job = self._session.plan(query)
        return None if job is None else int(job.total_bytes_processed)

    def has_schema(self, schema: str) -> bool:
        """Request the dataset, which costs nothing."""
        with translating(), suppress(NotFound):
            self._session.client.get_dataset(f"{self.database}.{schema}", retry=self._session.retry)
            return True
        return False

    def tables(self, schema: str) -> set[str]:
        """List the tables, which costs nothing, whereas a query of the catalog is billed."""
        with translating(), suppress(NotFound):
            return {
                each.table_id
                for each in self._session.client.list_tables(f"{self.database}.{schema}", retry=self._session.retry)
            }
        return set()

    def describe(self, query: str) -> Mapping[str, str]:
        """Let BigQuery plan the query; a service that cannot plan selects none of its rows."""
        job = self._session.plan(query)
        fields = job.schema if job is not None else None
        if fields is None:
            fields = self._session.run(f"select * from (\n{query}) where false").schema  # noqa: S608 - the query is `render`'s
        return {field.name: sql_type(field) for field in fields}

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Read the pages of a job."""
        with translating():
            return [tuple(row.values()) for row in self._session.run(query)]

    def columns(self, query: str, *, batch_size: int) -> Iterator[Columns]:
        """Stream through Arrow, whose columns convert to Python values faster than rows do."""
        with self.arrow(query, batch_size=batch_size) as reader:
            for batch in reader:
                yield [column.to_pylist() for column in batch.columns]

    @contextmanager
    def arrow(self, query: str, *, batch_size: int) -> Iterator[pyarrow.RecordBatchReader]:
        """Stream record batches: from several streams of the Storage Read API, or page by page."""
        import pyarrow

        result = self._session.run(query, page_size=batch_size)
        schema = pyarrow.schema([(field.name, arrow_type(field)) for field in result.schema])

        def batches() -> Iterator[pyarrow.RecordBatch]:
            with translating():
                for batch in result.to_arrow_iterable(bqstorage_client=self._session.storage_client()):
                    arrays = [cast_column(*each) for each in zip(batch.columns, schema.types, strict=True)]
                    whole = pyarrow.RecordBatch.from_arrays(arrays, schema=schema)
                    yield from (whole.slice(at, batch_size) for at in range(0, whole.num_rows, batch_size))

        yield pyarrow.RecordBatchReader.from_batches(schema, batches())

    def keep(self, name: str, query: str) -> str:
        """Create a table that expires: a query cannot name a temporary table that another job created."""
        table = self._temporary_table(name)
        self._session.run(f"create table {table} {_EXPIRING} as\n{query}")
        return table

    def load(self, name: str, rows: pyarrow.RecordBatchReader, types: Mapping[str, str]) -> str:
        """Spool the rows to disk as Parquet, which holds every type exactly, and load them in one job."""
        import pyarrow.parquet

        declared = [(field.name, types.get(field.name) or column_type(field)) for field in rows.schema]
        table = self._temporary_table(name)
        columns = ", ".join(f"{quoted(column)} {kind}" for column, kind in declared)
        with TemporaryFile() as spool:
            with pyarrow.parquet.ParquetWriter(spool, rows.schema) as writer:
                for batch in rows:
                    writer.write_batch(batch)
            self._session.run(f"create table {table} ({columns}) {_EXPIRING}")
            self._session.load(spool, table.replace("`", ""), declared)
        return table

    @contextmanager
    def snapshot(self, reads: Sequence[str] = ()) -> Iterator[None]:  # noqa: ARG002 - a query locks nothing
        """Let every query see its own snapshot: several queries cannot share one without a session of BigQuery's."""
        yield

    @contextmanager
    def transaction(self, reads: Sequence[str] = ()) -> Iterator[None]:  # noqa: ARG002 - a query locks nothing
        """Drop the tables that were created inside if an error leaves it; each statement takes effect by itself."""
        made = self._session.made = list[str]()
        try:
            yield
        except BaseException:
            with suppress(WarehouseError):
                for table in made:
                    self._session.run(f"drop table if exists {table}")
            raise
        finally:
            self._session.made = None

    def execute(self, statement: str) -> int:
        """Run a statement; BigQuery reports the rows that an insert, update or delete changed."""
        result = self._session.run(statement)
        return result.num_dml_affected_rows or 0

    def execute_if_free(self, statement: str) -> None:
        """Run a statement; a concurrent change of the table counts as held."""
        with suppress(WarehouseConflict):
            self.execute(statement)

    @contextmanager
    def detached_results(self, queries: Sequence[str], *, batch_size: int) -> Iterator[Sequence[Iterator[Columns]]]:
        """Stream from the service, which never keeps others waiting."""
        yield [self.columns(query, batch_size=batch_size) for query in queries]

    def cancel(self) -> None:
        """Ask the service to cancel the job that runs."""
        self._session.cancel()

    def close(self) -> None:
        """Drop the temporary tables, and close the connections."""
        with suppress(WarehouseError):
            for table in self._temporary:
                self._session.run(f"drop table if exists {table}")
        self._temporary.clear()
        self._session.close()

    def _temporary_table(self, name: str) -> str:
        table = quoted_path(self._session.dataset.table(f"{name}_{secrets.token_hex(8)}"))
        self._temporary.append(table)
        return table
