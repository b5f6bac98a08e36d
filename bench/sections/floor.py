"""DuckDB: one and five views against the ASOF join that people write by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import handwritten
from bench.data import Sizes
from bench.engines import Contender, DuckDBEngine, duckdb_file
from bench.product import Question
from bench.report import Table, Target, number, seconds, times

_HIGHEST = 1.2
_KINDS = {False: "proven unique, plain ASOF", True: "with ties, de-duplicated ASOF"}


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Time feature-sync against the floor, where timestamps are proven unique and where they are tied."""
    sizes = Sizes.scaled(scale, spine=1_000_000, rows=10_000_000, depth=100)
    table = Table(f"DuckDB: {sizes}", ("keys and timestamps, by hand", "views", "by hand", "feature-sync", "ratio"))
    table.notes.append(
        "With ties, every eighth row of an entity repeats a timestamp. By hand, all rows are sorted to remove them; "
        "feature-sync sorts those rows alone whose timestamp answers."
    )
    for has_ties, kind in _KINDS.items():
        with duckdb_file(folder) as path:
            engine = DuckDBEngine(path)
            engine.make(sizes, 5, has_ties=has_ties)
            for views in (1, 5):
                by_hand = (handwritten.asof_of_distinct if has_ties else handwritten.asof)(range(views))
                ours = Question(adapter="duckdb", views=views, is_unique=not has_ties).sql()
                took = engine.race({"by hand": Contender(by_hand), "ours": Contender(ours)})
                ratio = times(took["ours"], took["by hand"])
                table.add(kind, str(views), seconds(took["by hand"]), seconds(took["ours"]), f"{number(ratio)} ×")
                table.targets.append(Target(f"{kind}, views: {views}, times the one by hand", ratio, _HIGHEST))
            engine.close()
    yield table
