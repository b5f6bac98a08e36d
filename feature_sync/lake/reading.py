"""Reads a source as one stream of Arrow: the versions that it asks for, its columns and rows, up to its limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from feature_sync.errors import FeatureSyncError, did_you_mean
from feature_sync.lake.base import LakeError, LakeTable, Selection, Version
from feature_sync.lake.source import LakeSource

if TYPE_CHECKING:
    import pyarrow

VERSION, COMMITTED_AT, REPLACED_AT = "lake_version", "lake_committed_at", "lake_replaced_at"
"""Columns that are added: the version that a row was read from, when that was committed, and when the next one was.

The newest version that is read is replaced by none, whatever came after it.
"""
_ADDED = (VERSION, COMMITTED_AT, REPLACED_AT)
_META_OF_HUDI = "_hoodie_"
_BYTES_PER_GIGABYTE = 2**30


def read_rows(source: LakeSource, opened: Callable[[], LakeTable]) -> pyarrow.RecordBatchReader:
    """Return the rows that a source asks for.

    Args:
        source: What is asked for.
        opened: Opens its table.

    Raises:
        LakeError: A version, a column or a file is not there; also while reading, as when there are too many rows.
    """
    import pyarrow

    with _named(source):
        table = opened()
        versions = table.versions() if table.versioned else ()
        until = _version(versions, source.as_of, "as_of") if source.as_of else (versions[-1] if versions else None)
        since = _version(versions, source.since, "since") if source.since else None
        if since and until and since.committed_at > until.committed_at:
            raise LakeError(f"since: version {since.name} is newer than {until.name}, which is read")
        schema = table.schema(until)
        target = _target(source, schema, is_versioned=table.versioned)
        for each in source.filters:
            each.typed(schema)
        parts = _parts(source, table, _asked(source, versions, since, until), since)
    rows = _bounded(_filtered(source, schema, parts, target), source)
    return pyarrow.RecordBatchReader.from_batches(target, rows)


def _target(source: LakeSource, schema: pyarrow.Schema, *, is_versioned: bool) -> pyarrow.Schema:
    """Return the columns to show, and those that are added."""
    import pyarrow

    columns = _columns(source, schema)
    if not is_versioned:
        return columns
    moment = pyarrow.timestamp("us", tz="UTC")
    return pyarrow.schema([*columns, (VERSION, pyarrow.string()), (COMMITTED_AT, moment), (REPLACED_AT, moment)])


@dataclass(frozen=True, slots=True)
class _Part:
    """One version to read, and when the next one that is read replaced it."""

    version: Version | None
    replaced_at: datetime | None = None

    def value(self, name: str) -> str | datetime | None:
        """Return the value of a column that is added."""
        if self.version is None or name == REPLACED_AT:
            return self.replaced_at
        return self.version.name if name == VERSION else self.version.committed_at


def _asked(
    source: LakeSource, versions: Sequence[Version], since: Version | None, until: Version | None
) -> Sequence[_Part]:
    if not source.history or until is None:
        return [_Part(until)]
    first = 0 if since is None else versions.index(since) + 1
    asked = versions[first : versions.index(until) + 1]
    ends = [*(each.committed_at for each in asked[1:]), None]
    return [_Part(each, end) for each, end in zip(asked, ends, strict=True)]


def _version(versions: Sequence[Version], asked: str | datetime, key: str) -> Version:
    """Find a version by its name, or the newest that was committed at or before a moment."""
    known = [each for each in versions if not isinstance(asked, datetime) or each.committed_at <= asked]
    found = [each for each in known if isinstance(asked, datetime) or each.name == asked]
    if found:
        return found[-1]
    if not versions:
        raise LakeError(f"{key}: the table has no version yet")
    oldest, newest = versions[0], versions[-1]
    name = f"of {asked.isoformat()} or before" if isinstance(asked, datetime) else asked
    raise LakeError(
        f"{key}: no version {name} can be read, or not any more: the oldest is "
        f"{oldest.name} of {oldest.committed_at.isoformat()}, the newest {newest.name} of "
        f"{newest.committed_at.isoformat()}"
    )


def _columns(source: LakeSource, schema: pyarrow.Schema) -> pyarrow.Schema:
    """Return the columns to show, all that are not Hudi's own unless the source names them."""
    import pyarrow

    for key, names in (("columns", source.columns), ("filters", [each.column for each in source.filters])):
        for name in names:
            if name not in schema.names:
                raise LakeError(f"{key}: the table has no column {name!r}{did_you_mean(name, schema.names)}")
    if clash := [name for name in _ADDED if name in schema.names]:
        raise LakeError(f"the table has a column {clash[0]!r} of its own; leave it out with `columns`")
    shown = source.columns or [name for name in schema.names if not name.startswith(_META_OF_HUDI)]
    return pyarrow.schema([schema.field(name).with_nullable(True) for name in shown])


