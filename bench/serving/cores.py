"""Cores for the client and for servers: badly placed, a short request takes three times as long."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def apart(servers: Iterable[Any]) -> Iterator[None]:
    """Keep this process on one core and servers on the others; does nothing with one core, or elsewhere than on Linux.

    On one core with the server, the scheduler hands over without waking another core: 20 µs for a vector, and 55 µs
    on two cores of a virtual machine. Left alone it chooses anew in each run.

    Args:
        servers: Clients of Redis servers on this machine.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    pids = [each.info("server")["process_id"] for each in servers]
    if len(cores) < 2:  # noqa: PLR2004
        yield
        return
    for pid in pids:
        _pin(pid, cores[1:])
    os.sched_setaffinity(0, cores[:1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        for pid in pids:
            _pin(pid, cores)


def _pin(pid: int, cores: list[int]) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)
