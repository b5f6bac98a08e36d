"""Files that people give and get: what is written is whole or not there."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feature_sync.errors import OutputError, ProjectError

_LONGEST_START = 40  # of a name, which may be as long as names can be


@contextmanager
def whole_file(path: Path, *, keeps_rights: bool = False) -> Iterator[Path]:
    """Lend a temporary path beside a file, and put it in the file's place at the end; a failure leaves nothing.

    The file is as open as the umask says, and no more than one that it replaces, whose rights `keeps_rights` leaves as
    they are.

    Raises:
        OutputError: The file cannot be written.
    """
    with writing(path):
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is a folder or a device; name a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial, mode = _new_file(path, keeps_rights=keeps_rights)
    try:
        yield partial
        with writing(path):
            partial.chmod(mode)
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file that is written, should the system refuse."""
    try:
        yield
    except OSError as refused:
        raise OutputError(f"{path} cannot be written: {refused.strerror or refused}") from refused


def _new_file(path: Path, *, keeps_rights: bool) -> tuple[Path, int]:
    """Make an empty file beside another, with the rights that it shall have in the end.

    Its name cannot be foreseen, and nothing may stand there yet: a link that is laid for us would lead elsewhere.
    """
    partial = path.with_name(f".{path.name[:_LONGEST_START]}.{secrets.token_hex(8)}.partial")
    most = stat.S_IMODE(path.stat().st_mode) & 0o777 if path.exists() else 0o666
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(partial, flags, most | 0o600)
    try:
        made = stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
    return partial, most if keeps_rights and path.exists() else most & made


def read_text(path: Path) -> str:
    """Read a text file, the ends of its lines as they are.

    Raises:
        ProjectError: The file cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as refused:
        raise ProjectError(f"{path} cannot be read: {refused.strerror or refused}") from refused
    except UnicodeDecodeError as foreign:
        raise ProjectError(f"{path} is not UTF-8, as dbt wants it") from foreign


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; the ends of its lines and its rights stay as they are.

    Raises:
        OutputError: The file cannot be written.
    """
    with whole_file(path, keeps_rights=True) as partial, writing(path):
        partial.write_bytes(text.encode("utf-8"))
