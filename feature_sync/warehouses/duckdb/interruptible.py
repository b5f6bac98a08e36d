"""Calls of drivers that do not hear signals: Python tells the main thread of one only when it runs Python again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from threading import current_thread, main_thread
from typing import TypeVar

Result = TypeVar("Result")
_SECONDS_BETWEEN_TRIES = 0.05


def run(work: Callable[[], Result], *, interrupt: Callable[[], None]) -> Result:
    """Run `work` in a thread of its own while the main thread waits; whatever a signal raises there calls `interrupt`.

    Other threads are told of no signals, and run `work` themselves.
    """
    if current_thread() is not main_thread():
        return work()
    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(work)
        try:
            return running.result()
        except BaseException:
            while not running.done():  # an interrupt that comes before there is a query is lost
                interrupt()
                wait([running], timeout=_SECONDS_BETWEEN_TRIES)
            raise
