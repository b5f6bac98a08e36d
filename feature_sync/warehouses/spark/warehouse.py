"""The warehouse on Spark, through Spark Connect: it reads, and writes only temporary views of its own session."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any, NoReturn, Self

import pyarrow
import pyarrow.parquet

from feature_sync.definitions import Target
from feature_sync.errors import RequestError
from feature_sync.warehouses.base import Columns, Warehouse, never
from feature_sync.warehouses.spark.errors import translating
from feature_sync.warehouses.spark.session import Session
from feature_sync.warehouses.spark.values import arrow_schema, loaded_type, quoted, sql_type

_BYTES_SENT = 16_000_000
"""About how many bytes of a spine one request carries; a server takes 128 MB unless it is told otherwise."""
_ROWS_SPOOLED = 50_000


class SparkWarehouse(Warehouse):
    """A session of Spark Connect. What it loads are temporary views, which end with the session."""

    adapter = "spark"

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    def connect(
        cls,
        target: Target,
        *,
        writable: bool = False,
        wait: bool = False,  # noqa: ARG003 - no process has it to itself
        stopped: Callable[[], bool] = never,  # noqa: ARG003
    ) -> Self:
        """Open a session of Spark Connect.

        Raises:
            ProfileError: A field is missing or wrong.
            RequestError: It is to be written to.
            WarehouseError: The server cannot be reached.
        """
        if writable:
            _refuse_writing()
        return cls(Session.of(target))

    @property
    def address(self) -> str:
        """Host and port."""
        return f"spark {self._session.where}"

    def has_schema(self, schema: str) -> bool:
        """Look the schema up in the catalog."""
        with self._translating():
            return self._session.spark.catalog.databaseExists(schema)

    def tables(self, schema: str) -> set[str]:
        """Look the tables up in the catalog."""
        if not self.has_schema(schema):
            return set()
        with self._translating():
            return {each.name for each in self._session.spark.catalog.listTables(schema) if not each.isTemporary}

    def describe(self, query: str) -> Mapping[str, str]:
        """Let Spark analyse the query, without running it."""
        with self._translating():
            return {each.name: sql_type(each.dataType) for each in self._session.query(query).schema.fields}

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Read through Arrow: rows of the client would show an instant as a clock of this machine's zone."""
        with self.arrow(query, batch_size=_ROWS_SPOOLED) as reader:
            return [row for batch in reader for row in zip(*_values(batch), strict=True)]

    def columns(self, query: str, *, batch_size: int) -> Iterator[Columns]:
        """Stream through Arrow."""
        with self.arrow(query, batch_size=batch_size) as reader:
            for batch in reader:
                yield _values(batch)

    @contextmanager
    def arrow(self, query: str, *, batch_size: int) -> Iterator[pyarrow.RecordBatchReader]:
        """Stream record batches as the server sends them."""
        with self._translating():
            frame = self._session.query(query)
            schema = arrow_schema(frame.schema)
            parts = self._session.batches(frame)

        def batches() -> Iterator[pyarrow.RecordBatch]:
            with self._translating():
                for part in parts:
                    arrays = [each.cast(kind) for each, kind in zip(part.columns, schema.types, strict=True)]
                    whole = pyarrow.RecordBatch.from_arrays(arrays, schema=schema)
                    yield from (whole.slice(at, batch_size) for at in range(0, whole.num_rows, batch_size))

        try:
            yield pyarrow.RecordBatchReader.from_batches(schema, batches())
        finally:
            parts.close()

    def keep(self, name: str, query: str) -> str:
        """Read the rows into a file on this machine, and load them: a view of a query is evaluated at every use."""
        with TemporaryFile() as spool:
            with self.arrow(query, batch_size=_ROWS_SPOOLED) as reader:
                schema = reader.schema
                with pyarrow.parquet.ParquetWriter(spool, schema) as writer:
                    for batch in reader:
                        writer.write_batch(batch)
            spool.seek(0)
            rows = pyarrow.parquet.ParquetFile(spool).iter_batches(batch_size=_ROWS_SPOOLED)
            return self.load(name, pyarrow.RecordBatchReader.from_batches(schema, rows), {})

    def load(self, name: str, rows: pyarrow.RecordBatchReader, types: Mapping[str, str]) -> str:  # noqa: ARG002 - all types are known
        """Send the rows in parts, each a temporary view, and make a view of all: this process holds one part."""
        from pyspark.sql import types as spark_types

        name = f"{name}_{secrets.token_hex(8)}"
        schema = spark_types.StructType([spark_types.StructField(f.name, loaded_type(f)) for f in rows.schema])
        parts: list[str] = []
        for part in _parts(rows):
            parts.append(f"{name}_{len(parts)}")
            with self._translating():
                self._session.make_view(parts[-1], self._session.spark.createDataFrame(part, schema))
        with self._translating():
            whole = " union all ".join(f"select * from {quoted(part)}" for part in parts)  # noqa: S608 - our own names
            self._session.make_view(name, self._session.query(whole))
        return quoted(name)

    @contextmanager
    def snapshot(self, reads: Sequence[str] = ()) -> Iterator[None]:  # noqa: ARG002 - a query locks nothing
        """Let every query see its own snapshot: Spark has none that queries share."""
        yield

    @contextmanager
    def transaction(self, reads: Sequence[str] = ()) -> Iterator[None]:  # noqa: ARG002
        """Refuse: nothing is written."""
        _refuse_writing()
        yield

    def execute(self, statement: str) -> int:  # noqa: ARG002
        """Refuse: nothing is written."""
        _refuse_writing()

    def execute_if_free(self, statement: str) -> None:  # noqa: ARG002
        """Refuse: nothing is written."""
        _refuse_writing()

    @contextmanager
    def detached_results(self, queries: Sequence[str], *, batch_size: int) -> Iterator[Sequence[Iterator[Columns]]]:
        """Stream from the server, which never keeps others waiting."""
        yield [self.columns(query, batch_size=batch_size) for query in queries]

    def cancel(self) -> None:
        """Ask the server to interrupt what the session runs."""
        self._session.cancel()

    def close(self) -> None:
        """Release the session."""
        self._session.close()

    def _translating(self) -> Any:
        return translating(self._session.where)


def _refuse_writing() -> NoReturn:
    raise RequestError(
        "nothing can be pushed from Spark: a push keeps its state in tables that are changed in transactions, which "
        "Spark has not; name another place for them in the target: state: {type: duckdb, path: state.duckdb} "
        "(docs/pushing.md)"
    )


def _values(batch: pyarrow.RecordBatch) -> list[list[Any]]:
    return [column.to_pylist() for column in batch.columns]


def _parts(rows: pyarrow.RecordBatchReader) -> Iterator[pyarrow.Table]:
    """Yield tables of about `_BYTES_SENT`; one, if there is no row."""
    held: list[pyarrow.RecordBatch] = []
    sent = False
    for batch in rows:
        step = max(1, batch.num_rows * _BYTES_SENT // max(1, batch.nbytes))
        for at in range(0, batch.num_rows, step):
            held.append(batch.slice(at, step))
            if sum(each.nbytes for each in held) >= _BYTES_SENT:
                yield pyarrow.Table.from_batches(held, rows.schema)
                held, sent = [], True
    if held or not sent:
        yield pyarrow.Table.from_batches(held, rows.schema)
