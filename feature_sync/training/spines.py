"""Sources of a spine: a table of the dbt project, a query that the user typed, files, or a frame in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypedDict, Union

from feature_sync.clock import read_moment
from feature_sync.dbt.manifest import Manifest
from feature_sync.definitions import Period, Relation, Spine, parse_ordering
from feature_sync.errors import Location, ProjectError, RequestError, UnknownName
from feature_sync.object_stores import is_uri
from feature_sync.parquet_folders import ParquetFolder
from feature_sync.table_files import SUFFIXES, check_suffix, frame_in_memory, read_folder, read_frame, read_table
from feature_sync.training.rows import Rows
from feature_sync.value_types import ValueType

if TYPE_CHECKING:
    import pandas
    import pyarrow


class ArrowStream(Protocol):
    """Rows that have an Arrow stream: a polars frame, a relation of DuckDB, record batches, and others."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the stream."""


SpineSource: TypeAlias = Union[str, "os.PathLike[str]", "pandas.DataFrame", "pyarrow.Table", ArrowStream]
_EVENT_TIMESTAMP = "event_timestamp"


class SpineKeywords(TypedDict, total=False):
    """The fields of `SpineOptions`, as keyword arguments."""

    event_timestamp: str | None
    since: str | datetime | None
    until: str | datetime | None
    sample: float | None
    limit: int | None
    order_by: str | None
    labels: str | Iterable[str] | None
    ordered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpineOptions:
    """Which rows of a spine to answer, and in which order. Moments without a zone are in UTC.

    Args:
        event_timestamp: Column with the moment asked, unless it is the model's own `event_time` or, in a query, a file
            or a frame, `event_timestamp`.
        since: First moment to answer.
        until: Last moment to answer.
        sample: Share of the rows to answer, above 0 and up to 1; the same rows every time.
        limit: Number of rows to answer, the first in order.
        order_by: Columns to order the rows by, written as `column, other desc`. Then, and without it, a file or a frame
            keeps its own order; other rows are ordered by the moment, the keys, and all other columns of the spine.
        labels: Columns that a model learns to predict, unless the spine's model marks them with `label: true`.
        ordered: False orders by `order_by` alone, and without it not at all: for results that BigQuery, which sorts
            on one machine, cannot sort. The content hash is the same.
    """

    event_timestamp: str | None = None
    since: str | datetime | None = None
    until: str | datetime | None = None
    sample: float | None = None
    limit: int | None = None
    order_by: str | None = None
    labels: str | Iterable[str] | None = None
    ordered: bool = True


def read_spine(
    source: SpineSource | None, query: str | None, options: SpineOptions, *, manifest: Manifest
) -> tuple[Spine, Rows | None]:
    """Return a spine and, if it is not a table of the warehouse, its rows.

    Args:
        source: Name of a model, seed, snapshot or source, path or URI of a file or a folder, or a frame; None with
            a query.
        query: Query in the warehouse's own SQL; None with a source.
        options: Which rows to answer.
        manifest: The manifest of the dbt project.

    Raises:
        ProjectError: The model has no table of its own, such as an ephemeral one.
        RequestError: Both or neither of a source and a query are given, or an option is not valid.
        UnknownName: The project does not have such a model.
    """
    if (source is None) == (query is None):
        raise RequestError("name a spine with --spine or write one with --spine-sql, and not both")
    rows = None
    if query is not None:
        relation = _undeclared("--spine-sql", options)
    elif isinstance(source, str) and not _is_place(source):
        relation = _model(source, options, manifest)
    elif isinstance(source, (str, os.PathLike)):
        place = os.fspath(source)
        read = _folder if _is_object(place) or Path(place).is_dir() else _file
        relation = _undeclared(ParquetFolder(place).name if _is_object(place) else place, options)
        rows = read(place, relation.event_time or "")
    else:
        relation, frame = _undeclared("the frame", options), frame_in_memory(source)
        rows = Rows(
            read=partial(_read_frame, frame, relation.event_time or ""),
            origin={"frame": True},
            index=getattr(frame, "index", None),
        )
    since, until = (
        None if moment is None else read_moment(moment, name)
        for name, moment in (("--since", options.since), ("--until", options.until))
    )
    spine = Spine(
        relation=relation,
        query=query,
        period=Period(since, until),
        sample=options.sample,
        limit=options.limit,
        order_by=parse_ordering(options.order_by) if options.order_by else (),
        labels=(labels,) if isinstance(labels := options.labels or (), str) else tuple(labels),
    )
    return spine.checked(), rows


def _model(name: str, options: SpineOptions, manifest: Manifest) -> Relation:
    ids = manifest.relations()
    node = manifest.node(ids[name]) if name in ids else None
    if node is None:
        raise UnknownName("model, seed, snapshot or source", name, ids)
    if not node.relation_name:
        raise ProjectError(f"{node.location}: has no table of its own; a spine must be one")
    relation = node.relation({})
    return replace(relation, event_time=options.event_timestamp or relation.event_time)


def _undeclared(name: str, options: SpineOptions) -> Relation:
    """Return the relation of rows outside the dbt project; their columns are read when they are loaded."""
    event_time = options.event_timestamp or _EVENT_TIMESTAMP
    return Relation(name="", unique_id="", location=Location(name, ""), columns={}, event_time=event_time)


def _is_place(text: str) -> bool:
    """True for what cannot be the name of a model: a file by its suffix, a folder by a slash in its name, a URI."""
    return Path(text).suffix.lower() in SUFFIXES or "/" in text or os.sep in text


def _is_object(place: str) -> bool:
    return "://" in place and is_uri(place)


def _folder(place: str, moment: str) -> Rows:
    return Rows(read=partial(read_folder, place, moment=moment), origin=ParquetFolder(place).origin())


def _file(place: str, moment: str) -> Rows:
    path = Path(place)
    if not path.suffix and not path.exists():
        raise RequestError(f"{place} does not exist: a spine is a model, a Parquet or CSV file, or a folder of Parquet")
    check_suffix(path)
    try:
        with path.open("rb") as content:
            digest = file_digest(content, "sha256").hexdigest()
    except OSError as unreadable:
        raise RequestError(f"{path} cannot be read: {unreadable.strerror}") from unreadable
    origin = {"file": path.name, "sha256": digest}
    return Rows(read=partial(read_table, path, moment=moment), origin=origin)


def _read_frame(
    frame: pandas.DataFrame | pyarrow.Table, moment: str, types: Mapping[str, ValueType]
) -> pyarrow.RecordBatchReader:
    return read_frame(frame, (moment, *types))
