"""Training sets for PyTorch: `pip install 'feature-sync[torch]'`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from feature_sync.extras import needed_by

with needed_by("feature_sync.integrations.torch"):
    import torch
    from torch.utils.data import IterableDataset, get_worker_info

    from feature_sync.integrations.matrices import Matrices, Source

_NUMPY = {torch.float16: "float16", torch.float32: "float32", torch.float64: "float64"}


class FeatureDataset(IterableDataset[Any]):  # type: ignore[misc]  # torch is not installed where types are checked
    """Batches of tensors: the features of shape (rows, features), null as NaN, and the label of shape (rows,).

    Give it to a `DataLoader` with `batch_size=None`. Its worker processes, and the ranks of `torch.distributed`, share
    the batches among themselves: each row comes once an epoch. Ranks may differ by one batch: with
    DistributedDataParallel, train inside its `join()`.

    >>> loader = DataLoader(to_torch("training_set.parquet"), batch_size=None, num_workers=2)    # doctest: +SKIP
    """

    def __init__(self, matrices: Matrices) -> None:
        super().__init__()
        self.matrices = matrices
        # Shared with worker processes, which may outlive an epoch.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._rank: tuple[int, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Take the rank along, of which a worker process that is spawned knows nothing."""
        return {**self.__dict__, "_rank": _rank() or self._rank}

    def __repr__(self) -> str:
        return f"FeatureDataset({len(self.feature_names)} features, label {self.label!r})"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features; an array among them takes several columns."""
        return tuple(self.matrices.columns or ())

    @property
    def label(self) -> str | None:
        """The name of the label; without one, batches are the features alone."""
        return self.matrices.label

    def set_epoch(self, epoch: int) -> None:
        """Shuffle in another order from the next iteration on, in all worker processes."""
        self._epoch[0] = epoch

    def __iter__(self) -> Iterator[Any]:
        worker, (rank, ranks) = get_worker_info(), _rank() or self._rank or (0, 1)
        workers = worker.num_workers if worker else 1
        shard = rank * workers + (worker.id if worker else 0)
        for arrays in self.matrices.batches(shard=shard, shards=ranks * workers, epoch=int(self._epoch[0])):
            tensors = tuple(torch.from_numpy(each) for each in arrays)
            yield tensors if self.label is not None else tensors[0]


def _rank() -> tuple[int, int] | None:
    """Return the rank of this process and the number of ranks; None where `torch.distributed` was not started."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return None
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def to_torch(
    source: Source,
    batch_size: int = 1024,
    *,
    columns: Sequence[str] | None = None,
    label: str | None = None,
    dtype: torch.dtype | None = None,
    shuffle_buffer: int = 0,
    seed: int = 0,
) -> FeatureDataset:
    """Make a dataset of batches.

    Args:
        source: A training set or its table, a Parquet file of `extract` or a folder of them, or a frame. Worker
            processes open a file by its path; other rows are copied to each of them.
        batch_size: The number of rows in a batch; the last may have fewer.
        columns: The features, numbers or arrays of numbers; None for all of the training set.
        label: The column to predict; None for the training set's only label, if it has one.
        dtype: The dtype of the features, `torch.float32` by default. The label is int64 or float64.
        shuffle_buffer: How many rows to mix at a time; 0 keeps the order.
        seed: Decides the order of shuffled rows, with `set_epoch`.

    Raises:
        RequestError: A column does not exist or is not numeric; while reading: an integer is not exact in the dtype.
    """
    return FeatureDataset(
        Matrices(
            source=source,
            batch_size=batch_size,
            columns=columns,
            label=label,
            dtype=_NUMPY.get(dtype or torch.float32, str(dtype)),
            shuffle_buffer=shuffle_buffer,
            seed=seed,
        )
    )
