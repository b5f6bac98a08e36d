"""Delta tables by the `deltalake` wheel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from feature_sync.extras import needed_by
from feature_sync.lake.base import LakeError, LakeTable, Selection, Version, lost_file
from feature_sync.lake.storage import Storage

if TYPE_CHECKING:
    import deltalake
    import pyarrow
    import pyarrow.dataset

Answer = TypeVar("Answer")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Delta(LakeTable):
    """A table without deletion vectors and column mapping, which the library refuses by name.

    Args:
        storage: Its folder.
    """

    def __init__(self, storage: Storage) -> None:
        with needed_by("a Delta source"):
            import deltalake

        def opened(version: int | None) -> deltalake.DeltaTable:
            with storage.explained():
                place, options = storage.place, storage.options
                return _translated(lambda: deltalake.DeltaTable(place, version, storage_options=options))

        self._open: Callable[[int | None], deltalake.DeltaTable] = cache(opened)

    def versions(self) -> Sequence[Version]:
        """Return the versions of which the log still has the commit."""
        history = _translated(self._open(None).history)
        found = [Version(str(each["version"]), _EPOCH + timedelta(milliseconds=each["timestamp"])) for each in history]
        return sorted(found, key=lambda each: int(each.name))

    def schema(self, version: Version | None) -> pyarrow.Schema:
        """Return the columns that a version has."""
        return self._rows(version).schema

    def read(self, version: Version | None, selection: Selection) -> Iterator[pyarrow.RecordBatch]:
        """Read the rows in a stream; filters skip partitions, files and row groups."""
        rows = self._rows(version)
        passing = None
        for each in selection.filters:
            condition = each.expression(rows.schema)
            passing = condition if passing is None else passing & condition
        batches = rows.to_batches(columns=list(selection.columns), filter=passing)
        while (batch := _translated(lambda: next(batches, None))) is not None:
            yield batch

    def _rows(self, version: Version | None) -> pyarrow.dataset.Dataset:
        table = self._open(None if version is None else int(version.name))
        return _translated(table.to_pyarrow_dataset)


def _translated(ask: Callable[[], Answer]) -> Answer:
    import pyarrow
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return ask()
    except TableNotFoundError as missing:
        raise LakeError("there is no Delta table: no _delta_log is in that folder") from missing
    except FileNotFoundError as vacuumed:
        raise LakeError(
            f"a file of the version is gone: {lost_file(str(vacuumed))}; it was vacuumed or lost: read a newer "
            "version, or retain more"
        ) from None  # whose text has the whole answer of a store
    except (DeltaError, OSError, pyarrow.ArrowException) as refused:
        raise LakeError(f"deltalake cannot read it: {' '.join(str(refused).split())}") from refused
