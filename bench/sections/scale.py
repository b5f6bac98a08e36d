"""Whether the time of a training set grows as its rows do: on DuckDB, and on Sail by the strategy of clusters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.connect import connect_engine
from bench.data import Sizes, short
from bench.engines import Contender, DuckDBEngine, duckdb_file
from bench.product import Question
from bench.report import Table, Target, number

_ROWS = (1_000_000, 10_000_000, 50_000_000)
_DEPTH, _ROWS_PER_QUESTION, _ROUNDS = 100, 20, 3
_MOST = 1.5


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Time growing views of 100 rows an entity, with a spine of one in 20 of their rows."""
    sizes = [Sizes.scaled(scale, spine=rows // _ROWS_PER_QUESTION, rows=rows, depth=_DEPTH) for rows in _ROWS]
    with duckdb_file(folder) as path:
        yield _table("DuckDB", sizes, list(_on_duckdb(path, sizes)))
    with connect_engine("Sail", folder) as engine:
        took = []
        for size in sizes:
            engine.make(size)
            took.append(median(engine.seconds() for _ in range(_ROUNDS)))
        yield _table("Sail", sizes, took)


def _on_duckdb(path: Path, sizes: list[Sizes]) -> Iterator[float]:
    engine = DuckDBEngine(path)
    for size in sizes:
        engine.make(size, 1)
        yield engine.race({"ours": Contender(Question(adapter="duckdb", views=1).sql())})["ours"].seconds
    engine.close()


def _table(name: str, sizes: list[Sizes], took: list[float]) -> Table:
    table = Table(f"{name}: as rows grow", ("rows of history", "rows of the spine", "seconds", "s per million rows"))
    for size, seconds in zip(sizes, took, strict=True):
        table.add(short(size.rows), short(size.spine), f"{seconds:.2f}", f"{seconds / size.rows * 1e6:.3f}")
    # The smallest has the fixed costs of a query, which make it slower a row.
    per_row = [seconds / size.rows for size, seconds in zip(sizes, took, strict=True)]
    growth = per_row[-1] / per_row[-2]
    table.targets.append(
        Target(f"{name}: time a row, {number(_ROWS[-1] / _ROWS[-2])} times the rows ÷ before", growth, _MOST)
    )
    return table
