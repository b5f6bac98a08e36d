"""Finds and ends Redis servers that run in a folder, whether or not anything still says how to reach them."""

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
    """The process ids of the servers whose working folder is this one, also if it was deleted under them.

    Only Linux tells; elsewhere there are none, and the lock that a server holds keeps a second one out.
    """
    place = os.fsencode(os.path.realpath(folder))
    pids = [int(each.name) for each in _PROCESSES.iterdir() if each.name.isdigit()] if _PROCESSES.is_dir() else []
    return [pid for pid in pids if _is_server_in(_PROCESSES / str(pid), place)]


def _is_server_in(process: Path, place: bytes) -> bool:
    try:
        where = os.fsencode((process / "cwd").readlink())
        return where in (place, place + b" (deleted)") and any(
            kind in (process / "comm").read_text(errors="replace") for kind in _KINDS
        )
    except OSError:  # it has ended meanwhile, or is another user's
        return False


def end(pid: int, *, log: Path, ask: Callable[[], None] | None = None) -> None:
    """End a server, its data saved; `ask` does so in its own protocol.

    Raises:
        OnlineStoreError: It does not end.
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
