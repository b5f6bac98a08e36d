"""Counts the rows of an entity in Parquet and CSV files: logs of served vectors, and training sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from feature_sync.errors import RequestError
from feature_sync.forgetting.traces import AskedEntity, Place, Trace

if TYPE_CHECKING:
    import pyarrow

_KINDS = {".parquet": "parquet", ".csv": "csv"}
_CURE = "delete the file, or write it anew without these rows (extract again after dbt build)"


def traces_in_files(paths: Iterable[str], asked: AskedEntity) -> Iterator[Trace | str]:
    """Yield each file that has rows of an entity, or the reason why it could not be searched.

    A row is the entity's if each of its keys, as far as the file has it under a name that a view gives it, has the
    value as text.

    Args:
        paths: Files, or folders to search with all that is below.
        asked: The entity.

    Raises:
        RequestError: A path does not exist.
    """
    import pyarrow

    for path in map(Path, paths):
        if not path.exists():
            raise RequestError(f"--files: {path} does not exist")
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix.lower() not in _KINDS or not file.is_file():
                continue
            try:
                rows = _rows(file, asked)
            except (OSError, pyarrow.ArrowException) as unreadable:
                yield f"{file} cannot be searched: {' '.join(str(unreadable).split())}"
                continue
            if rows:
                yield Trace(place=Place.FILE, name=str(file), feature_view=None, rows=rows, cure=_CURE)


def _rows(file: Path, asked: AskedEntity) -> int:
    import pyarrow.dataset

    data = pyarrow.dataset.dataset(file, format=_KINDS[file.suffix.lower()])
    names = [{asked.columns(view)[at] for view in asked.views} for at in range(len(asked.texts))]
    present = [sorted(each & {*data.schema.names}) for each in names]
    wanted = [(columns, text) for columns, text in zip(present, asked.texts, strict=True) if columns]
    if not wanted:
        return 0
    columns = sorted({name for each, _ in wanted for name in each})
    return sum(_hits(batch, wanted) for batch in data.to_batches(columns=columns))


def _hits(batch: pyarrow.RecordBatch, wanted: Sequence[tuple[Sequence[str], str]]) -> int:
    """Count the rows in which, of each key, one of the columns has the value."""
    import pyarrow
    import pyarrow.compute

    def same(name: str, text: str) -> pyarrow.Array:
        texts = pyarrow.compute.cast(batch.column(name), pyarrow.string())
        return pyarrow.compute.fill_null(pyarrow.compute.equal(texts, text), fill_value=False)

    keys = [reduce(pyarrow.compute.or_, [same(name, text) for name in names]) for names, text in wanted]
    return pyarrow.compute.sum(reduce(pyarrow.compute.and_, keys)).as_py() or 0
