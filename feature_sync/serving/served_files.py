"""Writes served vectors to a folder of Parquet files, which several processes may share."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from feature_sync.files import whole_file, writing

if TYPE_CHECKING:
    import pyarrow

_LONGEST_NAME = 100
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


class ServedFiles:
    """Writes each table to a file of its own, `<service>-<utc>-<pid>-<n>.parquet`: complete on disk, or absent."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Write nothing yet.

        Args:
            folder: The folder; made with the first file.
        """
        self.folder = Path(folder).absolute()
        self._count = 0

    def __repr__(self) -> str:
        return f"ServedFiles({str(self.folder)!r})"

    def __call__(self, table: pyarrow.Table) -> None:
        """Write a table.

        Raises:
            OutputError: The file cannot be written.
        """
        import pyarrow.parquet

        service = _NOT_IN_NAMES.sub("_", table.schema.metadata[b"service"].decode())[:_LONGEST_NAME]
        # Microseconds: processes of several machines or containers, of one process id, may share the folder.
        name = f"{service}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{os.getpid()}-{self._count}.parquet"
        path = self.folder / name
        with whole_file(path) as partial, writing(path):
            pyarrow.parquet.write_table(table, partial, compression="zstd")
            descriptor = os.open(partial, os.O_RDWR)
            try:
                os.fsync(descriptor)  # before the rename: a crash of the machine leaves no empty file under the name
            finally:
                os.close(descriptor)
        self._count += 1
