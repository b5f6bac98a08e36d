"""Folders of Parquet files, here or in an object store, whose subfolders may be named after the values of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from feature_sync.errors import RequestError
from feature_sync.object_stores import ObjectFolder, is_uri

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.dataset
    import pyarrow.fs

Answer = TypeVar("Answer")
_SUFFIX = ".parquet"
_BYTES_PER_READ = 2**20
_HIDDEN = ("_", ".")
_ROWS_PER_BATCH = 100_000


class ParquetFolder:
    """A folder whose files are read in the order of their paths, as one table.

    Columns are those of all files: what a file lacks is null, and of numbers the widest type counts. A subfolder
    `name=value` adds a column. Names that begin with `_` or `.` are left out, as Spark and Hive do.

    Args:
        path: A folder, a file, or a URI of S3 or Google Cloud Storage.
        types: Arrow types of columns that the names of subfolders give, by the name in any case; others are integers
            or dates where all values are written as such, else text.
    """

    def __init__(self, path: str, types: Mapping[str, pyarrow.DataType] | None = None) -> None:
        self.name = str(path)
        self._types = {each.casefold(): kind for each, kind in (types or {}).items()}
        self._objects: ObjectFolder | None = None
        self._is_file = False
        if is_uri(self.name):
            self._objects = ObjectFolder(self.name)
            self.name = self._objects.name

    def schema(self) -> pyarrow.Schema:
        """Return the columns of all files, then those of the subfolders.

        Raises:
            RequestError: There is no file, or files contradict each other.
        """
        return self._rows.schema

    def batches(
        self,
        *,
        columns: Sequence[str] | None = None,
        conditions: Sequence[pyarrow.dataset.Expression] = (),
    ) -> Iterator[pyarrow.RecordBatch]:
        """Read the rows in a stream.

        Args:
            columns: Names of columns; None means all.
            conditions: What rows must fulfil, all of it.
        """
        passing = None
        for each in conditions:
            passing = each if passing is None else passing & each
        names = None if columns is None else list(columns)
        batches = self._rows.to_batches(columns=names, filter=passing, batch_size=_ROWS_PER_BATCH)
        while (batch := self._translated(lambda: next(batches, None))) is not None:
            yield batch

    def origin(self) -> dict[str, Any]:
        """Describe the folder, with a SHA-256 of the names and contents of its files; or the file, if it is one."""
        store, root, files = self._listed
        digest = sha256()
        name = self.name if self._objects else Path(self.name).name
        if self._is_file:
            self._translated(lambda: _add_content(store, files[0], digest.update))
            return {"file": name, "sha256": digest.hexdigest()}
        for each in files:
            digest.update(f"{each.removeprefix(root).lstrip('/')}\0".encode())
            self._translated(partial(_add_content, store, each, digest.update))
        return {"folder": name, "files": len(files), "sha256": digest.hexdigest()}

    @cached_property
    def _listed(self) -> tuple[pyarrow.fs.FileSystem, str, list[str]]:
        """Return the file system, the folder in it, and the files to read."""
        return self._translated(self._list)

    def _list(self) -> tuple[pyarrow.fs.FileSystem, str, list[str]]:
        import pyarrow.fs

        if self._objects is None:
            store, root = pyarrow.fs.LocalFileSystem(), str(Path(self.name).absolute())
        else:
            store, root = self._objects.opened()
            root = root.rstrip("/")
        info = store.get_file_info(root)
        if info.is_file:
            self._is_file = True
            return store, str(Path(root).parent), [root]
        found = store.get_file_info(pyarrow.fs.FileSelector(root, recursive=True, allow_not_found=True))
        files = sorted(each.path for each in found if each.is_file and not _is_hidden(each.path.removeprefix(root)))
        if not files:
            if self._objects is not None:
                self._objects.check_readable()
            raise RequestError(f"{self.name}: there is no such folder with Parquet files")
        if others := [each for each in files if not each.lower().endswith(_SUFFIX)]:
            raise RequestError(f"{self.name} holds {others[0].removeprefix(root)[1:]}, which does not end in {_SUFFIX}")
        return store, root, files

    @cached_property
    def _rows(self) -> pyarrow.dataset.Dataset:
        import pyarrow.dataset

        store, root, files = self._listed
        declared = _partitions(files, root, self._types)
        partitioning = pyarrow.dataset.partitioning(declared, flavor="hive") if declared else None

        def opened(schema: pyarrow.Schema | None = None) -> pyarrow.dataset.Dataset:
            return pyarrow.dataset.dataset(
                files,
                schema=schema,
                filesystem=store,
                format="parquet",
                partitioning=partitioning,
                partition_base_dir=root,
            )

        # The first opening has the columns of one file alone.
        unified = self._unified(self._translated(opened), root, declared)
        return self._translated(partial(opened, unified))

    def _unified(self, rows: pyarrow.dataset.Dataset, root: str, declared: pyarrow.Schema | None) -> pyarrow.Schema:
        import pyarrow

        unified: pyarrow.Schema | None = None
        for each in rows.get_fragments():
            own = self._translated(partial(getattr, each, "physical_schema")).remove_metadata()
            try:
                both = own if unified is None else pyarrow.unify_schemas([unified, own], promote_options="permissive")
            except pyarrow.ArrowException as contradicting:
                name = each.path.removeprefix(root).lstrip("/")
                raise RequestError(f"{self.name}: {name} does not fit the files before: {contradicting}") from None
            unified = both
        assert unified is not None  # noqa: S101 - there is a file
        given = list(declared or ())
        if twice := [field.name for field in given if field.name in unified.names]:
            raise RequestError(f"{self.name}: {twice[0]!r} is both a column of the files and of the subfolders' names")
        return pyarrow.schema([*unified, *given])

    def _translated(self, ask: Callable[[], Answer]) -> Answer:
        import pyarrow

        if self._objects is not None:
            with self._objects.translated("read"):
                return ask()
        try:
            return ask()
        except (OSError, pyarrow.ArrowException) as broken:
            raise RequestError(f"{self.name} cannot be read: {' '.join(str(broken).split())}") from broken


def _is_hidden(path: str) -> bool:
    return any(part.startswith(_HIDDEN) for part in path.split("/") if part)


def _partitions(files: Sequence[str], root: str, types: Mapping[str, pyarrow.DataType]) -> pyarrow.Schema | None:
    """Return the columns that names of subfolders give, the type of each by all its values."""
    import pyarrow

    values: dict[str, list[str]] = {}
    for each in files:
        for part in each.removeprefix(root).split("/")[:-1]:
            name, equals, value = part.partition("=")
            if equals:
                values.setdefault(name, []).append(value)
    if not values:
        return None
    return pyarrow.schema([(name, types.get(name.casefold()) or _guessed(found)) for name, found in values.items()])


def _guessed(values: Sequence[str]) -> pyarrow.DataType:
    """Return an integer where each value is written as one, a date where each is one, else text."""
    import pyarrow

    known = [each for each in values if each != "__HIVE_DEFAULT_PARTITION__"]
    if known and all(_is_integer(each) for each in known):
        return pyarrow.int64()
    if known and all(_is_date(each) for each in known):
        return pyarrow.date32()
    return pyarrow.string()


def _is_integer(text: str) -> bool:
    """True for an integer that is written as it would be written again: `07` may be text."""
    return text.lstrip("-").isdecimal() and text.isascii() and str(int(text)) == text and abs(int(text)) < 2**63


def _is_date(text: str) -> bool:
    from datetime import date

    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _add_content(store: pyarrow.fs.FileSystem, name: str, add: Callable[[bytes], None]) -> None:
    with store.open_input_stream(name) as content:
        while block := content.read(_BYTES_PER_READ):
            add(block)
