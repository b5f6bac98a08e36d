"""The forms of a training set in memory, each of which runs its query."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from feature_sync.serving.frames import check_dtypes
from feature_sync.training.training_table import TrainingTable

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


class Forms(ABC):
    """What `collect` returns, in the forms that model libraries take."""

    __slots__ = ()

    @abstractmethod
    def collect(self) -> TrainingTable:
        """Run the query and keep the rows in memory."""

    def to_arrow(self) -> pyarrow.Table:
        """Run the query and return the result as an Arrow table."""
        return self.collect().to_arrow()

    def to_pandas(self, dtypes: str = "numpy") -> pandas.DataFrame:
        """Run the query and return the result as a pandas frame; see `TrainingTable.to_pandas`."""
        check_dtypes(dtypes)
        return self.collect().to_pandas(dtypes)

    def to_polars(self, dtypes: str = "arrow") -> polars.DataFrame:
        """Run the query and return the result as a polars frame; see `TrainingTable.to_polars`."""
        return self.collect().to_polars(dtypes)

    def xy(self, dtypes: str = "numpy") -> tuple[pandas.DataFrame, Any]:
        """Run the query and return features and labels; see `TrainingTable.xy`."""
        return self.collect().xy(dtypes)

    def split_by_time(self, *cuts: str | date, gap: timedelta | str | None = None) -> tuple[TrainingTable, ...]:
        """Run the query and split the rows at moments; see `TrainingTable.split_by_time`."""
        return self.collect().split_by_time(*cuts, gap=gap)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Run the query and return an Arrow stream, which polars, pandas, DuckDB and Arrow read."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)
