"""Counts the rows of an entity in Parquet and CSV files: logs of served vectors, and training sets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from feature_sync.errors import RequestError
from feature_sync.forgetting.traces import Place, Trace

_KINDS = {".parquet": "parquet", ".csv": "csv"}
_CURE = "delete the file, or write it anew without these rows (extract again after dbt build)"


def traces_in_files(paths: Iterable[str], keys: Collection[tuple[str, str]]) -> Iterator[Trace | str]:
    """Yield each file that has rows of an entity, or the reason why it could not be searched.

    A row is the entity's if a column with the name of each key, in any view, has the value as text.

    Args:
        paths: Files, or folders to search with all that is below.
        keys: Names of columns, each with the value as text; those of one position are alternatives.

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
                rows = _rows(file, keys)
            except (OSError, pyarrow.ArrowException) as unreadable:
                yield f"{file} cannot be searched: {' '.join(str(unreadable).split())}"
                continue
            if rows:
                yield Trace(place=Place.FILE, name=str(file), feature_view=None, rows=rows, cure=_CURE)


def _rows(file: Path, keys: Collection[tuple[str, str]]) -> int:
    """Count the rows in which every column that has the name of a key has its value."""
    import pyarrow
    import pyarrow.compute
    import pyarrow.dataset

    data = pyarrow.dataset.dataset(file, format=_KINDS[file.suffix.lower()])
    wanted = [(name, text) for name, text in keys if name in data.schema.names]
    if not wanted:
        return 0
    count = 0
    for batch in data.to_batches(columns=list(dict.fromkeys(name for name, _ in wanted))):
        hits = None
        for name, text in wanted:
            column = batch.column(name)
            same = pyarrow.compute.equal(pyarrow.compute.cast(column, pyarrow.string()), text)
            hits = same if hits is None else pyarrow.compute.and_kleene(hits, same)
        count += pyarrow.compute.sum(hits).as_py() or 0
    return count
