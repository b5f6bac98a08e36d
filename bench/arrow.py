"""Answers as Arrow tables in memory: feature-sync's training sets beside queries by hand."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import duckdb
import pyarrow

from bench.engines import WrongAnswer
from bench.timing import Run, clock, race

Key = TypeVar("Key", bound=Hashable)
Ask = Callable[[], pyarrow.Table]


def race_tables(contenders: Mapping[Key, Ask]) -> dict[Key, Run]:
    """Time who returns a table; all tables must hold the same rows.

    Raises:
        WrongAnswer: They do not.
    """
    answers: dict[Key, Any] = {}

    def run(key: Key, ask: Ask) -> Run:
        answers.pop(key, None)
        return clock(lambda: answers.__setitem__(key, ask()))

    def check(ended: list[Key]) -> None:
        check_same([answers[key] for key in ended])

    return race({key: partial(run, key, ask) for key, ask in contenders.items()}, check=check)


def by_hand(where: str, query: str) -> pyarrow.Table:
    """Let DuckDB alone answer, on a connection of its own."""
    with duckdb.connect(where, read_only=True) as connection:
        connection.execute("use bench")
        return connection.sql(query).to_arrow_table()


def check_same(answers: list[pyarrow.Table]) -> None:
    """Compare answers, row by row.

    Raises:
        WrongAnswer: Two differ, or one is empty.
    """
    with duckdb.connect() as connection:
        for one, two in pairwise(answers):
            connection.register("one", one)
            connection.register("two", two)
            rows = "(from one except all from two) union all (from two except all from one)"
            differing = connection.sql(f"select count(*) from ({rows})").fetchall()[0][0]
            if differing or not one.num_rows:
                raise WrongAnswer(f"{differing:,} rows differ between two contenders")
