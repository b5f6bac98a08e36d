"""Reads and writes tables as Parquet and CSV files, in a stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from feature_sync.csv_text import check_csv
from feature_sync.errors import OutputError, RequestError
from feature_sync.files import writing
from feature_sync.parquet_folders import ParquetFolder
from feature_sync.value_types import ValueType

if TYPE_CHECKING:
    import pandas
    import pyarrow

SUFFIXES = (".parquet", ".csv")
_BYTES_PER_BLOCK = 16 * 2**20
_ROWS_PER_BATCH = 100_000
_LONGEST_REASON = 300
"""In characters: Arrow quotes a value in full, and it may be the rest of a file."""

WriteBatch = Callable[["pyarrow.RecordBatch"], None]


def check_suffix(path: Path) -> None:
    """Check that a file's suffix names a supported format.

    Raises:
        RequestError: The suffix is neither `.parquet` nor `.csv`, or the file system cannot have such a name.
    """
    try:
        is_path = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:  # a lone surrogate
        is_path = False
    if not is_path:
        raise RequestError(f"{str(path)!r} is not a path")
    if path.suffix.lower() not in SUFFIXES:
        raise RequestError(f"{path} ends in neither {' nor '.join(SUFFIXES)}; its name says how it is written")


@contextmanager
def table_writer(path: Path, schema: pyarrow.Schema, *, named: Path) -> Iterator[WriteBatch]:
    """Write batches to a file as they come, in the format of the suffix of `named`.

    Each batch is one row group of a Parquet file, compressed with zstd. In a CSV file an empty field is null and `""`
    is empty text.

    Args:
        path: The file to write, a temporary one.
        schema: The Arrow schema of the batches.
        named: The path under which the file will appear, for the format and for errors.

    Raises:
        OutputError: The format cannot hold one of the types.
    """
    import pyarrow

    opened = _csv_writer if named.suffix.lower() == ".csv" else _parquet_writer
    try:
        with writing(named), opened(path, schema) as write:
            yield write
    except pyarrow.ArrowNotImplementedError as unfit:
        raise OutputError(f"{named}: {unfit}; cast the column in its model") from unfit


@contextmanager
def _parquet_writer(path: Path, schema: pyarrow.Schema) -> Iterator[WriteBatch]:
    """Write Parquet; numbers without dictionaries, which need more memory, time and space than zstd alone."""
    import pyarrow.parquet

    texts = [field.name for field in schema if pyarrow.types.is_string(field.type)]
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd", use_dictionary=texts) as writer:
        yield writer.write_batch


@contextmanager
def _csv_writer(path: Path, schema: pyarrow.Schema) -> Iterator[WriteBatch]:
    import pyarrow.csv

    types = pyarrow.types
    for field in schema:
        if types.is_nested(field.type) or types.is_binary(field.type) or types.is_duration(field.type):
            raise pyarrow.ArrowNotImplementedError(f"a CSV file cannot hold {field.name!r}, which is {field.type}")
    # Arrow writes a 32-bit float as the shortest text that reads back as the same 32-bit float, not the same double.
    wide = pyarrow.schema([(each.name, _wide(each.type)) for each in schema])
    with pyarrow.csv.CSVWriter(path, wide) as writer:
        yield lambda batch: writer.write_batch(batch.cast(wide))


def _wide(kind: pyarrow.DataType) -> pyarrow.DataType:
    import pyarrow

    return pyarrow.float64() if pyarrow.types.is_float32(kind) or pyarrow.types.is_float16(kind) else kind


def read_table(path: Path, types: Mapping[str, ValueType], *, moment: str) -> pyarrow.RecordBatchReader:
    """Read a Parquet or CSV file in a stream.

    Timestamps are converted to microseconds, as the warehouses store them. Keys and `moment` are found in any case, and
    returned in the spelling given here.

    Args:
        path: The file; its suffix names its format.
        types: Types of columns (the keys) by name, for CSV, which has no types; others are guessed from the first
            16 MiB.
        moment: Column with the moment asked; it is a timestamp even if it is empty.

    Raises:
        RequestError: The file is missing or broken, or a value does not have its column's type; also while reading.
    """
    import pyarrow

    check_suffix(path)
    is_csv, rows = path.suffix.lower() == ".csv", None
    try:
        if is_csv:
            rows = check_csv(path)
        reader = _csv_reader(path, types, moment) if is_csv else _parquet_reader(path)
    except (OSError, pyarrow.ArrowException) as broken:
        raise _unreadable(path, broken) from broken
    return _plain(reader, str(path), (moment, *types), rows=rows)


def read_folder(folder: str, types: Mapping[str, ValueType], *, moment: str) -> pyarrow.RecordBatchReader:
    """Read a folder of Parquet files, or an object, in a stream, as `read_table` reads a file.

    Args:
        folder: A path, or a URI of an object store.
        types: Types of columns (the keys) by name, for those that the names of subfolders give.
        moment: Column with the moment asked; it is a timestamp where it is the name of a subfolder, too.

    Raises:
        RequestError: There is no such folder, or its files cannot be read as one table; also while reading.
    """
    import pyarrow

    given = {moment: pyarrow.timestamp("us"), **{name: kind.arrow_type() for name, kind in types.items()}}
    rows = ParquetFolder(folder, given)
    reader = pyarrow.RecordBatchReader.from_batches(rows.schema(), rows.batches())
    return _plain(reader, rows.name, (moment, *types))


def frame_in_memory(frame: Any) -> pandas.DataFrame | pyarrow.Table:
    """Return a pandas frame or an Arrow table as it is, and read anything else that has an Arrow stream, once.

    Raises:
        RequestError: The frame is none of them.
    """
    import pyarrow

    if isinstance(frame, pyarrow.Table) or (hasattr(frame, "iloc") and hasattr(frame, "index")):
        return frame
    if not hasattr(frame, "__arrow_c_stream__"):
        kind = f"{type(frame).__module__.partition('.')[0]}.{type(frame).__qualname__}"
        collect = "; collect() it first" if hasattr(frame, "collect") else ""
        raise RequestError(f"a spine is a frame or another table with an Arrow stream, not a {kind}{collect}")
    try:
        return pyarrow.table(frame)
    except (pyarrow.ArrowException, ValueError) as broken:
        raise _unreadable("the frame", broken) from broken


def read_frame(frame: Any, spellings: Iterable[str] = ()) -> pyarrow.RecordBatchReader:
    """Read a table in memory; a pandas frame's index is left out.

    Columns named in `spellings` are found in any case, and returned in the spelling given there.

    Raises:
        RequestError: The frame is not a table, or a column holds values of several types.
    """
    import pyarrow

    frame = frame_in_memory(frame)
    try:
        table = frame if isinstance(frame, pyarrow.Table) else pyarrow.Table.from_pandas(frame, preserve_index=False)
    except (pyarrow.ArrowException, ValueError, OverflowError) as mixed:
        raise _unreadable("the frame", mixed) from mixed
    return _plain(table.to_reader(_ROWS_PER_BATCH), "the frame", spellings)


def _parquet_reader(path: Path) -> pyarrow.RecordBatchReader:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    return pyarrow.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(_ROWS_PER_BATCH))


def _csv_reader(path: Path, types: Mapping[str, ValueType], moment: str) -> pyarrow.RecordBatchReader:
    """Guess the types from the first block, then widen timestamps: seconds may be followed by microseconds."""
    import pyarrow.csv

    read = pyarrow.csv.ReadOptions(block_size=_BYTES_PER_BLOCK)
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    convert = pyarrow.csv.ConvertOptions(null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False)
    with pyarrow.csv.open_csv(path, read, parse, convert) as headed:
        spelled = dict(zip(_spelled(headed.schema.names, (moment, *types)), headed.schema.names, strict=True))
    convert.column_types = {spelled.get(name, name): kind.arrow_type() for name, kind in types.items()}
    with pyarrow.csv.open_csv(path, read, parse, convert) as guessed:
        convert.column_types = {field.name: _plain_type(field.type) for field in guessed.schema}
        asked_at = spelled.get(moment)
        # A dictionary, as `schema.field` fails where two columns have one name; `_plain` refuses those later.
        kinds = dict(zip(guessed.schema.names, guessed.schema.types, strict=True))
        if asked_at is not None and pyarrow.types.is_null(kinds[asked_at]):
            convert.column_types = {**convert.column_types, asked_at: pyarrow.timestamp("us")}
    return pyarrow.csv.open_csv(path, read, parse, convert)


def _plain_type(kind: pyarrow.DataType) -> pyarrow.DataType:
    """Return the equivalent that warehouses have: microseconds, plain text, no dictionaries."""
    import pyarrow

    types = pyarrow.types
    if types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if types.is_timestamp(kind):
        return pyarrow.timestamp("us", tz="UTC" if kind.tz else None)
    if types.is_null(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pyarrow.string()
    if types.is_date64(kind):
        return pyarrow.date32()
    return pyarrow.time64("us") if types.is_time(kind) else kind


def _spelled(names: Iterable[str], spellings: Iterable[str]) -> list[str]:
    """Rename columns to the spellings asked for: exact matches first, then matches in any case."""
    given = list(names)
    folded = {each.casefold(): each for each in spellings if each not in given}
    return [folded.get(name.casefold(), name) for name in given]


def _plain(
    reader: pyarrow.RecordBatchReader, source: str, spellings: Iterable[str], *, rows: int | None = None
) -> pyarrow.RecordBatchReader:
    """Rename and cast columns for the warehouses.

    Args:
        reader: The table.
        source: Where it comes from, for errors.
        spellings: Names of columns to find in any case.
        rows: The number of rows that must be read, if known.
    """
    import pyarrow

    names = [name.casefold() for name in reader.schema.names]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RequestError(f"{source}: two columns are called {twice[0]!r}")
    spelled = zip(_spelled(reader.schema.names, spellings), reader.schema.types, strict=True)
    schema = pyarrow.schema([(name, _plain_type(kind)) for name, kind in spelled])

    def batches() -> Iterator[pyarrow.RecordBatch]:
        read_rows = 0
        try:
            for batch in reader:
                read_rows += batch.num_rows
                yield pyarrow.RecordBatch.from_arrays(list(map(_cast, batch.columns, schema.types)), schema=schema)
        except (OSError, pyarrow.ArrowException) as broken:
            raise _unreadable(source, broken) from broken
        # Another number than `check_csv` counts means that Arrow skipped or split rows without an error.
        if rows is not None and read_rows != rows:
            raise RequestError(f"{source} has {rows} rows, but only {read_rows} can be read; save it as CSV again")

    return pyarrow.RecordBatchReader.from_batches(schema, batches())


def _cast(column: pyarrow.Array, kind: pyarrow.DataType) -> pyarrow.Array:
    return column if column.type == kind else column.cast(kind)  # Arrow fails to cast a slice of structs to themselves


def _unreadable(source: object, broken: Exception) -> RequestError:
    reason = broken.strerror if isinstance(broken, OSError) and broken.strerror else str(broken)
    reason = shorten(" ".join(reason.split()), _LONGEST_REASON, placeholder=" ...")
    return RequestError(f"{source} cannot be read: {reason}")
