"""Feast, in its own environment, on the same files and the same PostgreSQL tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.data import Sizes
from bench.engines import DuckDBEngine, PostgresEngine, duckdb_file, postgres_server
from bench.files import check_same
from bench.product import FEATURES, Question, place
from bench.report import Table, megabytes, number, seconds, times
from bench.timing import NEVER, Run, race, run_alone

PYTHON = Path(".venv-feast", "bin", "python")
_VIEWS = 2
_TTL_DAYS = 30
_LIMIT = 180
_COMPARED = ", ".join(["row_id", *(f"{name}_{number}" for number in range(_VIEWS) for name in FEATURES)])
_QUESTION = Question(adapter="duckdb", views=_VIEWS, ttl_days=_TTL_DAYS, is_table=False)

Contender = Callable[[str], Run]
"""Answers into a file of the given name."""


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Ask both for the same training set: a frame goes in, a table comes out."""
    for depth in (100, 1_000):
        yield _on_files(folder, Sizes.scaled(scale, spine=100_000, rows=1_000_000, depth=depth))
    yield from _on_postgres(folder, Sizes.scaled(scale, spine=10_000, rows=200_000, depth=1_000))


def _on_files(folder: Path, sizes: Sizes) -> Table:
    with _files(folder, sizes) as where:
        task = {"offline_store": {"type": "duckdb"}, "files": str(folder), "spine_query": None}
        contenders = {
            "feature-sync": _ours(folder, _QUESTION, where),
            "Feast, as documented": _feast(folder, task, is_tuned=False),
            "Feast, tuned": _feast(folder, task, is_tuned=True),
        }
        table = _race(f"Feast on DuckDB and Parquet files: {sizes}", folder, contenders)
    table.notes.append("Tuned: an Arrow table comes back, not a pandas frame. Feast has nothing else to set there.")
    return table


def _on_postgres(folder: Path, sizes: Sizes) -> Iterator[Table]:
    with _files(folder, sizes), postgres_server() as uri:
        engine = PostgresEngine(uri)
        engine.make(sizes, _VIEWS)
        store = {"type": "postgres", **place(uri), "database": "postgres", "db_schema": "bench", "sslmode": "disable"}
        task = {"offline_store": store, "files": None, "spine_query": None}
        contenders = {
            "feature-sync": _ours(folder, replace(_QUESTION, adapter="postgres"), uri),
            "Feast, as documented": _feast(folder, task, is_tuned=False),
        }
        yield _race(f"Feast on PostgreSQL: {sizes}, no index", folder, contenders)
        engine.index(_VIEWS)
        engine.close()
        store["entity_select_mode"] = "embed_query"
        task["spine_query"] = "select row_id, entity_id, asked_at as event_timestamp from spine"
        contenders = {
            "feature-sync": _ours(folder, replace(_QUESTION, adapter="postgres", is_indexed=True), uri),
            "Feast, tuned": _feast(folder, task, is_tuned=True),
        }
        table = _race(f"Feast on PostgreSQL: {sizes}, indexed on keys and time", folder, contenders)
        table.notes.append(
            "Tuned: the spine is SQL inside the query, not a frame to upload, and an Arrow table comes back."
        )
        yield table


@contextmanager
def _files(folder: Path, sizes: Sizes) -> Iterator[str]:
    """Write the data as Parquet, and lend a DuckDB file with views of it."""
    with duckdb_file(folder) as path:
        engine = DuckDBEngine(path)
        engine.make(sizes, _VIEWS)
        for name in ("spine", *(f"view_{each}" for each in range(_VIEWS))):
            file = folder / f"{name}.parquet"
            engine.execute(f"copy {name} to '{file}' (format parquet)")
            engine.execute(f"drop table {name}")
            engine.execute(f"create view {name} as select * from read_parquet('{file}')")
        engine.close()
        yield str(path)


def _ours(folder: Path, question: Question, where: str) -> Contender:
    task = {"job": "answer", "question": asdict(question), "where": where, "spine": str(folder / "spine.parquet")}
    return lambda output: run_alone("bench.jobs", {**task, "output": output}, limit=_LIMIT)


def _feast(folder: Path, task: dict[str, Any], *, is_tuned: bool) -> Contender:
    whole = {
        **task,
        "job": "answer",
        "views": _VIEWS,
        "ttl_days": _TTL_DAYS,
        "spine": str(folder / "spine.parquet"),
        "is_tuned": is_tuned,
    }
    return lambda output: run_alone("bench.feast_peer", {**whole, "output": output}, python=str(PYTHON), limit=_LIMIT)


def _race(title: str, folder: Path, contenders: Mapping[str, Contender]) -> Table:
    outputs = {name: folder / f"answer_{place}.parquet" for place, name in enumerate(contenders)}
    runs = {name: partial(run, str(outputs[name])) for name, run in contenders.items()}
    took = race(runs, check=lambda ended: check_same([outputs[name] for name in ended], _COMPARED))
    table = Table(f"{title}, {_VIEWS} views", ("", "time", "peak memory", "times as long as feature-sync"))
    for name, run in took.items():
        ratio = (
            number(_LIMIT / took["feature-sync"].seconds)
            if run.seconds == NEVER
            else number(times(run, took["feature-sync"]))
        )
        table.add(name, seconds(run, _LIMIT), megabytes(run), f"{'> ' if run.seconds == NEVER else ''}{ratio} ×")
    return table
