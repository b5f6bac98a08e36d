"""DuckDB: a few rows asked of many, the whole time of a training set to an Arrow table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from bench import handwritten
from bench.arrow import by_hand, race_tables
from bench.data import Sizes, short
from bench.engines import DuckDBEngine, duckdb_file
from bench.product import Question
from bench.report import Table, Target, number, seconds

_SPINE = 1_000
_ROWS = (1_000_000, 4_000_000, 16_000_000)
_DEPTH = 100
_HIGHEST = 1.3


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Ask with a thousand rows, and with one row for each entity of a view."""
    table = Table(
        f"DuckDB, small spines, to an Arrow table: {_DEPTH} rows an entity, proven unique",
        ("spine × rows", "ASOF by hand", "ASOF of the spine's entities", "feature-sync", "times the better one"),
    )
    for rows in _ROWS:
        size = Sizes.scaled(scale, spine=1, rows=rows, depth=_DEPTH)
        _add(table, folder, Sizes(min(_SPINE, size.entities), size.rows, _DEPTH))
    size = Sizes.scaled(scale, spine=1, rows=_ROWS[1], depth=_DEPTH)
    _add(table, folder, Sizes(size.entities, size.rows, _DEPTH), note=", all entities")
    table.notes.append("By hand and by feature-sync, each opens the file anew and returns all rows as an Arrow table.")
    yield table


def _add(table: Table, folder: Path, sizes: Sizes, note: str = "") -> None:
    with duckdb_file(folder) as path:
        with closing(DuckDBEngine(path)) as engine:
            engine.make(sizes, 1)
        question = Question(adapter="duckdb", views=1, is_unique=True)
        took = race_tables(
            {
                "all": partial(by_hand, str(path), handwritten.asof([0])),
                "few": partial(by_hand, str(path), handwritten.asof_of_few()),
                "ours": lambda: question.training_set(str(path)).to_arrow(),
            }
        )
    ratio = took["ours"].seconds / min(took["all"].seconds, took["few"].seconds)
    name = f"{short(sizes.spine)} × {short(sizes.rows)}{note}"
    table.add(name, *(seconds(took[key]) for key in ("all", "few", "ours")), f"{number(ratio)} ×")
    table.targets.append(Target(f"{name}, times the better one by hand", ratio, _HIGHEST))
