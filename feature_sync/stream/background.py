"""Work in a thread that does not outlive the process: the main thread waits for it, and a signal ends the wait."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Background:
    """One thread that runs what it is given, in order. Libraries that block in C would hold up signals elsewhere."""

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        Thread(target=self._run, daemon=True).start()

    def submit(self, work: Callable[[], Answer]) -> Future[Answer]:
        """Run a function; returns where its result, or its exception, will be."""
        future: Future[Answer] = Future()
        self._work.put((future, work))
        return future

    def end(self) -> None:
        """End the thread after what it was given, without waiting for it."""
        self._work.put(None)

    def _run(self) -> None:
        while (given := self._work.get()) is not None:
            future, work = given
            try:
                future.set_result(work())
            except BaseException as failed:  # noqa: BLE001 - it is raised where the result is asked for
                future.set_exception(failed)


def in_background(work: Callable[[], Answer], *, seconds: float | None = None) -> Answer:
    """Run a function in a thread, and wait for it; a signal ends the wait.

    Raises:
        TimeoutError: It has not ended within so many seconds; it goes on.
    """
    thread = Background()
    future = thread.submit(work)
    thread.end()
    return future.result(seconds)
