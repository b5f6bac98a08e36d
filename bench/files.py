"""Answers as Parquet files, from whatever process wrote them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import duckdb

from bench.engines import WrongAnswer


def check_same(answers: list[Path], columns: str = "*") -> None:
    """Compare answers, row by row.

    Raises:
        WrongAnswer: Two differ, or one is empty.
    """
    for path in answers:
        if not duckdb.read_parquet(str(path)).limit(1).fetchall():
            raise WrongAnswer(f"{path.name} is empty")
    for one, two in pairwise(answers):
        first, second = (f"(select {columns} from read_parquet('{path}'))" for path in (one, two))
        rows = f"(from {first} except all from {second}) union all (from {second} except all from {first})"
        differing = duckdb.sql(f"select count(*) from ({rows})").fetchall()[0][0]
        if differing:
            raise WrongAnswer(f"{differing:,} rows differ between {one.name} and {two.name}")
