"""Tables and JSON on stdout, progress on stderr: what all commands print by."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeAlias

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feature_sync.json_text import write_document
from feature_sync.printable import printable

Cell: TypeAlias = str | tuple[str, ...]
"""What stands in a cell: a text, or several lines."""
_WIDE = 200
_KILO = 1_000


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, headed: bool = True, right: Sequence[int] = ()
) -> None:
    """Print a table, unless it has no rows."""
    table = Table(show_header=headed, box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for at, name in enumerate(columns):
        table.add_column(name, justify="right" if at in right else "left", overflow="fold", no_wrap=at == 0)
    for row in rows:
        table.add_row(*map(shown, row))
    if table.rows:
        page = console()
        page.print(table)
        page.print()


def print_json(document: Mapping[str, Any]) -> None:
    """Print the JSON document of a command."""
    click.echo(write_document(document), nl=False)


def console() -> Console:
    """Write to stdout; into a pipe or file, lines are never wrapped to the width of a terminal."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDE)


def shown(cell: Cell) -> Text:
    """Make a cell of what may hold anything."""
    return Text("\n".join(map(printable, cell)) if isinstance(cell, tuple) else printable(str(cell)))


def show(value: Any) -> str:
    """Write a value as a person reads it; moments are in UTC."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        text = value.replace(tzinfo=None).isoformat(sep=" ")
        return f"{text}Z" if value.tzinfo else text
    return str(value)


def size(count: float) -> str:
    """Write a number of bytes in a unit that a person reads."""
    for unit in ("B", "kB", "MB"):
        if count < _KILO:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KILO
    return f"{count:.1f} GB"


@contextmanager
def progress_bars(unit: str) -> Iterator[Callable[[str, int], None]]:
    """Show on stderr how far each task is, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda name, done: None
        return
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,} {task.fields[unit]}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def update(name: str, done: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(escape(printable(name)), total=None, unit=unit)
            progress.update(tasks[name], completed=done)

        yield update
