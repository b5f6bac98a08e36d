"""Cost against history depth: the same number of rows, shared by fewer and fewer entities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import handwritten, product
from bench.data import Sizes
from bench.engines import DuckDBEngine, PostgresEngine, postgres_server
from bench.report import Table, Target, seconds
from bench.timing import race

_DEPTHS = (10, 100, 1_000, 10_000)
_LIMIT = 1.5
_PEER_LIMIT = 120


def tables(folder: Path, *, scale: float) -> Iterator[Table]:
    """Time each warehouse at each depth; the inequality join shows what history costs elsewhere."""
    yield _on_duckdb(folder, scale)
    yield from _on_postgres(folder, scale)


def _on_duckdb(folder: Path, scale: float) -> Table:
    spine, rows = round(1_000_000 * scale), round(10_000_000 * scale)
    engine = DuckDBEngine(folder / "depth.duckdb")
    contenders = {
        "asof, unique": product.query([0], adapter="duckdb", is_unique=True),
        "asof": product.query([0], adapter="duckdb"),
    }
    peers = {"ASOF by hand": handwritten.asof([0])}
    slow = {"inequality": handwritten.inequality([0])}
    table = _table("DuckDB", spine, rows, (*contenders, *peers, *slow), contenders, lambda sizes: engine.make(sizes, 1), {**contenders, **peers}, slow, engine)
    engine.close()
    (folder / "depth.duckdb").unlink()
    return table


def _on_postgres(folder: Path, scale: float) -> Iterator[Table]:
    spine, rows = round(100_000 * scale), round(2_000_000 * scale)
    with postgres_server(folder) as uri:
        engine = PostgresEngine(uri)
        for indexed in (True, False):
            name = "lateral" if indexed else "carry"
            contenders = {name: product.query([0], adapter="postgres", is_indexed=indexed)}
            slow = {"inequality": handwritten.inequality([0])}
            where = "PostgreSQL, with the index" if indexed else "PostgreSQL, without an index"
            yield _table(where, spine, rows, (*contenders, *slow), contenders, lambda sizes, indexed=indexed: engine.make(sizes, 1, indexed=indexed), contenders, slow, engine)
        engine.close()
