"""Where a training set goes: a file, a folder of files, or an object store; it appears whole, or not at all."""

from __future__ import annotations

import re
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from feature_sync.errors import OutputError, RequestError
from feature_sync.files import whole_file, writing
from feature_sync.object_stores import ObjectFolder, is_uri
from feature_sync.table_files import WriteBatch, check_suffix, table_writer

if TYPE_CHECKING:
    import pyarrow

_PART = "part-{:05}.parquet"
_IS_PART = re.compile(r"part-\d{5,}\.parquet")


@dataclass(frozen=True, slots=True)
class Staged:
    """What is written before it appears: a file, or a folder of parts; and the sidecar."""

    rows: Path
    sidecar: Path


class Output(ABC):
    """A place for a training set.

    Args:
        name: The place as messages show it, without secrets.
        rows_per_file: The most rows of each file in a folder; None for one file.
    """

    def __init__(self, name: str, rows_per_file: int | None) -> None:
        self.name = name
        self.rows_per_file = rows_per_file

    @property
    def path(self) -> Path | str:
        """The place of the rows."""
        return Path(self.name)

    @property
    def sidecar(self) -> Path | str:
        """The place of the sidecar."""
        return Path(f"{self.name}.json")

    @abstractmethod
    def staged(self) -> AbstractContextManager[Staged]:
        """Yield where to write; at the end rows and sidecar appear, and after an error neither does.

        Raises:
            OutputError: They cannot be written.
        """

    @contextmanager
    def writer(self, staged: Staged, schema: pyarrow.Schema) -> Iterator[tuple[WriteBatch, list[str]]]:
        """Yield what writes batches, and the names of the files in the folder, which grow; none for one file.

        Raises:
            OutputError: A file cannot be written, or its format cannot hold one of the types.
        """
        if self.rows_per_file is None:
            with table_writer(staged.rows, schema, named=Path(self.name)) as write:
                yield write, []
            return
        with ExitStack() as opened:
            parts = _Parts(staged.rows, schema, Path(self.name), self.rows_per_file, opened)
            parts.begin()  # also where there is no row: the file has the schema
            yield parts.write, parts.names


class _Parts:
    """Writes batches to one file after the other."""

    def __init__(self, folder: Path, schema: pyarrow.Schema, named: Path, rows: int, opened: ExitStack) -> None:
        self.names: list[str] = []
        self._folder = folder
        self._schema = schema
        self._named = named
        self._rows = rows
        self._opened = opened
        self._write: WriteBatch | None = None
        self._left = 0

    def begin(self) -> None:
        """Close the file, and open the next one."""
        self._opened.close()
        name = _PART.format(len(self.names))
        writer = table_writer(self._folder / name, self._schema, named=self._named / name)
        self._write = self._opened.enter_context(writer)
        self.names.append(name)
        self._left = self._rows

    def write(self, batch: pyarrow.RecordBatch) -> None:
        """Write a batch, cut where a file is full."""
        while batch.num_rows:
            if not self._left:
                self.begin()
            assert self._write is not None  # noqa: S101 - `begin` was called
            part = batch.slice(0, self._left)
            self._write(part)
            self._left -= part.num_rows
            batch = batch.slice(part.num_rows)


class LocalFile(Output):
    """A file, and the sidecar beside it."""

    @contextmanager
    def staged(self) -> Iterator[Staged]:
        """Write to files beside, and rename them."""
        with whole_file(Path(self.name)) as rows, whole_file(Path(self.sidecar)) as sidecar:
            yield Staged(rows, sidecar)


class LocalFolder(Output):
    """A folder of files, which holds nothing else; the sidecar stands beside it."""

    @contextmanager
    def staged(self) -> Iterator[Staged]:
        """Write to a folder beside, and swap the two."""
        folder = Path(self.name)
        _check_parts(folder)
        with whole_file(Path(self.sidecar)) as sidecar, writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.partial")
            partial.mkdir()
            try:
                yield Staged(partial, sidecar)
                self._appear(partial, folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    def _appear(self, partial: Path, folder: Path) -> None:
        """Put a folder in the place of another. The old sidecar goes first: it must not describe the new files."""
        _check_parts(folder)
        Path(self.sidecar).unlink(missing_ok=True)
        old = partial.with_suffix(".old")
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
        shutil.rmtree(old, ignore_errors=True)


class Objects(Output):
    """An object, or several below one name; the sidecar appears last, so that where it is, all is there.

    Rows are written to a temporary file first: an object that is streamed to would appear cut off after an error.
    """

    def __init__(self, uri: str, rows_per_file: int | None) -> None:
        self._objects = ObjectFolder(uri)
        super().__init__(self._objects.name, rows_per_file)

    @property
    def path(self) -> str:
        """The URI of the rows, without its options."""
        return self.name

    @property
    def sidecar(self) -> str:
        """The URI of the sidecar, without its options."""
        return f"{self.name}.json"

    @contextmanager
    def staged(self) -> Iterator[Staged]:
        """Write to a temporary folder, and upload."""
        self._objects.check()
        with TemporaryDirectory(prefix="feature_sync_") as temporary:
            staged = Staged(Path(temporary, "rows"), Path(temporary, "sidecar.json"))
            if self.rows_per_file is not None:
                staged.rows.mkdir()
            yield staged
            self._objects.delete(self._objects.sidecar)
            if self.rows_per_file is None:
                self._objects.upload(staged.rows, "")
            else:
                self._objects.delete_below(_IS_PART)
                for each in sorted(staged.rows.iterdir()):
                    self._objects.upload(each, f"/{each.name}")
            self._objects.upload(staged.sidecar, ".json")


def read_output(path: str | Path, rows_per_file: int | None = None) -> Output:
    """Return the place that a path or a URI names.

    Args:
        path: A path, or a URI of S3 or Google Cloud Storage.
        rows_per_file: The most rows of a file; the path then names a folder.

    Raises:
        RequestError: The name has no suffix that says how to write it, or one that a folder cannot have; or nobody
            knows the kind of URI.
    """
    if rows_per_file is not None and rows_per_file < 1:
        raise RequestError(f"{rows_per_file} rows a file are not possible; write a whole number, 1 or more")
    is_object = isinstance(path, str) and is_uri(path)
    name = PurePosixPath(urlsplit(str(path)).path) if is_object else Path(path)
    if rows_per_file is None:
        check_suffix(Path(name))
    elif name.suffix.lower() in (".csv", ".parquet"):
        raise RequestError(f"{name.name} would be a folder, whose files end in .parquet; name it without a suffix")
    if is_object:
        return Objects(str(path), rows_per_file)
    return LocalFile(str(path), None) if rows_per_file is None else LocalFolder(str(path), rows_per_file)


def _check_parts(folder: Path) -> None:
    """Check that a folder holds nothing but what an earlier run wrote."""
    if folder.is_dir():
        others = sorted(each.name for each in folder.iterdir() if not _IS_PART.fullmatch(each.name))
        if others:
            raise OutputError(f"{folder} holds {others[0]}, which is not ours to remove; name a folder of its own")
    elif folder.exists():
        raise OutputError(f"{folder} is a file; name a folder, or leave out --rows-per-file")
