"""Batches of numbers for deep learning, of training sets in files or in memory: in shards, and shuffled alike."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from feature_sync.errors import RequestError, did_you_mean
from feature_sync.integrations.training_record import record_of
from feature_sync.training import TrainingSet, TrainingTable

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

Source: TypeAlias = Any
"""A training set or its table, a Parquet file of `extract` or a folder of them, or anything with an Arrow stream.

Without a sidecar, all columns are features unless they are chosen."""

_EXACT_BITS = {"float16": 11, "float32": 24, "float64": 53}
"""Up to this power of two a float holds every whole number."""


@dataclass(frozen=True, kw_only=True)
class Matrices:
    """Rows as arrays, batch after batch.

    Batches are cut from the rows in their order; of several shards, each takes every so-many-th batch, so that together
    they hold every row once. Shuffling mixes the rows of one shard, in a buffer.

    Args:
        source: Where the rows are. A copy for another process opens a file anew, and takes other rows along.
        batch_size: The number of rows in a batch; the last may have fewer.
        columns: The features; None for all of the training set.
        label: The column to predict; None for the training set's only label, if it has one.
        dtype: The dtype of the features: a NumPy float.
        shuffle_buffer: How many rows to mix at a time; 0 keeps the order.
        seed: Decides the order of shuffled rows, with the epoch.
    """

    source: Source = field(repr=False)
    batch_size: int = 1024
    columns: Sequence[str] | None = None
    label: str | None = None
    dtype: DTypeLike = numpy.float32
    shuffle_buffer: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.shuffle_buffer < 0:
            raise RequestError("a batch has one row or more, and a shuffle buffer none or more")
        if _name_of(self.dtype) not in _EXACT_BITS:
            raise RequestError(f"dtype={self.dtype!r} is not float16, float32 or float64")
        source = self.source.collect() if isinstance(self.source, TrainingSet) else self.source
        features, labels = _names(source)
        source = source if _is_path(source) else _table(source)
        object.__setattr__(self, "source", source)
        schema = _rows_of(source).schema
        features = features or tuple(schema.names)
        label = self.label or (labels[0] if len(labels) == 1 else None)
        if self.label is None and len(labels) > 1:
            raise RequestError(f"there are several labels, {', '.join(labels)}: choose one with label=")
        columns = tuple(self.columns) if self.columns is not None else tuple(x for x in features if x != label)
        for name in (*columns, *([] if label is None else [label])):
            if name not in schema.names:
                raise RequestError(f"there is no column {name!r}{did_you_mean(name, schema.names)}")
        if label in columns:
            raise RequestError(f"{label!r} is the label, so it is no feature: a model would learn to repeat it")
        if not columns:
            raise RequestError("there is no feature: name some with columns=")
        for name in columns:
            _check_numeric(name, schema.field(name).type)
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "label", label)

    def batches(self, *, shard: int = 0, shards: int = 1, epoch: int = 0) -> Iterator[tuple[NDArray[Any], ...]]:
        """Iterate over the batches of one shard.

        Args:
            shard: Which of the shards, from 0.
            shards: How many there are.
            epoch: Shuffles anew, with the seed.

        Returns:
            The features, of shape (rows, features), null as NaN; and the label, of shape (rows,), if there is one.

        Raises:
            RequestError: An integer is not exact in the dtype, or arrays of a feature differ in length.
        """
        own = (batch for place, batch in enumerate(self._batches()) if place % shards == shard)
        if not self.shuffle_buffer:
            yield from own
            return
        random = numpy.random.default_rng([self.seed, epoch, shard])
        for window in _windows(own, self.shuffle_buffer):
            order = random.permutation(len(window[0]))
            for first in range(0, len(order), self.batch_size):
                rows = order[first : first + self.batch_size]
                yield tuple(each[rows] for each in window)

    @cached_property
    def width(self) -> int:
        """The number of columns of a batch: more than of features, if some are arrays; reads the first batch."""
        first = next(self._batches(), None)
        return len(self.columns or ()) if first is None else first[0].shape[1]

    @cached_property
    def label_dtype(self) -> str:
        """The dtype of the label: int64 for whole numbers and booleans, else float64."""
        kind = _rows_of(self.source).schema.field(self.label or "").type
        return "int64" if pyarrow.types.is_boolean(kind) or pyarrow.types.is_integer(kind) else "float64"

    def _batches(self) -> Iterator[tuple[NDArray[Any], ...]]:
        assert self.columns is not None  # noqa: S101 - set in __post_init__
        names = [*self.columns, *([] if self.label is None else [self.label])]
        widths: dict[str, int] = {}
        for batch in _cut(_rows_of(self.source, names), self.batch_size):
            blocks = [_block(name, batch.column(name), self.dtype, widths) for name in self.columns]
            features = numpy.concatenate(blocks, axis=1)
            yield (features,) if self.label is None else (features, _label(self.label, batch.column(self.label)))


def _name_of(dtype: DTypeLike) -> str:
    """Return the name of a dtype of NumPy; of what NumPy does not know, its text."""
    try:
        return numpy.dtype(dtype).name
    except TypeError:
        return str(dtype)


def _is_path(source: Source) -> bool:
    return isinstance(source, str | os.PathLike)


def _rows_of(source: Source, names: Sequence[str] | None = None) -> pyarrow.RecordBatchReader:
    """Open the rows, of some columns only where that saves reading."""
    if _is_path(source):
        files = _files(Path(source))
        try:
            schema = pyarrow.parquet.read_schema(files[0])
            chosen = schema if names is None else pyarrow.schema([schema.field(name) for name in names])
            batches = (
                batch for file in files for batch in pyarrow.parquet.ParquetFile(file).iter_batches(columns=names)
            )
            return pyarrow.RecordBatchReader.from_batches(chosen, (batch.select(chosen.names) for batch in batches))
        except (OSError, pyarrow.ArrowException) as broken:
            raise RequestError(f"{files[0]} cannot be read: {' '.join(str(broken).split())}") from broken
    return (source if names is None else source.select([*names])).to_reader()


def _table(source: Source) -> pyarrow.Table:
    if not hasattr(source, "__arrow_c_stream__"):
        raise RequestError(f"rows come from a training set, a Parquet file or a frame, not a {type(source).__name__}")
    return pyarrow.table(source)


def _files(path: Path) -> list[Path]:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise RequestError(f"the folder {path} has no Parquet file")
    return files


def _names(source: Source) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the features and the labels, as far as the source tells them apart."""
    if isinstance(source, TrainingTable):
        return source.feature_names, source.label_names
    if _is_path(source) and Path(f"{os.fspath(source)}.json").exists():
        record = record_of(source)
        return tuple(each.name for each in record.pin.features), record.label_names
    return (), ()


