"""Reads and writes the user's files; a write is atomic: a file is complete or absent."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feature_sync.errors import OutputError, ProjectError

_LONGEST_START = 40  # of the target's name, which may be as long as the file system allows already


@contextmanager
def whole_file(path: Path, *, keeps_permissions: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside a file, and rename it to the file at the end; a failure leaves nothing behind.

    The permissions are those of the umask, and never wider than those of a file that it replaces.

    Args:
        path: The file to write. Missing folders above it are made.
        keeps_permissions: Give the new file exactly the permissions of the one that it replaces.

    Raises:
        OutputError: The file cannot be written.
    """
    with writing(path):
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is a folder or a device; name a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial, mode = _new_file(path, keeps_permissions=keeps_permissions)
    try:
        yield partial
        with writing(path):
            partial.chmod(mode)
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate an `OSError` raised inside into an error that names the file.

    Raises:
        OutputError: The block raised `OSError`.
    """
    try:
        yield
    except OSError as refused:
        raise OutputError(f"{path} cannot be written: {refused.strerror or refused}") from refused


def _new_file(path: Path, *, keeps_permissions: bool) -> tuple[Path, int]:
    """Create an empty file beside another; return it and the permissions to give it once it is complete.

    The name is random and the file must not exist yet: an attacker's symbolic link there would redirect the write.
    """
    partial = path.with_name(f".{path.name[:_LONGEST_START]}.{secrets.token_hex(8)}.partial")
    most = stat.S_IMODE(path.stat().st_mode) & 0o777 if path.exists() else 0o666
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(partial, flags, most | 0o600)
    try:
        made = stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
    return partial, most if keeps_permissions and path.exists() else most & made


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with its line ends unchanged.

    Raises:
        ProjectError: The file cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as refused:
        raise ProjectError(f"{path} cannot be read: {refused.strerror or refused}") from refused
    except UnicodeDecodeError as foreign:
        raise ProjectError(f"{path} is not UTF-8, which dbt requires") from foreign


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8, with the text's line ends and the old file's permissions unchanged.

    Raises:
        OutputError: The file cannot be written.
    """
    with whole_file(path, keeps_permissions=True) as partial, writing(path):
        partial.write_bytes(text.encode("utf-8"))
