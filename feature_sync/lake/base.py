"""What a table of a lake promises its reader, whatever its format."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from feature_sync.errors import RequestError
from feature_sync.lake.filters import Filter

if TYPE_CHECKING:
    import pyarrow


_FILE_IN_STORE = re.compile(r"[^/\s'\"]+\.(?:parquet|avro|json)\b")


class LakeError(RequestError):
    """A table of a lake cannot be read as its source asks; the text names the source, the table and the cure."""


@dataclass(frozen=True, slots=True)
class Version:
    """One commit of a table: a Hudi instant, an Iceberg snapshot or a Delta version; and when it was made, in UTC."""

    name: str
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class Selection:
    """What to read of a version: columns, and filters that the reader may use to skip files and rows.

    Rows that do not pass may come back all the same: whoever reads them filters again, so that null, text and time
    mean the same in every format.
    """

    columns: tuple[str, ...]
    filters: tuple[Filter, ...] = ()


def lost_file(text: str) -> str:
    """Return the name of the file that an error of a store is about, or all of its text on one line."""
    found = _FILE_IN_STORE.search(unquote(text)) if "http" in text.lower() else None
    return found[0] if found else " ".join(text.split())


class LakeTable(ABC):
    """A table with versions; nothing of it is read before a method is called."""

    versioned = True
    """Whether the format keeps older versions at all."""

    @abstractmethod
    def versions(self) -> Sequence[Version]:
        """Return the versions that can still be read, oldest first; half-written commits are none."""

    @abstractmethod
    def schema(self, version: Version | None) -> pyarrow.Schema:
        """Return the columns as of a version; None means the newest, also of a table without any."""

    @abstractmethod
    def read(self, version: Version | None, selection: Selection) -> Iterator[pyarrow.RecordBatch]:
        """Read the rows as of a version, in a stream where the library has one.

        Raises:
            LakeError: Files of the version are gone, or the library cannot read them.
        """

    def changes(self, since: Version, until: Version, selection: Selection) -> Iterator[pyarrow.RecordBatch]:
        """Read the rows that were written after one version and until another, in their newest form.

        Raises:
            LakeError: The format does not tell which rows a commit wrote.
        """
        raise LakeError(
            f"since: the format does not tell which rows were written after {since.name} and until {until.name}, "
            f"only Hudi does; read all versions with `history: true`, or filter {', '.join(selection.columns)}"
        )
