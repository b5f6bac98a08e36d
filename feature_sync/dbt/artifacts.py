"""Reads dbt's JSON artifacts, complete or not at all: dbt writes them in place, and may be writing now."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TypeVar

import msgspec

from feature_sync.errors import ProjectError

_BUILD = "run dbt build"
_BUILD_AGAIN = f"{_BUILD} again"
_SECONDS_TO_WRITE = 1
_SECONDS_BETWEEN_TRIES = 0.05
Decoded = TypeVar("Decoded")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as missing:
        raise ProjectError(f"{path} is missing; {_BUILD} first") from missing
    except OSError as unreadable:
        raise ProjectError(f"{path} cannot be read: {unreadable.strerror}") from unreadable


class _CutOff(ProjectError):
    """The file is truncated or not JSON: dbt may be writing it."""


def decode_artifact(path: Path, kind: type[Decoded], *, cure: str = _BUILD_AGAIN) -> Decoded:
    """Read one of dbt's artifacts as a struct.

    dbt writes them in place: one that is truncated and was just modified is read again, for up to a second.

    Args:
        path: The file.
        kind: The msgspec struct.
        cure: How to get a valid file, for the error.

    Raises:
        ProjectError: The file is missing, truncated, or of another shape.
    """
    deadline = time.monotonic() + _SECONDS_TO_WRITE
    while True:
        try:
            return decode(_read(path), kind, path, cure=cure)
        except _CutOff:
            if not _was_just_modified(path) or time.monotonic() > deadline:
                raise
            time.sleep(_SECONDS_BETWEEN_TRIES)


def _was_just_modified(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < _SECONDS_TO_WRITE
    except OSError:
        return True  # it is being replaced


def decode(content: bytes, kind: type[Decoded], path: Path, *, node: str = "", cure: str = _BUILD_AGAIN) -> Decoded:
    """Decode JSON as a struct.

    Args:
        content: The JSON, in UTF-8.
        kind: The msgspec struct.
        path: The file that holds it, for the error.
        node: The unique id of the node that it describes, for the error; empty for a whole file.
        cure: How to get a valid file, for the error.

    Raises:
        ProjectError: It is truncated, of another shape, or nests too deep.
    """
    where = f"{path}: {node}" if node else str(path)
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as unexpected:
        raise ProjectError(f"{where} is not what dbt writes: {unexpected}; {cure}") from unexpected
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        raise _CutOff(f"{where} is truncated or not JSON ({broken}); {cure}") from broken
    except RecursionError as deep:
        raise ProjectError(f"{where} nests deeper than can be read; find the deeply nested meta, and {cure}") from deep
