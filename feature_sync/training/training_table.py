"""The rows of a training set in memory: in the forms that model libraries take, and split by time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from feature_sync.errors import RequestError
from feature_sync.extras import needed_by
from feature_sync.service_schema import Pin, ServiceSchema
from feature_sync.serving.frames import check_dtypes
from feature_sync.training.content_hash import ContentHash
from feature_sync.training.frames import training_frame
from feature_sync.training.splits import parts_by_time

if TYPE_CHECKING:
    import numpy
    import pandas
    import polars
    import pyarrow

_SHOWN_ROWS = 5
_SHOWN_COLUMNS = 20


@dataclass(frozen=True, kw_only=True)
class TrainingTable:
    """The answered rows of a training set, or a part of them: the spine's columns, then the features.

    polars, pandas, DuckDB, pyarrow and narwhals take it as it is, by Arrow's stream protocol.

    Args:
        table: The rows, in their order.
        schema: The schema of the features.
        moment_name: The column with the moment asked.
        key_names: The columns with the keys.
        label_names: The columns that a model learns to predict.
        pin: The pin of the service, to keep with a model.
        index: The row labels of the frame that was the spine; None for 0, 1, 2...
        sql: The query that ran; empty if it is unknown.
    """

    table: pyarrow.Table = field(repr=False)
    schema: ServiceSchema = field(repr=False)
    moment_name: str
    key_names: tuple[str, ...]
    label_names: tuple[str, ...]
    pin: Pin
    index: Any = field(default=None, repr=False)
    sql: str = field(default="", repr=False)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        return f"TrainingTable({len(self):,} rows x {len(self.feature_names)} features of {self.pin.service})"

    def _repr_html_(self) -> str:
        head = replace(self, table=self.table.slice(0, _SHOWN_ROWS), index=None)
        return f"<p>{escape(repr(self))}</p>{head.to_pandas('arrow').to_html(index=False, max_cols=_SHOWN_COLUMNS)}"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features, in the order of the service."""
        return self.schema.names

    @cached_property
    def content_hash(self) -> str:
        """The hash of the rows in any order, that of the sidecar of a file with the same rows."""
        hashed = ContentHash()
        for batch in self.table.to_batches():
            hashed.add(batch)
        return hashed.hexdigest()

    def to_arrow(self) -> pyarrow.Table:
        """Return the rows as an Arrow table."""
        return self.table

    def to_pandas(self, dtypes: str = "numpy") -> pandas.DataFrame:
        """Return the rows as a pandas frame; features have the dtypes of served ones.

        Args:
            dtypes: As for `FeatureVectors.to_pandas`: numpy, nullable or arrow.

        Raises:
            MissingLibrary: pandas is not installed.
            RequestError: An integer is not exact in float64, or `dtypes` is none of the three.
        """
        check_dtypes(dtypes)
        with needed_by("to_pandas()"):
            frame = training_frame(self.table, self.schema, dtypes)
        return frame if self.index is None else frame.set_axis(self.index)

    def to_polars(self, dtypes: str = "arrow") -> polars.DataFrame:
        """Return the rows as a polars frame.

        Args:
            dtypes: `"arrow"`: exact types, with nulls. Decimals of more than 38 digits, which polars lacks, such as
                PostgreSQL's `numeric` without a precision, become Float64. `"numpy"`: as `to_pandas` has them,
                numbers and booleans of features as Float64 with NaN for null.

        Raises:
            MissingLibrary: polars, or for `"numpy"` pandas, is not installed.
            RequestError: An integer is not exact in float64, or `dtypes` is neither.
        """
        if dtypes not in ("arrow", "numpy"):
            raise RequestError(f'dtypes={dtypes!r} is neither "arrow" nor "numpy"')
        with needed_by("to_polars()"):
            import polars

            if dtypes == "numpy":
                return polars.from_pandas(self.to_pandas(dtypes), nan_to_null=False)
            return polars.DataFrame(_without_long_decimals(self.table))

    def to_numpy(self) -> numpy.ndarray[Any, Any]:
        """Return the features as an array of shape (rows, features), as `FeatureVectors.to_numpy` does.

        Raises:
            MissingLibrary: NumPy or pandas is not installed.
            RequestError: An integer is not exact in float64.
        """
        return self.features().to_numpy()

    def features(self, dtypes: str = "numpy") -> pandas.DataFrame:
        """Return the features alone, as a model takes them: the columns that `FeatureVectors.to_pandas` serves.

        Args:
            dtypes: As for `to_pandas`.
        """
        return self._only(self.feature_names).to_pandas(dtypes)

    def xy(self, dtypes: str = "numpy") -> tuple[pandas.DataFrame, Any]:
        """Return what a model learns from, without keys, moments and other columns of the spine.

        Args:
            dtypes: As for `to_pandas`.

        Returns:
            The features, and the label: a pandas series, or of several labels a frame.

        Raises:
            RequestError: The training set has no label.
        """
        if not self.label_names:
            others = [name for name in self.table.column_names if name not in self._given]
            raise RequestError(
                f"which column is the label? Ask with labels={others[:1] or ['...']!r}, or set label: true in "
                "config.meta of the column of the spine's model"
            )
        labels = self._only(self.label_names).to_pandas(dtypes)
        return self.features(dtypes), labels[self.label_names[0]] if len(self.label_names) == 1 else labels

    def split_by_time(self, *cuts: str | date, gap: timedelta | str | None = None) -> tuple[TrainingTable, ...]:
        """Split the rows at moments, which ascend: the first part is before the first cut, the last from the last on.

        Args:
            cuts: The moments; one without a zone is in UTC.
            gap: How much time to leave out at the end of each part but the last, such as `7d`: as long as it takes
                until a label is known. A model that is trained on labels of the gap has seen the next part.

        Raises:
            RequestError: The cuts do not ascend, a part has no row, or a row has no moment.
        """
        parts = parts_by_time(self.table.column(self.moment_name), cuts, gap)
        return tuple(self.take(rows) for rows in parts)

    def take(self, rows: pyarrow.Array) -> TrainingTable:
        """Return some of the rows, by their places."""
        index = None if self.index is None else self.index.take(rows.to_numpy())
        return replace(self, table=self.table.take(rows), index=index)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return an Arrow stream, which polars, pandas, DuckDB and Arrow read."""
        return self.table.__arrow_c_stream__(requested_schema)

    def batches(self, rows: int = 65_536) -> Iterator[pyarrow.RecordBatch]:
        """Iterate over record batches of at most so many rows."""
        yield from self.table.to_batches(max_chunksize=rows)

    @property
    def _given(self) -> set[str]:
        return {self.moment_name, *self.key_names, *self.feature_names}

    def _only(self, names: Sequence[str]) -> TrainingTable:
        return replace(self, table=self.table.select([*names]))


def _without_long_decimals(table: pyarrow.Table) -> pyarrow.Table:
    """Return decimals of more than 38 digits as floats: Python's nearest, for Arrow's cast is off by a bit."""
    import pyarrow

    for place, each in enumerate(table.schema):
        if pyarrow.types.is_decimal256(each.type):
            numbers = (None if value is None else float(value) for value in table.column(place).to_pylist())
            table = table.set_column(place, each.name, pyarrow.array(numbers, pyarrow.float64()))
    return table
