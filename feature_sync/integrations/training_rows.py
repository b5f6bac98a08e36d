"""The rows of a training set that are read more than once, batch by batch, whatever holds them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from feature_sync.errors import RequestError
from feature_sync.extras import needed_by
from feature_sync.integrations.training_record import record_of
from feature_sync.service_schema import Pin
from feature_sync.serving.frames import frame_of_table
from feature_sync.value_types import parse

if TYPE_CHECKING:
    import numpy
    import pandas
    import pyarrow

    from feature_sync.training import TrainingSet, TrainingTable

TrainingSource: TypeAlias = Union["TrainingSet", "TrainingTable", str, "os.PathLike[str]"]
"""A training set, which is run; its rows in memory; or a Parquet file of one, with its sidecar beside it."""

ROWS_PER_BATCH = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRows:
    """Rows that can be read again and again.

    Args:
        pin: The pin of the service.
        label_names: The columns that a model learns to predict; empty if they are unknown.
        read: Returns the record batches with some of the columns, from the first one on.
    """

    pin: Pin
    label_names: tuple[str, ...] = ()
    read: Callable[[Sequence[str]], Iterator[pyarrow.RecordBatch]] = field(repr=False)

    def label(self, name: str | None, features: Sequence[str] = ()) -> str:
        """Return the label: the one named, else the only one of the training set.

        Args:
            name: The label; None for that of the training set.
            features: What a model learns from.

        Raises:
            RequestError: None is named, and the training set has none or several; or it is one of the features.
        """
        if name is None and len(self.label_names) != 1:
            has = f"has the labels {', '.join(self.label_names)}" if self.label_names else "names no label"
            raise RequestError(f"the training set {has}: name one with label=")
        label = self.label_names[0] if name is None else name
        if label in features:
            raise RequestError(f"{label} is the label and a feature; name the features with columns=")
        return label

    def frame(self, batch: pyarrow.RecordBatch, names: Sequence[str]) -> pandas.DataFrame:
        """Return features of a batch as `FeatureVectors.to_pandas` serves them.

        Raises:
            MissingLibrary: pandas is not installed.
            RequestError: An integer is not exact in float64.
        """
        import pyarrow

        kinds = {each.name: parse(each.type) for each in self.pin.features}
        with needed_by("a training set in batches"):
            return frame_of_table(pyarrow.Table.from_batches([batch]).select([*names]), kinds, "numpy")


def labels_of(batch: pyarrow.RecordBatch, name: str) -> numpy.ndarray[Any, Any]:
    """Return the label of each row as float64, shape (rows,).

    Raises:
        RequestError: The batch has no such column, or it holds nulls or no numbers.
    """
    import pyarrow

    if name not in batch.schema.names:
        raise RequestError(f"the training set has no column {name!r} to be the label")
    column, types = batch.column(name), pyarrow.types
    if column.null_count:
        raise RequestError(f"the label {name!r} is null in some rows; leave them out of the spine")
    if not (types.is_boolean(column.type) or types.is_integer(column.type) or types.is_floating(column.type)):
        raise RequestError(f"the label {name!r} is {column.type}; a number or a boolean is needed: encode it")
    numbers = column.cast(pyarrow.int8()) if types.is_boolean(column.type) else column
    labels: numpy.ndarray[Any, Any] = numbers.to_numpy().astype("float64")
    return labels


@contextmanager
def training_rows(source: TrainingSource, rows_per_batch: int = ROWS_PER_BATCH) -> Iterator[TrainingRows]:
    """Yield the rows of a training set; one that must be run is run once, into a temporary Parquet file.

    Args:
        source: The training set.
        rows_per_batch: The most rows of a batch.

    Raises:
        FeatureSyncError: The query failed, or the file or its sidecar cannot be read.
    """
    from feature_sync.training import TrainingSet, TrainingTable

    if isinstance(source, TrainingTable):
        batches = partial(_batches_of_table, source.to_arrow(), rows_per_batch)
        yield TrainingRows(pin=source.pin, label_names=source.label_names, read=batches)
    elif isinstance(source, TrainingSet):
        with TemporaryDirectory(prefix="feature_sync_") as folder:
            done = source.write(Path(folder, "rows.parquet"))
            batches = partial(_batches_of_file, Path(done.path), rows_per_batch)
            yield TrainingRows(pin=done.pin, label_names=source.spine.label_names, read=batches)
    elif isinstance(source, str | os.PathLike):
        record, batches = record_of(source), partial(_batches_of_file, Path(source), rows_per_batch)
        yield TrainingRows(pin=record.pin, label_names=record.label_names, read=batches)
    else:
        kind = f"{type(source).__module__.partition('.')[0]}.{type(source).__qualname__}"
        raise RequestError(
            f"a training set, its rows by collect() or a Parquet file of one is needed, and not a {kind}"
        )


def _batches_of_table(table: pyarrow.Table, rows: int, names: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
    yield from table.select([name for name in names if name in table.column_names]).to_batches(max_chunksize=rows)


def _batches_of_file(path: Path, rows: int, names: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield from file.iter_batches(rows, columns=[*names])
    except (OSError, pyarrow.ArrowInvalid) as broken:
        raise RequestError(f"{path} cannot be read as Parquet: {broken}") from broken
