"""Training sets as XGBoost takes them: batch by batch, with text as categories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from feature_sync.errors import RequestError
from feature_sync.extras import needed_by
from feature_sync.integrations.categories import Categories
from feature_sync.integrations.training_rows import (
    ROWS_PER_BATCH,
    TrainingRows,
    TrainingSource,
    labels_of,
    training_rows,
)

with needed_by("feature_sync.integrations.xgboost"):
    import xgboost

if TYPE_CHECKING:
    import pyarrow


def quantile_dmatrix(
    source: TrainingSource,
    *,
    label: str | None = None,
    columns: Iterable[str] | None = None,
    categories: Categories | None = None,
    ref: xgboost.QuantileDMatrix | None = None,
    max_bin: int = 256,
    rows_per_batch: int = ROWS_PER_BATCH,
) -> tuple[xgboost.QuantileDMatrix, Categories]:
    """Make a QuantileDMatrix of a training set; memory is bounded by the batch, besides the matrix itself.

    XGBoost reads the batches several times. A `TrainingSet` is therefore run once, into a temporary file.

    Args:
        source: The training set, its rows by `collect()` or a part of them, or a Parquet file of it.
        label: The column to predict; None for the only label of the training set.
        columns: The features that the model takes; None for all.
        categories: Those of the training rows, for rows to validate on; None to read them from these rows.
        ref: The matrix of the training rows, for rows to validate on.
        max_bin: The most bins of a feature, as for training.
        rows_per_batch: The most rows of a batch.

    Returns:
        The matrix, shape (rows, features), and the categories, to be kept with the model.

    Raises:
        RequestError: There is no row or no label, or a feature cannot be encoded.
    """
    with training_rows(source, rows_per_batch) as rows:
        encoder = categories or Categories.of_rows(rows, columns=columns)
        batches = _Batches(rows, encoder, rows.label(label, encoder.features))
        matrix = xgboost.QuantileDMatrix(batches, ref=ref, max_bin=max_bin, enable_categorical=True)
    return matrix, encoder


def dmatrix(rows: Any, categories: Categories) -> xgboost.DMatrix:
    """Make what a booster predicts from of served vectors, shape (entities, features).

    Args:
        rows: What `Categories.encode` takes.
        categories: Those of the training rows.
    """
    return xgboost.DMatrix(
        categories.matrix(rows),
        feature_names=[*categories.features],
        feature_types=categories.types,
        enable_categorical=True,
    )


class _Batches(xgboost.DataIter):
    """Gives XGBoost one batch after another, and starts anew when it asks for that."""

    def __init__(self, rows: TrainingRows, categories: Categories, label: str) -> None:
        self._rows = rows
        self._categories = categories
        self._label = label
        self._left: Iterator[pyarrow.RecordBatch] = iter(())
        self._is_empty = True
        super().__init__()

    def reset(self) -> None:
        """Begin with the first batch again."""
        self._left = self._rows.read([*self._categories.features, self._label])

    def next(self, input_data: Callable[..., None]) -> bool:
        """Hand over the next batch; returns False if there is none.

        Raises:
            RequestError: There is no row at all, or a value cannot be encoded.
        """
        batch = next((each for each in self._left if each.num_rows), None)
        if batch is None:
            if self._is_empty:
                raise RequestError("the training set has no row")
            return False
        self._is_empty = False
        input_data(
            data=self._categories.matrix(self._rows.frame(batch, self._categories.features)),
            label=labels_of(batch, self._label),
            feature_names=[*self._categories.features],
            feature_types=self._categories.types,
        )
        return True
