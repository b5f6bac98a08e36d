"""The time to write the SQL of a training set, of more and more views. No warehouse is asked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.engines import WrongAnswer
from bench.product import Question
from bench.report import Table, Target, number, seconds, times
from bench.timing import Run, clock, race

_VIEWS = (50, 100, 200)
_HIGHEST_SECONDS = 1
_HIGHEST_GROWTH = 5
_KINDS = {
    "PostgreSQL, with an index": ("postgres", True),
    "PostgreSQL, without an index": ("postgres", False),
    "DuckDB": ("duckdb", False),
    "BigQuery": ("bigquery", False),
}


def tables(folder: Path, scale: float) -> Iterator[Table]:  # noqa: ARG001 - nothing is written
    """Write the SQL for each warehouse; a scale below 1 makes fewer views."""
    counts = [max(1, round(views * min(scale, 1))) for views in _VIEWS]
    table = Table(
        "The SQL of a training set, written",
        ("", *(f"{views} views" for views in counts), f"{counts[-1]} ÷ {counts[0]} views"),
    )
    for name, (adapter, is_indexed) in _KINDS.items():
        asked = [Question(adapter=adapter, views=views, is_indexed=is_indexed) for views in counts]
        took = race({place: partial(_write, each) for place, each in enumerate(asked)}, check=partial(_check, asked))
        growth = times(took[len(counts) - 1], took[0])
        table.add(name, *(seconds(took[place]) for place in took), f"{number(growth)} ×")
        if adapter == "postgres":
            longest = took[len(counts) - 1].seconds
            label = f"{name}, {counts[-1]} views, seconds"
            table.targets.append(Target(label, longest, _HIGHEST_SECONDS, is_ratio=False))
        label = f"{name}, {counts[-1]} views, times {counts[0]}"
        table.targets.append(Target(label, growth, _HIGHEST_GROWTH))
    yield table


def _write(question: Question) -> Run:
    return clock(question.sql)


def _check(asked: list[Question], ended: list[int]) -> None:
    """Hold that the same definitions give the same text, which names every view.

    Raises:
        WrongAnswer: They do not.
    """
    for question in (asked[place] for place in ended):
        text = question.sql()
        if text != question.sql() or any(f"view_{number}" not in text for number in range(question.views)):
            raise WrongAnswer(f"the SQL of {question} is not the same twice, or leaves out a view")