def _parts(
    source: LakeSource, table: LakeTable, asked: Iterable[_Part], since: Version | None
) -> Iterator[tuple[_Part, Iterator[pyarrow.RecordBatch]]]:
    """Read each version; one that lacks a column of the filters has only nulls there, and no row that passes."""
    filtered = [each.column for each in source.filters]
    for part in asked:
        names = table.schema(part.version).names
        if set(filtered) - set(names):
            continue
        needed = {*source.columns, *filtered} if source.columns else {*names}
        selection = Selection(tuple(name for name in names if name in needed), source.filters)
        if since is not None and part.version is not None and not source.history:
            yield part, table.changes(since, part.version, selection)
        else:
            yield part, table.read(part.version, selection)


def _filtered(
    source: LakeSource,
    schema: pyarrow.Schema,
    parts: Iterable[tuple[_Part, Iterator[pyarrow.RecordBatch]]],
    target: pyarrow.Schema,
) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow

    for part, batches in parts:
        for batch in batches:
            known = pyarrow.schema([field for field in schema if field.name in batch.schema.names])
            table = pyarrow.Table.from_batches([_aligned(batch, known, part)])
            for each in source.filters:
                table = table.filter(each.expression(schema))
            for kept in table.to_batches():
                yield _aligned(kept, target, part)


def _aligned(batch: pyarrow.RecordBatch, target: pyarrow.Schema, part: _Part) -> pyarrow.RecordBatch:
    """Return the columns of a schema: types are widened, and what an older version lacks is null."""
    import pyarrow

    arrays = []
    for field in target:
        if field.name in batch.schema.names:
            arrays.append(_cast(batch.column(field.name), field))
        else:
            value = part.value(field.name) if field.name in _ADDED else None
            arrays.append(pyarrow.repeat(pyarrow.scalar(value, field.type), batch.num_rows))
    return pyarrow.RecordBatch.from_arrays(arrays, schema=target)


def _cast(column: pyarrow.Array, field: pyarrow.Field) -> pyarrow.Array:
    import pyarrow

    try:
        return column if column.type == field.type else column.cast(field.type)
    except pyarrow.ArrowException as unfit:
        raise LakeError(f"column {field.name!r} was {column.type} and is {field.type}: {unfit}") from unfit


def _bounded(batches: Iterable[pyarrow.RecordBatch], source: LakeSource) -> Iterator[pyarrow.RecordBatch]:
    read = 0
    with _named(source):
        for batch in batches:
            read += batch.nbytes
            if read > source.max_gigabytes * _BYTES_PER_GIGABYTE:
                raise LakeError(
                    f"there are more than {source.max_gigabytes:g} gigabytes of rows; ask for less with `columns` and "
                    "`filters`, or for more with `max_gigabytes`"
                )
            yield batch


@contextmanager
def _named(source: LakeSource) -> Iterator[None]:
    """Name the source and its table in whatever is wrong inside; also while rows are read, which is later."""
    try:
        yield
    except FeatureSyncError as wrong:
        raise LakeError(f"source {source.name}: {source.place}: {wrong}") from wrong
