"""Training sets as LightGBM takes them: as numbers, since it aborts the process on text and dictionaries of Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from feature_sync.errors import RequestError
from feature_sync.extras import needed_by
from feature_sync.integrations.categories import Categories
from feature_sync.integrations.training_rows import TrainingSource, labels_of, training_rows

with needed_by("feature_sync.integrations.lightgbm"):
    import lightgbm
    import numpy


def dataset(
    source: TrainingSource,
    *,
    label: str | None = None,
    columns: Iterable[str] | None = None,
    categories: Categories | None = None,
    reference: lightgbm.Dataset | None = None,
    params: Mapping[str, Any] | None = None,
) -> tuple[lightgbm.Dataset, Categories]:
    """Make a Dataset of a training set; text is encoded by one list of categories for all batches.

    Memory holds the features as float64: 8 bytes x rows x features, until LightGBM has made its bins.

    Args:
        source: The training set, its rows by `collect()` or a part of them, or a Parquet file of it.
        label: The column to predict; None for the only label of the training set.
        columns: The features that the model takes; None for all.
        categories: Those of the training rows, for rows to validate on; None to read them from these rows.
        reference: The dataset of the training rows, for rows to validate on.
        params: Parameters of the dataset, such as `max_bin`.

    Returns:
        The dataset, and the categories, to be kept with the model: `model.predict(categories.encode(vectors))`.

    Raises:
        RequestError: Rows or labels are missing, or a feature cannot be encoded.
    """
    with training_rows(source) as rows:
        encoder = categories or Categories.of_rows(rows, columns=columns)
        name = rows.label(label, encoder.features)
        parts = [
            (encoder.matrix(rows.frame(each, encoder.features)), labels_of(each, name))
            for each in rows.read([*encoder.features, name])
            if each.num_rows
        ]
        if not parts:
            raise RequestError("the training set has no row")
        made = lightgbm.Dataset(
            [features for features, _ in parts],
            label=numpy.concatenate([labels for _, labels in parts]),
            reference=reference,
            feature_name=[*encoder.features],
            categorical_feature=encoder.places,
            params=dict(params or {}),
        ).construct()
    return made, encoder
