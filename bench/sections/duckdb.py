"""DuckDB: one and five views against the ASOF join that people write by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import handwritten, product
from bench.data import Sizes
from bench.engines import DuckDBEngine
from bench.report import Table, Target, seconds, times
from bench.timing import race

_LIMIT = 1.2


def tables(folder: Path, *, scale: float) -> Iterator[Table]:
    """Time the product against the floor, where timestamps are unique and where they are tied."""
    sizes = Sizes(round(1_000_000 * scale), round(10_000_000 * scale), 100)
    table = Table(f"DuckDB: {sizes}", ("", "by hand", "feature-sync", "ratio", "inequality + ROW_NUMBER"))
    for has_ties in (False, True):
        engine = DuckDBEngine(folder / "floor.duckdb")
        engine.make(sizes, 5, has_ties=has_ties)
        for views in (1, 5):
            numbers = range(views)
            by_hand = handwritten.asof_of_distinct(numbers) if has_ties else handwritten.asof(numbers)
            ours = product.query(numbers, adapter="duckdb", is_unique=not has_ties)
            engine.check_same(by_hand, ours)
            took = race({"by hand": lambda q=by_hand: engine.run(q), "ours": lambda q=ours: engine.run(q)})
            slow = _inequality(engine) if views == 1 else ""
            ratio = took["ours"] / took["by hand"]
            kind = "de-duplicated ASOF" if has_ties else "ASOF, keys proven unique"
            label = f"{views} view{'s' if views > 1 else ''}, {kind}"
            table.add(label, seconds(took["by hand"]), seconds(took["ours"]), times(ratio), slow)
            table.targets.append(Target(f"{label}: times the hand-written query", ratio, _LIMIT))
        engine.close()
        (folder / "floor.duckdb").unlink()
    yield table


def _inequality(engine: DuckDBEngine) -> str:
    limit = 300
    query = handwritten.inequality([0])
    took = race({"inequality": lambda: engine.run(query, limit=limit)}, rounds=1)
    return seconds(took["inequality"], limit)
