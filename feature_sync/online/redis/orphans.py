"""Finds and ends Redis servers that run in a folder, also those that no configuration leads to any more."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from feature_sync.errors import OnlineStoreError

_PROCESSES = Path("/proc")
_KINDS = ("redis", "valkey")
_SECONDS_TO_STOP = 15


def servers_in(folder: Path) -> list[int]:
    """Return the process ids of the servers whose working folder is this one, even if it was deleted since.

    Needs Linux's /proc. Elsewhere the list is empty, and the lock that a server holds prevents a second one.
    """
    path = os.fsencode(os.path.realpath(folder))
    pids = [int(each.name) for each in _PROCESSES.iterdir() if each.name.isdigit()] if _PROCESSES.is_dir() else []
    return [pid for pid in pids if _is_server_in(_PROCESSES / str(pid), path)]


def _is_server_in(process: Path, path: bytes) -> bool:
    try:
        folder = os.fsencode((process / "cwd").readlink())
        return folder in (path, path + b" (deleted)") and any(
            kind in (process / "comm").read_text(errors="replace") for kind in _KINDS
        )
    except OSError:  # it has ended since, or belongs to another user
        return False


def end(pid: int, *, log: Path, ask: Callable[[], None] | None = None) -> None:
    """End a server after it has saved its data.

    Args:
        pid: Its process id.
        log: Its log, for the error message.
        ask: Asks it to shut down in its own protocol; None sends SIGTERM.

    Raises:
        OnlineStoreError: It does not end in time.
    """
    if ask is not None:
        ask()
    elif _is_running(pid):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _SECONDS_TO_STOP
    while _is_running(pid):
        if time.monotonic() > deadline:
            raise OnlineStoreError(f"Redis (process {pid}) does not stop; its log is {log}")
        time.sleep(0.02)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
