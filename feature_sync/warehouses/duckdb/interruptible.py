"""Runs driver calls so that signals interrupt them: Python handles a signal only while its main thread runs Python."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread, current_thread, main_thread
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
    running: Future[Result] = Future()
    try:  # begins before the thread does: a signal may come while it starts
        Thread(target=_settle, args=(running, work)).start()
        return running.result()
    except BaseException:
        if not running.cancel():  # it has begun
            _end(running, interrupt)
        raise


def _settle(running: Future[Result], work: Callable[[], Result]) -> None:
    """Do the work, unless it was cancelled before it began."""
    if not running.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - raised again by `run`
        running.set_exception(error)
    else:
        running.set_result(result)


def _end(running: Future[Result], interrupt: Callable[[], None]) -> None:
    """Interrupt until the work has ended: again and again, since an interrupt before the query has started is lost."""
    while not running.done():
        try:
            interrupt()
            wait([running], timeout=_SECONDS_BETWEEN_TRIES)
        except KeyboardInterrupt:  # one more Ctrl-C; a connection that is busy could not be closed
            continue
