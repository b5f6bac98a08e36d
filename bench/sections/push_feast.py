"""A cold push against Feast's materialize: the same rows from the same warehouse into the same Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute
import pyarrow.parquet

from bench.data import short
from bench.engines import DuckDBEngine, Engine, PostgresEngine, WrongAnswer, duckdb_file, postgres_server
from bench.online import empty, empty_redis, listen
from bench.product import ENTITY_FEATURES, STATES, TTL_DAYS, place
from bench.report import Table, Target, megabytes, number, seconds, times
from bench.sections.feast import PYTHON
from bench.timing import NEVER, Run, race, run_alone

_ENTITIES = 1_000_000
_LIMIT = 300
_LEAST_TIMES = 15
_ASKED = 100


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Fill an empty Redis from DuckDB, where Feast reads a Parquet file, and from PostgreSQL."""
    entities = max(1_000, round(_ENTITIES * scale))
    with duckdb_file(folder) as path:
        with closing(DuckDBEngine(path)) as engine:
            engine.make_entities(entities)
            engine.execute(f"copy entities to '{folder / 'entities.parquet'}' (format parquet)")
        task = {"offline_store": {"type": "duckdb"}, "files": str(folder)}
        view = {"adapter": "duckdb", "where": str(path)}
        yield _table("DuckDB", folder, view, task, partial(DuckDBEngine, path), entities)
    with postgres_server() as uri:
        with closing(PostgresEngine(uri)) as engine:
            engine.make_entities(entities)
        store = {"type": "postgres", **place(uri), "database": "postgres", "db_schema": "bench", "sslmode": "disable"}
        view = {"adapter": "postgres", "where": uri}
        task = {"offline_store": store, "files": None}
        yield _table("PostgreSQL", folder, view, task, partial(PostgresEngine, uri), entities)


def _table(
    name: str,
    folder: Path,
    view: dict[str, str],
    task: Mapping[str, Any],
    open_engine: Callable[[], Engine],
    entities: int,
) -> Table:
    with closing(open_engine()) as engine:
        asked = range(0, entities, max(1, entities // _ASKED))
        columns = ", ".join(["entity_id", *ENTITY_FEATURES])
        rows = engine.fetch(f"select {columns} from bench.entities order by entity_id")[:: asked.step]
    with empty_redis() as (_, client):
        address = listen(client)

        def ours() -> Run:
            empty(client)
            with closing(open_engine()) as engine:
                engine.execute(f"drop schema if exists {STATES} cascade")
            whole = {**view, "redis": f"redis://{address}", "memory_limit": None}
            return run_alone("bench.jobs", {"job": "push", "view": whole, "rows": entities}, limit=_LIMIT)

        def feast(*, is_tuned: bool) -> Run:
            empty(client)
            output = folder / "feast.parquet"
            whole = {
                **task,
                "job": "materialize",
                "is_tuned": is_tuned,
                "features": ENTITY_FEATURES,
                "ttl_days": TTL_DAYS,
                "redis": address,
                "asked": [*asked],
                "output": str(output),
            }
            run = run_alone("bench.feast_peer", whole, python=str(PYTHON), limit=_LIMIT)
            if client.dbsize() < entities:
                raise WrongAnswer(f"Feast wrote {client.dbsize():,} of {entities:,} entities")
            _check_same(rows, output)
            return run

        took = race(
            {
                "feature-sync push": ours,
                "Feast, as documented": partial(feast, is_tuned=False),
                "Feast, tuned": partial(feast, is_tuned=True),
            },
            check=lambda ended: None,
        )
    return _shown(f"Cold push and Feast's materialize from {name}", took, entities)


def _check_same(rows: list[tuple[Any, ...]], output: Path) -> None:
    """Compare what Feast reads back with the warehouse.

    Raises:
        WrongAnswer: They differ.
    """
    found = pyarrow.parquet.read_table(output).select(["entity_id", *ENTITY_FEATURES])
    for at, name in enumerate(found.column_names):
        column = found[name]
        if pyarrow.types.is_timestamp(column.type):
            column = column.cast(pyarrow.timestamp("us", tz=column.type.tz)).cast(pyarrow.timestamp("us"))
        if column.to_pylist() != [row[at] for row in rows]:
            raise WrongAnswer(f"Feast answers {name} with {column.to_pylist()[:3]}, not {[r[at] for r in rows[:3]]}")


def _shown(title: str, took: Mapping[str, Run], entities: int) -> Table:
    ours = took["feature-sync push"]
    table = Table(
        f"{title}: {short(entities)} entities × {len(ENTITY_FEATURES)} features",
        ("", "time", "entities a second", "peak memory", "times as long as feature-sync"),
    )
    for name, run in took.items():
        is_over = run.seconds == NEVER
        ratio = _LIMIT / ours.seconds if is_over else times(run, ours)
        rate = f"{'< ' if is_over else ''}{entities / (_LIMIT if is_over else run.seconds):,.0f}"
        table.add(name, seconds(run, _LIMIT), rate, megabytes(run), f"{'> ' if is_over else ''}{number(ratio)} ×")
        if run is not ours:
            table.targets.append(Target(f"{name}, times as long", ratio, _LEAST_TIMES, at_least=True))
    table.notes += [
        "Tuned: writes in batches of 10,000 rows, and does not ask for each entity whether Redis holds a newer row.",
        "Over TCP, each in a process of its own, whose start does not count.",
    ]
    return table
