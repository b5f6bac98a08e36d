"""Printing that all commands share: tables and JSON on stdout, progress on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feature_sync.json_text import write_document
from feature_sync.printable import printable

Cell: TypeAlias = str | tuple[str, ...]
"""The content of a table cell: one text, or several lines."""
_WIDE = 200
_KILO = 1_000


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, headed: bool = True, right: Sequence[int] = ()
) -> None:
    """Print a table; nothing if it has no rows.

    Args:
        columns: Column headings.
        rows: One cell for each column.
        headed: Print the headings.
        right: Positions of the columns to align right, from 0.
    """
    table = Table(show_header=headed, box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for at, name in enumerate(columns):
        table.add_column(name, justify="right" if at in right else "left", overflow="fold", no_wrap=at == 0)
    for row in rows:
        table.add_row(*map(cell_text, row))
    if table.rows:
        page = console()
        page.print(table)
        page.print()


def print_json(document: Mapping[str, Any]) -> None:
    """Print the JSON document of a command."""
    click.echo(write_document(document), nl=False)


def console() -> Console:
    """Return a console on stdout; in a pipe or file, lines are `_WIDE` columns wide whatever the terminal."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDE)


def cell_text(cell: Cell) -> Text:
    """Return a cell without markup, with control characters escaped."""
    return Text("\n".join(map(printable, cell)) if isinstance(cell, tuple) else printable(str(cell)))


def format_value(value: Any) -> str:
    """Write a value for the terminal: None is empty; a datetime with a zone is in UTC and ends with Z."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        text = value.replace(tzinfo=None).isoformat(sep=" ")
        return f"{text}Z" if value.tzinfo else text
    return str(value)


def size(count: float) -> str:
    """Write a number of bytes in B, kB, MB or GB (powers of 1,000)."""
    for unit in ("B", "kB", "MB"):
        if count < _KILO:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KILO
    return f"{count:.1f} GB"
