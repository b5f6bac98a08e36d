"""Training sets for TensorFlow and Keras: `pip install 'feature-sync[tensorflow]'`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy

from feature_sync.extras import needed_by

with needed_by("feature_sync.integrations.tensorflow"):
    import tensorflow

    from feature_sync.integrations.matrices import Matrices, Source


def to_tensorflow(
    source: Source,
    batch_size: int = 1024,
    *,
    columns: Sequence[str] | None = None,
    label: str | None = None,
    dtype: Any = "float32",
    shuffle_buffer: int = 0,
    seed: int = 0,
) -> tensorflow.data.Dataset:
    """Make a `tf.data.Dataset` of batches: features of shape (rows, features), null as NaN, and the label (rows,).

    Each iteration over it is an epoch, and shuffles anew. `model.fit` takes it as it is.

    Args:
        source: A training set or its table, a Parquet file of `extract` or a folder of them, or a frame.
        batch_size: The number of rows in a batch; the last may have fewer.
        columns: The features, numbers or arrays of numbers; None for all of the training set.
        label: The column to predict; None for the training set's only label, if it has one. It is int64 or float64.
        dtype: The dtype of the features.
        shuffle_buffer: How many rows to mix at a time; 0 keeps the order.
        seed: Decides the order of shuffled rows, with the number of the epoch.

    Raises:
        RequestError: A column does not exist or is not numeric; while reading: an integer is not exact in the dtype.
    """
    wanted = numpy.dtype(getattr(dtype, "as_numpy_dtype", dtype))
    matrices = Matrices(
        source=source,
        batch_size=batch_size,
        columns=columns,
        label=label,
        dtype=wanted,
        shuffle_buffer=shuffle_buffer,
        seed=seed,
    )
    epochs = count()

    def batches() -> Iterator[Any]:
        for arrays in matrices.batches(epoch=next(epochs)):
            yield arrays if matrices.label is not None else arrays[0]

    features = tensorflow.TensorSpec((None, matrices.width), tensorflow.as_dtype(wanted))
    if matrices.label is None:
        return tensorflow.data.Dataset.from_generator(batches, output_signature=features)
    labels = tensorflow.TensorSpec((None,), tensorflow.as_dtype(matrices.label_dtype))
    return tensorflow.data.Dataset.from_generator(batches, output_signature=(features, labels))
