"""DuckDB: rows that became known later than they happened, against a query by hand and a floor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bench import handwritten
from bench.data import Sizes, short
from bench.engines import Contender, DuckDBEngine, duckdb_file
from bench.product import Question
from bench.report import Table, Target, number, seconds, times
from bench.timing import Run

_SPINE = 200_000
_ROWS = (2_000_000, 8_000_000)
_DEPTH = 100
_HIGHEST_GROWTH = 5
_FLOOR = "floor"


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Time so many rows, and four times as many."""
    table = Table(
        f"DuckDB, rows known late: {_DEPTH} rows an entity, proven unique",
        ("spine × rows", "ASOF, whenever known", "by hand", "feature-sync", "times the one by hand"),
    )
    ours = []
    for rows in _ROWS:
        size = Sizes.scaled(scale, spine=_SPINE, rows=rows, depth=_DEPTH)
        took = _race(folder, Sizes(size.spine, size.rows, _DEPTH, is_late=True))
        ratio = times(took["ours"], took["by hand"])
        cells = (seconds(took[key]) for key in (_FLOOR, "by hand", "ours"))
        table.add(f"{short(size.spine)} × {short(size.rows)}", *cells, f"{number(ratio)} ×")
        ours.append(took["ours"])
    growth = times(ours[1], ours[0])
    table.targets.append(Target("Four times the rows, times as long", growth, _HIGHEST_GROWTH))
    table.notes.append(
        "The ASOF join that does not ask when rows became known answers another question: it is a floor."
    )
    yield table


def _race(folder: Path, sizes: Sizes) -> dict[str, Run]:
    with duckdb_file(folder) as path, closing(DuckDBEngine(path)) as engine:
        engine.make(sizes, 1)
        engine.execute(f"create schema {_FLOOR}")  # answers are compared within a schema, and these differ
        for name in ("spine", "view_0"):
            engine.execute(f"create view {_FLOOR}.{name} as select * from bench.{name}")
        question = Question(adapter="duckdb", views=1, is_unique=True, is_late=True)
        return engine.race(
            {
                _FLOOR: Contender(handwritten.asof([0]), _FLOOR),
                "by hand": Contender(handwritten.asof_of_running_newest()),
                "ours": Contender(question.sql()),
            }
        )
