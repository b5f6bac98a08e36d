"""The benchmarks keep running: all contenders but Feast answer alike, on few rows. No time is ever judged here."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import handwritten, quick, timing
from bench.data import Sizes
from bench.engines import Contender, DuckDBEngine, WrongAnswer
from bench.report import Table, Target
from bench.sections import SECTIONS

SCALE = 0.0005
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"


SLOW = (
    "push_history", "push_changes", "push_many", "small_spine", "wide", "late", "frames", "parquet", "index",
    "generation", "scale", "skew",
)  # fmt: skip
"""Sections that have a test in the slow set."""


def _parameter(name):
    return pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())


@pytest.mark.parametrize("name", [_parameter(name) for name in SECTIONS if "feast" not in name])
def test_a_section_compares_its_contenders_and_shows_them(name, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "ROUNDS", 1)  # after the one that warms up and is compared
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


def test_recorded_ratios_are_read_as_they_were_written(tmp_path):
    page = tmp_path / "benchmarks.md"
    text = DOCS.read_text(encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    targets = [Target("a | b, at 1,000 rows", 1.25, 1.3), Target("times faster", 1234, 15, at_least=True)]
    absolute = Target("seconds", 2, 1, is_ratio=False)
    tables = [Table("A | B: 1M rows", (), targets=[*targets, absolute]), Table("C", (), targets=targets)]
    quick.record({"floor": tables, "push": tables}, page)
    quick.record({"push": [Table("C", (), targets=targets[:1])]}, page)
    recorded = {name: value for name, value in quick.read(page).items() if name.section in ("floor", "push")}
    assert recorded == {
        quick.Name("floor", "A | B", "a | b, at 1,000 rows"): 1.25,
        quick.Name("floor", "A | B", "times faster"): 1234,
        quick.Name("floor", "C", "a | b, at 1,000 rows"): 1.25,
        quick.Name("floor", "C", "times faster"): 1234,
        quick.Name("push", "C", "a | b, at 1,000 rows"): 1.25,
    }
    begin, end = "## The quick ratios", "## The machine"
    written = page.read_text(encoding="utf-8")
    assert written.partition(begin)[0] == text.partition(begin)[0]
    assert written.partition(end)[2] == text.partition(end)[2]


@pytest.mark.parametrize(
    ("value", "at_least", "is_worse"), [(2.6, False, False), (2.7, False, True), (1.6, True, False), (1.4, True, True)]
)
def test_a_ratio_is_marked_that_is_worse_by_more_than_a_third(value, at_least, is_worse, tmp_path):
    page = tmp_path / "benchmarks.md"
    page.write_text(DOCS.read_text(encoding="utf-8"), encoding="utf-8")
    quick.record({"floor": [Table("", (), targets=[Target("a goal", 2, 1)])]}, page)
    run = {"floor": [Table("", (), targets=[Target("a goal", value, 1, at_least=at_least), Target("new", 9, 1)])]}
    known, new = quick.compare(run, page)
    assert known.is_worse is is_worse
    assert ("WORSE" in str(known)) is is_worse
    assert (new.recorded, new.is_worse) == (None, False)
