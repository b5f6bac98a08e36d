"""Results as tables: on the terminal, as Markdown for the docs, and as JSON for machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable


@dataclass(frozen=True)
class Target:
    """What a figure should be: at most, or at least, a limit."""

    text: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure keeps the limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        bound = "at least" if self.at_least else "at most"
        return f"{self.text}: {number(self.value)} ({bound} {number(self.limit)}), {'met' if self.is_met else 'MISSED'}"


@dataclass
class Table:
    """One table of results with its targets."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """Add a row."""
        self.rows.append(tuple(str(cell) for cell in cells))

    def print(self, console: Console) -> None:
        """Show the table on a terminal."""
        shown = RichTable(title=self.title, title_justify="left", box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for at, name in enumerate(self.columns):
            shown.add_column(name, justify="left" if at == 0 else "right")
        for row in self.rows:
            shown.add_row(*row)
        console.print(shown)
        for target in self.targets:
            console.print(f"  {target}", style="green" if target.is_met else "bold red")
        for note in self.notes:
            console.print(f"  {note}")
        console.print()

    def markdown(self) -> str:
        """Write the table for the docs."""
        lines = [f"### {self.title}", "", f"| {' | '.join(self.columns)} |"]
        lines.append("| --- " + "| ---: " * (len(self.columns) - 1) + "|")
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        said = [*(str(target) for target in self.targets), *self.notes]
        return "\n".join([*lines, "", *(f"- {each}" for each in said), ""] if said else [*lines, ""])

    def facts(self) -> dict[str, Any]:
        """Return the table for machines."""
        targets = [
            {"text": each.text, "value": each.value, "limit": each.limit, "is_met": each.is_met}
            for each in self.targets
        ]
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "targets": targets, "notes": self.notes}


def seconds(value: float, limit: float | None = None) -> str:
    """Write a time; one that did not end is more than its limit."""
    if value == float("inf"):
        return f"> {limit:g} s"
    return f"{value:.2f} s"


def times(value: float) -> str:
    """Write a ratio."""
    return "" if value != value else ("> " if value == float("inf") else "") + f"{value:.2f} ×"  # noqa: PLR0124 - NaN


def number(value: float) -> str:
    """Write a figure with as many digits as it deserves."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"  # noqa: PLR2004 - three digits are enough
