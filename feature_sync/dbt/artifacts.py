"""Reads the JSON files that dbt writes, whole or not at all: dbt writes them in place, and may be at it."""

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
    """The file ends too early, or holds what is no JSON: dbt may be writing it."""


def decode_artifact(path: Path, kind: type[Decoded], *, cure: str = _BUILD_AGAIN) -> Decoded:
    """Read one of dbt's JSON files as a struct; the cure says how to get a good one.

    dbt writes them in place: one that is cut off and young is read again for a second.

    Raises:
        ProjectError: The file is missing, cut off, or of another shape.
    """
    deadline = time.monotonic() + _SECONDS_TO_WRITE
    while True:
        try:
            return decode(_read(path), kind, path, cure=cure)
        except _CutOff:
            if not _is_young(path) or time.monotonic() > deadline:
                raise
            time.sleep(_SECONDS_BETWEEN_TRIES)


def _is_young(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < _SECONDS_TO_WRITE
    except OSError:
        return True  # it is being replaced


def decode(content: bytes, kind: type[Decoded], path: Path, *, node: str = "", cure: str = _BUILD_AGAIN) -> Decoded:
    """Read JSON as a struct; an error names the file and, where there is one, the node.

    Raises:
        ProjectError: It is cut off, of another shape, or nests too deep.
    """
    where = f"{path}: {node}" if node else str(path)
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as unexpected:
        raise ProjectError(f"{where} is not what dbt writes: {unexpected}; {cure}") from unexpected
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        raise _CutOff(f"{where} is cut off or no JSON ({broken}); {cure}") from broken
    except RecursionError as deep:
        raise ProjectError(f"{where} nests deeper than can be read; look for such a meta, and {cure}") from deep
