"""Hudi tables by the `hudi` wheel; files that it would leave out without a word are an error here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from feature_sync.extras import needed_by
from feature_sync.lake.base import LakeError, LakeTable, Selection, Version
from feature_sync.lake.filters import Filter
from feature_sync.lake.storage import Storage

if TYPE_CHECKING:
    import hudi
    import pyarrow

Answer = TypeVar("Answer")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEWEST_TABLE_VERSION = 6
_PUSHED_DOWN = ("=", "!=", "<", "<=", ">", ">=")


class Hudi(LakeTable):
    """A copy-on-write table, or a merge-on-read table whose log files are all compacted.

    Args:
        storage: Its folder.
    """

    def __init__(self, storage: Storage) -> None:
        with needed_by("a Hudi source"):
            import hudi
        self._options = hudi.HudiReadOptions
        self._incremental = hudi.HudiQueryType.Incremental
        with storage.explained():
            self._table = _translated(lambda: hudi.HudiTable(storage.place, storage.options))
        self._check_table_version()

    @cached_property
    def _instants(self) -> list[hudi.HudiInstant]:
        timeline = self._table.get_timeline()
        found = [*_translated(timeline.get_completed_commits), *_translated(timeline.get_completed_deltacommits)]
        found += _translated(timeline.get_completed_replacecommits)
        return sorted({each.timestamp: each for each in found}.values(), key=lambda each: each.timestamp)

    def versions(self) -> Sequence[Version]:
        """Return the completed instants of the active timeline."""
        return [Version(each.timestamp, _EPOCH + timedelta(milliseconds=each.epoch_mills)) for each in self._instants]

    def schema(self, version: Version | None) -> pyarrow.Schema:
        """Return the newest columns, in which the library answers whatever the version."""
        if version is None:
            raise LakeError("the table has no completed commit yet, so it has no columns; write to it first")
        return _translated(self._table.get_schema_with_meta_fields)

    def read(self, version: Version | None, selection: Selection) -> Iterator[pyarrow.RecordBatch]:
        """Read the rows in a stream."""
        if version is not None:
            self._check_files(version.name)
            asked = self._selected(selection).with_as_of_timestamp(version.name)
            yield from _streamed(lambda: iter(self._table.read_stream(asked)))

    def changes(self, since: Version, until: Version, selection: Selection) -> Iterator[pyarrow.RecordBatch]:
        """Read the rows at once: the library has no stream for them."""
        self._check_files(until.name)
        asked = self._selected(selection).with_query_type(self._incremental)
        asked = asked.with_start_timestamp(since.name).with_end_timestamp(until.name)
        yield from _streamed(lambda: iter(self._table.read(asked)))

    def _check_table_version(self) -> None:
        """Check that its timeline and names of files are those by which lost files and log files are found here."""
        found = int(self._table.hudi_options().get("hoodie.table.version", _NEWEST_TABLE_VERSION))
        if found > _NEWEST_TABLE_VERSION:
            raise LakeError(
                f"the table is of Hudi's table version {found}, and feature-sync reads up to {_NEWEST_TABLE_VERSION}: "
                "set hoodie.write.table.version=6 and downgrade the table (Hudi CLI: downgrade table --toVersion 6)"
            )

    def _selected(self, selection: Selection) -> hudi.HudiReadOptions:
        filters = [(each.column, each.operator, str(each.value)) for each in selection.filters if _is_plain(each)]
        return self._options(filters=filters, projection=list(selection.columns))

    def _check_files(self, version: str) -> None:
        """Check that each file that a commit wrote is there, unless a later one replaced it, and that none is a log.

        The library answers by what it finds in the folders: where a file is gone, by the one before, or without rows.
        """
        slices = _translated(lambda: self._table.get_file_slices(self._options().with_as_of_timestamp(version)))
        found = {each.base_file_name for each in slices}
        logs = [name for each in slices for name in each.log_file_names]
        for commit, name in self._written(version).values():
            if _is_log(name):
                logs.append(name)
            elif name not in found:
                raise LakeError(
                    f"{name}, which commit {commit} wrote, is gone: Hudi's cleaner removed it, or it was lost; "
                    "read a newer version, or let the cleaner keep more commits (hoodie.cleaner.commits.retained)"
                )
        if logs:
            raise LakeError(
                f"the merge-on-read table has log files that are not compacted, such as {logs[0]}; feature-sync does "
                "not read them, and without them rows are old: run Hudi's compaction"
            )

    def _written(self, version: str) -> dict[tuple[str, str], tuple[str, str]]:
        """Return commit and name of the newest file of each file group, by partition and group."""
        newest: dict[tuple[str, str], tuple[str, str]] = {}
        for instant in self._instants:
            if instant.timestamp > version:
                break
            metadata = json.loads(_translated(partial(self._metadata, instant)))
            for partition, groups in (metadata.get("partitionToReplaceFileIds") or {}).items():
                for group in groups:
                    newest.pop((partition, group), None)
            for partition, written in (metadata.get("partitionToWriteStats") or {}).items():
                for each in written:
                    if each.get("path"):
                        name = PurePosixPath(each["path"]).name
                        newest[partition, each["fileId"]] = (instant.timestamp, name)
        return newest

    def _metadata(self, instant: hudi.HudiInstant) -> str:
        metadata: str = self._table.get_timeline().get_instant_metadata_in_json(instant)
        return metadata


def _is_log(name: str) -> bool:
    return name.startswith(".") or ".log." in name


def _is_plain(condition: Filter) -> bool:
    """True for what the library understands as we do: not moments, which it compares as text in some places."""
    return (
        condition.operator in _PUSHED_DOWN
        and isinstance(condition.value, (int, float, str))
        and not (isinstance(condition.value, bool) or _looks_like_a_moment(condition.value))
    )


def _looks_like_a_moment(value: Any) -> bool:
    return isinstance(value, str) and value[:4].isdigit() and ":" in value


def _streamed(opened: Callable[[], Iterator[pyarrow.RecordBatch]]) -> Iterator[pyarrow.RecordBatch]:
    batches = _translated(opened)
    while (batch := _translated(lambda: next(batches, None))) is not None:
        yield batch


def _translated(ask: Callable[[], Answer]) -> Answer:
    """Turn an error of the library, which has a class for all, into ours."""
    try:
        return ask()
    except Exception as refused:
        if type(refused).__name__ != "HudiCoreError":  # which the library exports nowhere
            raise
        text = " ".join(str(refused).split())
        if "hoodie.properties" in text and "not found" in text:
            raise LakeError("there is no Hudi table: no .hoodie/hoodie.properties is in that folder") from refused
        raise LakeError(f"hudi cannot read it: {text}") from refused
