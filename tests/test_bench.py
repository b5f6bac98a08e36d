"""The benchmarks keep running: all contenders but Feast answer alike, on few rows. No time is ever judged here."""

from __future__ import annotations

import pytest

from bench import handwritten
from bench.data import Sizes
from bench.engines import Contender, DuckDBEngine, WrongAnswer
from bench.sections import SECTIONS

SCALE = 0.0005


SLOW = ("push_history", "push_changes", "push_many", "small_spine", "wide", "late", "index", "generation")
"""Sections that have a test in the slow set."""


def _parameter(name):
    return pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())


@pytest.mark.parametrize("name", [_parameter(name) for name in SECTIONS if "feast" not in name])
def test_a_section_compares_its_contenders_and_shows_them(name, tmp_path):
    for table in SECTIONS[name](tmp_path, SCALE):
        assert table.rows
        assert table.targets
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_contenders_that_do_not_agree_are_not_timed(tmp_path):
    engine = DuckDBEngine(tmp_path / "tables.duckdb")
    engine.make(Sizes(100, 1_000, 10), 1)
    right, wrong = handwritten.asof([0]), f"{handwritten.asof([0])} where row_id > 0"
    with pytest.raises(WrongAnswer, match="1 rows differ"):
        engine.race({"right": Contender(right), "wrong": Contender(wrong)})
    engine.close()
