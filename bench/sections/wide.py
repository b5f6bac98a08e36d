"""DuckDB: views of few and of many features, against the row carried through the join, and against joining back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bench import handwritten
from bench.data import Sizes
from bench.engines import Contender, DuckDBEngine, duckdb_file
from bench.product import FEATURES, Question
from bench.report import Table, Target, number, seconds

_FEATURES = (3, 10, 50, 200)
_KINDS = {False: "proven unique", True: "with ties"}
_HIGHEST = 1.3


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Time views of each width, where timestamps are proven unique and where they are tied."""
    sizes = Sizes.scaled(scale, spine=100_000, rows=1_000_000, depth=100)
    table = Table(
        f"DuckDB, wide views: {sizes}",
        (
            "keys and timestamps",
            "features",
            "ASOF of rows",
            "ASOF, joined back",
            "feature-sync",
            "times the better one",
        ),
    )
    for has_ties, kind in _KINDS.items():
        for count in _FEATURES:
            extras = count - len(FEATURES)
            write = handwritten.asof_of_distinct if has_ties else handwritten.asof
            queries = {
                "rows": write([0], extras),
                "back": handwritten.asof_of_timestamps(extras, has_ties=has_ties),
                "ours": Question(adapter="duckdb", views=1, is_unique=not has_ties, extras=extras).sql(),
            }
            with duckdb_file(folder) as path, closing(DuckDBEngine(path)) as engine:
                engine.make(Sizes(sizes.spine, sizes.rows, sizes.depth, extras=extras), 1, has_ties=has_ties)
                took = engine.race({key: Contender(query) for key, query in queries.items()})
            ratio = took["ours"].seconds / min(took["rows"].seconds, took["back"].seconds)
            table.add(kind, str(count), *(seconds(took[key]) for key in queries), f"{number(ratio)} ×")
            table.targets.append(Target(f"{kind}, features: {count}, times the better one by hand", ratio, _HIGHEST))
    table.notes.append("Every third feature is text. With ties, the rows by hand are de-duplicated first.")
    yield table
