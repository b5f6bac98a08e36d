"""Rows on their way from one warehouse into another: kept in a temporary file, so that neither waits for the other."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO

import pyarrow

from feature_sync.errors import WarehouseError
from feature_sync.spill import writing_temporary_files


@contextmanager
def spooled(
    opened: Callable[[], AbstractContextManager[pyarrow.RecordBatchReader]], *, times: set[str]
) -> Iterator[pyarrow.RecordBatchReader]:
    """Read all rows into a temporary file, and read them from there.

    The place of the state is then not held up while a slow engine works, nor the engine while rows are loaded.

    Args:
        opened: Starts the query.
        times: Columns of microseconds since 1970, which become moments: with these the place of the state compares
            them.

    Raises:
        OutputError: The temporary file cannot be written.
        WarehouseError: The query failed, or a value is no microsecond.
    """
    with closing(_written(opened, times)) as file, pyarrow.ipc.open_stream(file) as kept:
        yield kept


def _written(opened: Callable[[], AbstractContextManager[pyarrow.RecordBatchReader]], times: set[str]) -> IO[bytes]:
    with opened() as rows, _translating():
        file = TemporaryFile()  # noqa: SIM115 - it stays open
        try:
            schema = _with_moments(rows.schema, times)
            with pyarrow.ipc.new_stream(file, schema) as writer:
                for batch in rows:
                    columns = [each.cast(kind) for each, kind in zip(batch.columns, schema.types, strict=True)]
                    writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=schema))
            file.seek(0)
        except BaseException:
            with suppress(OSError):  # what could not be written is tried once more
                file.close()
            raise
        return file


@contextmanager
def _translating() -> Iterator[None]:
    try:
        with writing_temporary_files():
            yield
    except pyarrow.ArrowException as unfit:
        raise WarehouseError(f"a value cannot be copied: {unfit}") from unfit


def _with_moments(schema: pyarrow.Schema, times: set[str]) -> pyarrow.Schema:
    moment = pyarrow.timestamp("us")
    return pyarrow.schema([each.with_type(moment) if each.name in times else each for each in schema])
