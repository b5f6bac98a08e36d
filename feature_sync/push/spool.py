"""Rows on their way from one warehouse into another: kept in a temporary file, so that neither waits for the other."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from tempfile import TemporaryFile

import pyarrow


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
    """
    with TemporaryFile() as file:
        with opened() as rows:
            schema = _with_moments(rows.schema, times)
            with pyarrow.ipc.new_stream(file, schema) as writer:
                for batch in rows:
                    columns = [each.cast(kind) for each, kind in zip(batch.columns, schema.types, strict=True)]
                    writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=schema))
        file.seek(0)
        with pyarrow.ipc.open_stream(file) as kept:
            yield kept


def _with_moments(schema: pyarrow.Schema, times: set[str]) -> pyarrow.Schema:
    moment = pyarrow.timestamp("us")
    return pyarrow.schema([each.with_type(moment) if each.name in times else each for each in schema])