def _cut(reader: Iterable[pyarrow.RecordBatch], size: int) -> Iterator[pyarrow.Table]:
    """Cut rows into tables of one size, whatever the sizes in which they come."""
    kept: list[pyarrow.RecordBatch] = []
    rows = 0
    for batch in reader:
        kept.append(batch)
        rows += batch.num_rows
        if rows >= size:
            table = pyarrow.Table.from_batches(kept)
            whole = rows - rows % size
            for first in range(0, whole, size):
                yield table.slice(first, size)
            kept, rows = table.slice(whole).to_batches(), rows - whole
    if rows:
        yield pyarrow.Table.from_batches(kept)


def _windows(batches: Iterable[tuple[NDArray[Any], ...]], rows: int) -> Iterator[tuple[NDArray[Any], ...]]:
    """Join batches until they have so many rows."""
    kept: list[tuple[NDArray[Any], ...]] = []
    for batch in batches:
        kept.append(batch)
        if sum(len(each[0]) for each in kept) >= rows:
            yield tuple(map(numpy.concatenate, zip(*kept, strict=True)))
            kept = []
    if kept:
        yield tuple(map(numpy.concatenate, zip(*kept, strict=True)))


def _check_numeric(name: str, kind: pyarrow.DataType) -> None:
    types = pyarrow.types
    inner = kind.value_type if types.is_list(kind) or types.is_fixed_size_list(kind) else kind
    if not (types.is_boolean(inner) or types.is_integer(inner) or types.is_floating(inner) or types.is_decimal(inner)):
        raise RequestError(f"{name!r} is {kind}, not a number: encode it first, or choose other features with columns=")


def _block(name: str, column: pyarrow.ChunkedArray, dtype: DTypeLike, widths: dict[str, int]) -> NDArray[Any]:
    """Return a feature as an array of shape (rows, width); the width of arrays is that of the first one."""
    types, kind = pyarrow.types, column.type
    if not (types.is_list(kind) or types.is_fixed_size_list(kind)):
        return _numbers(name, column, dtype).reshape(-1, 1)
    array = column.combine_chunks()
    lengths = pyarrow.compute.list_value_length(array).drop_null().unique().to_pylist()
    width = widths.setdefault(name, lengths[0]) if lengths else widths.get(name, 0)
    if any(each != width for each in lengths) or not width:
        several = ", ".join(map(str, sorted({width, *lengths})))
        raise RequestError(f"{name!r} has arrays of several lengths ({several}): pad them in the feature's model")
    block = numpy.full((len(array), width), numpy.nan, dtype=dtype)
    block[array.is_valid().to_numpy(zero_copy_only=False)] = _numbers(name, array.flatten(), dtype).reshape(-1, width)
    return block


def _label(name: str, column: pyarrow.ChunkedArray) -> NDArray[Any]:
    """Return the label: whole numbers and booleans as int64, others as float64."""
    types, kind = pyarrow.types, column.type
    _check_numeric(name, kind)
    if column.null_count:
        raise RequestError(f"the label {name!r} is null in {column.null_count} rows of a batch; ask without such rows")
    if types.is_boolean(kind) or types.is_integer(kind):
        return numpy.array(column.cast(pyarrow.int64()))  # a copy, since Arrow's own memory is read-only
    return _numbers(name, column, numpy.float64)


def _numbers(name: str, column: Any, dtype: DTypeLike) -> NDArray[Any]:
    """Return numbers as floats, null as NaN.

    Raises:
        RequestError: An integer is not exact in the dtype.
    """
    types, kind = pyarrow.types, column.type
    if types.is_decimal(kind):  # Python's float is the nearest; Arrow's cast is off by a bit
        return numpy.array([numpy.nan if each is None else float(each) for each in column.to_pylist()], dtype=dtype)
    if types.is_integer(kind) and len(column) > column.null_count:
        highest = 2 ** _EXACT_BITS[_name_of(dtype)]
        ends = pyarrow.compute.min_max(column).as_py()
        if ends["min"] < -highest or ends["max"] > highest:
            raise RequestError(
                f"{name!r} has whole numbers beyond 2^{_EXACT_BITS[_name_of(dtype)]}, which "
                f"{_name_of(dtype)} may round; take a wider dtype, or choose other features with columns="
            )
    if types.is_boolean(kind):
        column = column.cast(pyarrow.uint8())
    return numpy.array(column.cast(pyarrow.float64(), safe=False), dtype=dtype)
