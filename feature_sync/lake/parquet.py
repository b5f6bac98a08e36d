"""Folders of Parquet files, partitioned as Hive does or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from feature_sync.lake.base import LakeTable, Selection, Version
from feature_sync.parquet_folders import ParquetFolder

if TYPE_CHECKING:
    import pyarrow


class Parquet(LakeTable):
    """A folder, here or in an object store; it has no versions.

    Args:
        path: The folder, or its URI.
    """

    versioned = False

    def __init__(self, path: str) -> None:
        self._folder = ParquetFolder(path)

    def versions(self) -> Sequence[Version]:
        """Return none."""
        return ()

    def schema(self, version: Version | None) -> pyarrow.Schema:  # noqa: ARG002
        """Return the columns of all files, and of the folders' names."""
        return self._folder.schema()

    def read(
        self,
        version: Version | None,  # noqa: ARG002
        selection: Selection,
    ) -> Iterator[pyarrow.RecordBatch]:
        """Read the rows in a stream; filters skip partitions and row groups."""
        schema = self._folder.schema()
        conditions = [each.expression(schema) for each in selection.filters]
        yield from self._folder.batches(columns=selection.columns, conditions=conditions)
