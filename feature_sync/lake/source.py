"""The `meta` of a source that the plugin reads: its keys, their meaning, and mistakes in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from feature_sync.errors import RequestError, did_you_mean
from feature_sync.lake.filters import Filter, read_filters
from feature_sync.object_stores import without_options

FORMATS = ("hudi", "iceberg", "delta", "parquet")
_OF_DBT = ("plugin", "materialization", "save_mode", "external_location", "formatter")
"""Keys that dbt-duckdb reads itself."""
_OURS = (
    "format",
    "path",
    "iceberg_catalog",
    "iceberg_table",
    "columns",
    "filters",
    "as_of",
    "since",
    "history",
    "max_gigabytes",
)
_MAX_GIGABYTES = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeSource:
    """One source: which table, which version, which columns and rows, and how much at most.

    `as_of` and `since` are the name of a version, or a moment in UTC. `max_gigabytes` counts rows as Arrow holds them.
    """

    name: str
    format: str
    path: str | None = None
    catalog: str | None = None
    table: str | None = None
    columns: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    as_of: str | datetime | None = None
    since: str | datetime | None = None
    history: bool = False
    max_gigabytes: float = _MAX_GIGABYTES

    @property
    def place(self) -> str:
        """The table as its own tools call it, without what may be secret in a URI."""
        if self.path and "://" in self.path:
            return without_options(self.path)
        return self.path or ".".join(filter(None, (self.catalog, self.table)))


def read_source(name: str, meta: Mapping[str, Any]) -> LakeSource:
    """Read the `meta` of a source.

    Args:
        name: The source, as `source.table`.
        meta: The mapping; empty text counts as no value, so that `"{{ var('as_of', '') }}"` can be left out.

    Raises:
        RequestError: A key is missing, unknown, or has a wrong value.
    """
    found = {key: value for key, value in meta.items() if value is not None and value != ""}
    try:
        return _read(name, found)
    except RequestError as wrong:
        raise RequestError(f"source {name}: meta.{wrong}") from wrong


def _read(name: str, found: Mapping[str, Any]) -> LakeSource:
    kind = found.get("format")
    if kind not in FORMATS:
        raise RequestError(f"format: {kind!r} is none; choose from {', '.join(FORMATS)}")
    _check_keys(found)
    _check_place(found)
    return LakeSource(
        name=name,
        format=kind,
        path=_text(found, "path"),
        catalog=_text(found, "iceberg_catalog"),
        table=_text(found, "iceberg_table"),
        columns=_columns(found.get("columns", [])),
        filters=read_filters(found.get("filters", [])),
        as_of=_version(found, "as_of"),
        since=_version(found, "since"),
        history=_history(found),
        max_gigabytes=_gigabytes(found.get("max_gigabytes", _MAX_GIGABYTES)),
    )


def _check_keys(found: Mapping[str, Any]) -> None:
    """Refuse a key that looks like ours; others of the project's own are none of our business."""
    from difflib import get_close_matches

    for key in found:
        if key not in (*_OURS, *_OF_DBT) and get_close_matches(key, _OURS, n=1, cutoff=0.75):
            raise RequestError(f"{key}: there is no such key{did_you_mean(key, _OURS)}")
    if found.get("materialization", "table") != "table":
        raise RequestError("materialization: rows are read in a stream, once, so the source can only be a `table`")
    if found["format"] == "parquet" and (given := [key for key in ("as_of", "since", "history") if found.get(key)]):
        raise RequestError(f"{given[0]}: a folder of Parquet files has no versions; use `filters` on its columns")


def _check_place(found: Mapping[str, Any]) -> None:
    if found["format"] != "iceberg" and ("path" not in found or "iceberg_catalog" in found or "iceberg_table" in found):
        raise RequestError(f"path: name the folder of the {found['format']} table, and no `iceberg_table`")
    if found["format"] == "iceberg" and ("path" in found) == ("iceberg_table" in found):
        raise RequestError(
            "iceberg_table: name it as `namespace.table`, with its `iceberg_catalog`, or the `path` of its metadata"
        )


def _text(found: Mapping[str, Any], key: str) -> str | None:
    value = found.get(key)
    if value is not None and not isinstance(value, str):
        raise RequestError(f"{key}: {value!r} is not text; put it into quotes")
    return value


def _columns(written: Any) -> tuple[str, ...]:
    if not isinstance(written, list) or not all(isinstance(each, str) for each in written):
        raise RequestError(f"columns: {written!r} is not a list of names")
    if twice := [each for each in written if written.count(each) > 1]:
        raise RequestError(f"columns: {twice[0]!r} is named twice")
    return tuple(written)


def _version(found: Mapping[str, Any], key: str) -> str | datetime | None:
    """Read a version's name, or a moment: whatever has a dash and is not a number below zero."""
    value = found.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, str, date)):
        raise RequestError(f"{key}: {value!r} is neither a version nor a moment such as 2026-01-31T12:00:00Z")
    text = value.isoformat() if isinstance(value, date) else str(value).strip()
    if "-" not in text[1:]:
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RequestError(f"{key}: {text!r} is no moment; write one such as 2026-01-31T12:00:00Z") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _history(found: Mapping[str, Any]) -> bool:
    value = found.get("history", False)
    if not isinstance(value, bool):
        raise RequestError(f"history: {value!r} is neither true nor false")
    return value


def _gigabytes(written: Any) -> float:
    if isinstance(written, bool) or not isinstance(written, (int, float)) or not 0 < written < float("inf"):
        raise RequestError(f"max_gigabytes: {written!r} is not a number above 0")
    return float(written)
