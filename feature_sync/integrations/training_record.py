"""What is known of a training set once it was run: what an experiment logs of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import msgspec

from feature_sync.errors import RequestError
from feature_sync.service_schema import Pin, read_pin

if TYPE_CHECKING:
    from feature_sync.training import Extract, TrainingSet, TrainingTable

RecordSource: TypeAlias = Union["TrainingRecord", "TrainingSet", "TrainingTable", "Extract", str, "os.PathLike[str]"]
"""A training set, which is run; its rows in memory; what `write` returned; a file with its sidecar; or a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """The facts of a training set.

    Args:
        pin: The pin of the service.
        content_hash: The hash of the rows, in any order.
        rows: The number of rows.
        column_types: The Arrow types of the columns, by name.
        label_names: The columns that a model learns to predict.
        sql: The query that ran; empty if it is unknown.
        sidecar: The sidecar of the file as JSON; empty for rows that were never written.
    """

    pin: Pin
    content_hash: str
    rows: int
    column_types: Mapping[str, str] = field(repr=False)
    label_names: tuple[str, ...] = ()
    sql: str = field(default="", repr=False)
    sidecar: str = field(default="", repr=False)

    def __repr__(self) -> str:
        return f"TrainingRecord({self.rows:,} rows of {self.pin.service}, content hash {self.content_hash})"

    @property
    def spine(self) -> dict[str, Any]:
        """The spine as the sidecar describes it; empty without one."""
        spine: dict[str, Any] = msgspec.json.decode(self.sidecar)["spine"] if self.sidecar else {}
        return spine


class _Sidecar(msgspec.Struct):
    content_hash: str
    rows: int
    column_types: dict[str, str]
    label_names: tuple[str, ...]
    sql: str


def record_of(source: RecordSource) -> TrainingRecord:
    """Return the facts of a training set; one that was not run is run into a temporary file, which is then removed.

    Raises:
        FeatureSyncError: The query failed, or the sidecar cannot be read.
    """
    if isinstance(source, TrainingRecord):
        return source
    if isinstance(source, str | os.PathLike):
        return _of_file(Path(source))
    from feature_sync.training import Extract, TrainingSet, TrainingTable

    if isinstance(source, TrainingSet):
        with TemporaryDirectory(prefix="feature_sync_") as folder:
            return _of_sidecar(source.write(Path(folder, "rows.parquet")).to_json(), "the training set")
    if isinstance(source, Extract):
        return _of_sidecar(source.to_json(), "the training set")
    if isinstance(source, TrainingTable):
        return TrainingRecord(
            pin=source.pin,
            content_hash=source.content_hash,
            rows=len(source),
            column_types={each.name: str(each.type) for each in source.table.schema},
            label_names=source.label_names,
            sql=source.sql,
        )
    kind = f"{type(source).__module__.partition('.')[0]}.{type(source).__qualname__}"
    raise RequestError(f"a training set, its rows or its file is needed, and not a {kind}")


def _of_file(path: Path) -> TrainingRecord:
    sidecar = path.with_name(f"{path.name}.json")
    try:
        return _of_sidecar(sidecar.read_text(encoding="utf-8"), str(sidecar))
    except OSError as unreadable:
        raise RequestError(f"{sidecar} cannot be read: {unreadable.strerror or unreadable}") from unreadable


def _of_sidecar(content: str, where: str) -> TrainingRecord:
    try:
        facts = msgspec.json.decode(content, type=_Sidecar)
    except msgspec.MsgspecError as wrong:
        raise RequestError(f"{where} is not the sidecar of a training set ({wrong})") from wrong
    return TrainingRecord(
        pin=read_pin(content),
        content_hash=facts.content_hash,
        rows=facts.rows,
        column_types=facts.column_types,
        label_names=facts.label_names,
        sql=facts.sql,
        sidecar=content,
    )
