"""Progress bars, on a terminal and in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from feature_sync.printable import printable


@contextmanager
def progress_bars(unit: str = "rows") -> Iterator[Callable[[str, int], None]]:
    """Show the progress of each task in a notebook, or on stderr if it is a terminal; nothing elsewhere.

    Yields what to call with a task's name and the number of `unit` done so far: `FeatureStore.push` and `verify` take
    it as `progress`.

    >>> with progress_bars() as progress:                                   # doctest: +SKIP
    ...     store.push(progress=progress)
    """
    if not sys.stderr.isatty() and "IPython" not in sys.modules:
        yield lambda name, done: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,} {task.fields[unit]}"))
    is_seen = console.is_jupyter or console.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not is_seen) as progress:
        tasks: dict[str, Any] = {}

        def update(name: str, done: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(escape(printable(name)), total=None, unit=unit)
            progress.update(tasks[name], completed=done)

        yield update
