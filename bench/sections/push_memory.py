"""The memory of a process that pushes: beside that of the engine inside it, and however many entities there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from bench import handwritten
from bench.data import short
from bench.engines import DuckDBEngine, Engine, PostgresEngine, duckdb_file, postgres_server
from bench.online import empty_redis
from bench.product import ENTITY_FEATURES, STATES, OnlineView
from bench.report import Table, Target, megabytes, seconds
from bench.timing import Run, run_alone

_ENTITIES = (1_000_000, 10_000_000)
_MEMORY_LIMIT = "1GB"
_ROWS_PER_BATCH = 1_024
_HIGHEST_ABOVE_ENGINE = 300
_HIGHEST_GROWTH = 1.1


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Push from DuckDB, which shares the process, and from PostgreSQL, which does not."""
    sizes = [max(1_000, round(entities * scale)) for entities in _ENTITIES]
    with duckdb_file(folder) as path:
        yield _on_duckdb(str(path), sizes)
    with postgres_server() as uri:
        yield _on_postgres(uri, sizes)


def _on_duckdb(where: str, sizes: list[int]) -> Table:
    """The engine alone writes and reads the same rows, with the same limit on its memory."""
    table = Table(
        f"Memory of a push from DuckDB, limited to {_MEMORY_LIMIT}: {len(ENTITY_FEATURES)} features",
        ("entities", "time", "peak memory", "the engine alone", "above the engine"),
    )
    pushes = []
    for entities in sizes:
        with closing(DuckDBEngine(Path(where))) as engine:
            engine.make_entities(entities)
        task = {"job": "read", "where": where, "query": handwritten.newest_entities(), "rows": entities}
        alone = run_alone("bench.jobs", {**task, "batch_size": _ROWS_PER_BATCH, "memory_limit": _MEMORY_LIMIT})
        view = {"adapter": "duckdb", "where": where, "memory_limit": _MEMORY_LIMIT}
        pushed = _pushed(view, entities, partial(DuckDBEngine, Path(where)))
        above = pushed.peak_megabytes - alone.peak_megabytes
        table.add(short(entities), seconds(pushed), megabytes(pushed), megabytes(alone), f"{above:,.0f} MB")
        table.targets.append(
            Target(
                f"{short(entities)} entities, MB above the engine's own", above, _HIGHEST_ABOVE_ENGINE, is_ratio=False
            )
        )
        pushes.append(pushed)
    table.notes.append(
        "The engine alone writes the newest row of each entity to a table, and reads that in batches. It takes more "
        "memory for more rows until it meets its limit, in a push as alone."
    )
    return table


def _on_postgres(where: str, sizes: list[int]) -> Table:
    """The engine is another process: the peak is that of feature-sync alone."""
    table = Table(
        f"Memory of a push from PostgreSQL: {len(ENTITY_FEATURES)} features", ("entities", "time", "peak memory")
    )
    pushes = []
    for entities in sizes:
        with closing(PostgresEngine(where)) as engine:
            engine.make_entities(entities)
        pushed = _pushed({"adapter": "postgres", "where": where}, entities, partial(PostgresEngine, where))
        table.add(short(entities), seconds(pushed), megabytes(pushed))
        pushes.append(pushed)
    first, last = pushes[0].peak_megabytes, pushes[-1].peak_megabytes
    table.targets += [
        Target(f"{short(sizes[0])} entities, MB", first, _HIGHEST_ABOVE_ENGINE, is_ratio=False),
        Target(f"{short(sizes[-1])} entities, times the peak of {short(sizes[0])}", last / first, _HIGHEST_GROWTH),
    ]
    table.notes.append("The engine is another process here: the peak is that of feature-sync alone.")
    return table


def _pushed(view: dict[str, Any], entities: int, open_engine: Callable[[], Engine]) -> Run:
    with closing(open_engine()) as engine:
        engine.execute(f"drop schema if exists {STATES} cascade")
    with empty_redis() as (url, _):
        whole = asdict(OnlineView(**view, redis=url))
        return run_alone("bench.jobs", {"job": "push", "view": whole, "rows": entities})
