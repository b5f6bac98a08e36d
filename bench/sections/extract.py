"""Whole extracts to Parquet: rows a second, and the memory of the process that writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from bench import handwritten
from bench.data import Sizes, short
from bench.engines import DuckDBEngine, PostgresEngine, duckdb_file, postgres_server
from bench.files import check_same
from bench.product import Question
from bench.report import Table, Target, megabytes, seconds
from bench.timing import Run, race, run_alone

_VIEWS = 2
_LEAST_ROWS_A_SECOND = 500_000
_HIGHEST_PEAK = 8_192
_HIGHEST_ABOVE_ENGINE = 300


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Extract from DuckDB, which shares the process, and from PostgreSQL, which does not."""
    yield _from_duckdb(folder, scale)
    yield _from_postgres(folder, scale)


def _from_duckdb(folder: Path, scale: float) -> Table:
    sizes = Sizes.scaled(scale, spine=10_000_000, rows=10_000_000, depth=100)
    question = Question(adapter="duckdb", views=_VIEWS, is_unique=True)
    with duckdb_file(folder) as path:
        engine = DuckDBEngine(path)
        engine.make(sizes, _VIEWS)
        engine.close()
        query = handwritten.asof(range(_VIEWS))
        by_hand = {"job": "copy", "query": query, "where": str(path)}
        ordered = {**by_hand, "query": f"{query} order by s.asked_at, s.entity_id, s.row_id, s.label"}
        took = _race(folder, {"by hand": by_hand, "ordered": ordered, "ours": _extract(question, str(path))})
    table = Table(f"DuckDB to Parquet: {sizes}, {_VIEWS} views", ("", "time", "spine rows a second", "peak memory"))
    names = {"by hand": "ASOF by hand, COPY TO", "ordered": "the same, ordered", "ours": "feature-sync extract"}
    for key, label in names.items():
        rate = sizes.spine / took[key].seconds
        table.add(label, seconds(took[key]), f"{rate:,.0f}", megabytes(took[key]))
    ours, engine_peak = took["ours"], took["ordered"].peak_megabytes
    table.targets += [
        Target("Spine rows a second", sizes.spine / ours.seconds, _LEAST_ROWS_A_SECOND, at_least=True, is_ratio=False),
        Target("Peak memory of the process, engine included, MB", ours.peak_megabytes, _HIGHEST_PEAK, is_ratio=False),
        Target("Above the engine's own, MB", ours.peak_megabytes - engine_peak, _HIGHEST_ABOVE_ENGINE, is_ratio=False),
    ]
    table.notes.append(
        "Each in a process of its own; the peak is the highest resident memory of the whole process. feature-sync's "
        "rows have an order, too, and a content hash; the engine's own memory is that of the ordered query."
    )
    return table


def _from_postgres(folder: Path, scale: float) -> Table:
    """Extract a spine and one ten times as long: the process that writes holds a batch, whatever the number of rows."""
    sizes = [Sizes.scaled(scale, spine=spine, rows=2_000_000, depth=1_000) for spine in (100_000, 1_000_000)]
    question = Question(adapter="postgres", views=_VIEWS, is_indexed=True)
    title = f"PostgreSQL to Parquet: {short(sizes[0].rows)} rows, {sizes[0].depth:,} an entity, {_VIEWS} views"
    table = Table(title, ("spine", "time", "spine rows a second", "peak memory"))
    with postgres_server() as uri:
        for size in sizes:
            engine = PostgresEngine(uri)
            engine.make(size, _VIEWS)
            engine.index(_VIEWS)
            engine.close()
            took = _race(folder, {"ours": _extract(question, uri)})["ours"]
            rate = f"{size.spine / took.seconds:,.0f}"
            table.add(short(size.spine), seconds(took), rate, megabytes(took))
            label = f"Peak memory of the client, {short(size.spine)} spine, MB"
            table.targets.append(Target(label, took.peak_megabytes, _HIGHEST_ABOVE_ENGINE, is_ratio=False))
    table.notes.append("The engine is another process here: the peak is that of feature-sync alone.")
    return table


def _extract(question: Question, where: str) -> dict[str, Any]:
    return {"job": "extract", "question": asdict(question), "where": where}


def _race(folder: Path, tasks: dict[str, dict[str, Any]]) -> dict[str, Run]:
    outputs = {key: folder / f"{key}.parquet" for key in tasks}
    runs = {key: partial(run_alone, "bench.jobs", {**task, "output": str(outputs[key])}) for key, task in tasks.items()}
    return race(runs, check=lambda ended: check_same([outputs[key] for key in ended]))
