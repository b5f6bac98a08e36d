"""Runs driver calls so that signals interrupt them: Python handles a signal only while its main thread runs Python."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from threading import current_thread, main_thread
from typing import TypeVar

Result = TypeVar("Result")
_SECONDS_BETWEEN_TRIES = 0.05


def run(work: Callable[[], Result], *, interrupt: Callable[[], None]) -> Result:
    """Run `work` in a thread of its own while the main thread waits; an exception raised by a signal interrupts it.

    Other threads than the main one receive no signals, and run `work` themselves.

    Args:
        work: The call of the driver; fails when it is interrupted.
        interrupt: Interrupts the driver's query; safe to call from another thread, again and again.

    Raises:
        BaseException: What `work` raised, or what the signal raised, such as KeyboardInterrupt, after `work` ended.
    """
    if current_thread() is not main_thread():
        return work()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        try:
            return running.result()
        except BaseException:
            while not running.done():  # again and again: an interrupt before the query has started is lost
                interrupt()
                wait([running], timeout=_SECONDS_BETWEEN_TRIES)
            raise
