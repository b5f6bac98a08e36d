"""A bench of a few minutes: goals that are ratios, on few rows, beside those that docs/benchmarks.md records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.report import Table, Target, number

SCALES = {
    "floor": 0.05,
    "depth": 0.01,
    "inequality": 0.05,
    "small_spine": 0.1,
    "wide": 0.1,
    "late": 0.1,
    "index": 0.2,
    "generation": 0.5,
    "frames": 0.1,
    "extract": 0.01,
    "parquet": 0.05,
    "push": 0.05,
    "push_changes": 0.02,
    "push_many": 0.2,
    "push_history": 0.1,
    "push_memory": 0.005,
}
"""The sections that take part, and the share of their rows. Serving and Feast need minutes however few there are."""
_BEGIN = "<!-- What follows is written by `python -m bench --quick --write-docs`. -->\n"
_END = "<!-- The quick ratios end here. -->\n"
_HEAD = "| section | table | goal | ratio |\n| --- | --- | --- | ---: |\n"
_TOLERATED = 4 / 3


@dataclass(frozen=True, order=True)
class Name:
    """What a ratio is found by: the section, the title of its table as far as a colon, and the text of the goal."""

    section: str
    table: str
    goal: str


@dataclass(frozen=True)
class Compared:
    """A goal's ratio beside the recorded one, which is None where none was."""

    name: Name
    target: Target
    recorded: float | None

    @property
    def is_worse(self) -> bool:
        """Whether it is worse by more than a third."""
        if self.recorded is None:
            return False
        if self.target.at_least:
            return self.target.value * _TOLERATED < self.recorded
        return self.target.value > self.recorded * _TOLERATED

    def __str__(self) -> str:
        recorded = "not recorded" if self.recorded is None else f"recorded {number(self.recorded)}"
        mark = "  <-- WORSE" if self.is_worse else ""
        return f"{self.name.table}: {self.name.goal}: {number(self.target.value)} ({recorded}){mark}"


def compare(tables: Mapping[str, Iterable[Table]], path: Path) -> list[Compared]:
    """Set the ratios of a run beside those of the docs."""
    recorded = read(path)
    return [Compared(name, target, recorded.get(name)) for name, target in _ratios(tables).items()]


def record(tables: Mapping[str, Iterable[Table]], path: Path) -> None:
    """Put the ratios of the sections that ran into the docs; those of other sections stay."""
    before, _, after = _split(path)
    kept = {name: value for name, value in read(path).items() if name.section not in tables}
    ratios = kept | {name: target.value for name, target in _ratios(tables).items()}
    ordered = sorted(ratios.items(), key=lambda each: [*SCALES].index(each[0].section))
    cells = ((name.section, name.table, name.goal, number(value)) for name, value in ordered)
    rows = "".join(f"| {' | '.join(_escaped(cell) for cell in row)} |\n" for row in cells)
    path.write_text(f"{before}{_BEGIN}\n{_HEAD}{rows}\n{_END}{after}", encoding="utf-8")


def read(path: Path) -> dict[Name, float]:
    """Read the ratios that the docs record; sections that no longer take part are left out.

    Raises:
        ValueError: The page lacks the marks between which they stand.
    """
    table = _split(path)[1].strip().splitlines()
    rows = [line.removeprefix("| ").removesuffix(" |").replace("\\|", "\0").split(" | ") for line in table[2:]]
    return {
        Name(section, title.replace("\0", "|"), goal.replace("\0", "|")): float(value.replace(",", ""))
        for section, title, goal, value in rows
        if section in SCALES
    }


def _ratios(tables: Mapping[str, Iterable[Table]]) -> dict[Name, Target]:
    ratios: dict[Name, Target] = {}
    for section, some in tables.items():
        for table in some:
            title = table.title.partition(":")[0]
            for target in (each for each in table.targets if each.is_ratio):
                name = Name(section, title, target.text)
                if name in ratios:
                    raise ValueError(f"two goals have one name, {name}")
                ratios[name] = target
    return ratios


def _split(path: Path) -> tuple[str, str, str]:
    before, begin, rest = path.read_text(encoding="utf-8").partition(_BEGIN)
    table, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the lines {_BEGIN}and {_END}")
    return before, table, after


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
