"""DuckDB over Parquet files, against the query by hand and against polars: files go in, a file comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import handwritten
from bench.data import Sizes
from bench.engines import DuckDBEngine, duckdb_file
from bench.files import check_same
from bench.product import FEATURES, Question
from bench.report import Table, Target, megabytes, number, seconds, times
from bench.sections.feast import PYTHON
from bench.timing import NEVER, Run, race, run_alone

_LIMIT = 180
_OURS, _UNORDERED = "feature-sync extract", "feature-sync extract --unordered"
_HIGHEST = 1.3
_FEATURES = [f"{name}_0" for name in FEATURES]
_COMPARED = ", ".join(["row_id", "entity_id", *_FEATURES])
_TIMES = {"spine": "asked_at", "view_0": "happened_at"}

Contender = Callable[[str], Run]
"""Answers into a file of the given name."""


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Time files in the order of time and in none, where timestamps are proven unique and where they are tied."""
    sizes = Sizes.scaled(scale, spine=1_000_000, rows=10_000_000, depth=100)
    for is_sorted in (True, False):
        for has_ties in (False, True):
            yield _table(folder, sizes, is_sorted=is_sorted, has_ties=has_ties)


def _table(folder: Path, sizes: Sizes, *, is_sorted: bool, has_ties: bool) -> Table:
    kind = f"{'in the order of time' if is_sorted else 'in no order'}, {'with ties' if has_ties else 'proven unique'}"
    with _files(folder, sizes, is_sorted=is_sorted, has_ties=has_ties) as where:
        write = handwritten.asof_of_distinct if has_ties else handwritten.asof
        question = Question(adapter="duckdb", views=1, is_unique=not has_ties, is_table=False)
        unordered = replace(question, is_ordered=False)
        took = _race(
            folder,
            {
                _OURS: {"job": "extract", "question": asdict(question), "where": where},
                _UNORDERED: {"job": "extract", "question": asdict(unordered), "where": where},
                "DuckDB by hand, COPY TO": {"job": "copy", "query": write([0]), "where": where},
            },
            {
                "spine": str(folder / "spine.parquet"),
                "view": str(folder / "view_0.parquet"),
                "features": _FEATURES,
                "is_sorted": is_sorted,
                "has_ties": has_ties,
            },
        )
    return _shown(f"Parquet to Parquet, {kind}: {sizes}", kind, took)


@contextmanager
def _files(folder: Path, sizes: Sizes, *, is_sorted: bool, has_ties: bool) -> Iterator[str]:
    """Write the data as Parquet, and lend a DuckDB file with views of it."""
    with duckdb_file(folder) as path:
        with closing(DuckDBEngine(path)) as engine:
            engine.make(sizes, 1, has_ties=has_ties)
            for name, moment in _TIMES.items():
                file = folder / f"{name}.parquet"
                order = moment if is_sorted else f"hash(entity_id, {moment})"
                engine.execute(f"copy (select * from {name} order by {order}) to '{file}' (format parquet)")
                engine.execute(f"drop table {name}")
                engine.execute(f"create view {name} as select * from read_parquet('{file}')")
        yield str(path)


def _race(folder: Path, tasks: dict[str, dict[str, Any]], of_polars: dict[str, Any]) -> dict[str, Run]:
    """Run each in a process of its own; without the environment of the peers, polars does not take part."""
    contenders: dict[str, Contender] = {
        name: lambda output, task=task: run_alone("bench.jobs", {**task, "output": output}, limit=_LIMIT)
        for name, task in tasks.items()
    }
    if PYTHON.exists():
        contenders |= {
            name: lambda output, job=job: run_alone(
                "bench.polars_peer", {**of_polars, "job": job, "output": output}, python=str(PYTHON), limit=_LIMIT
            )
            for name, job in {"polars, eager": "eager", "polars, streaming": "streaming"}.items()
        }
    outputs = {name: folder / f"answer_{place}.parquet" for place, name in enumerate(contenders)}
    runs = {name: partial(run, str(outputs[name])) for name, run in contenders.items()}
    return race(runs, check=lambda ended: check_same([outputs[name] for name in ended], _COMPARED))


def _shown(title: str, kind: str, took: dict[str, Run]) -> Table:
    table = Table(title, ("", "time", "peak memory", "times as long as feature-sync"))
    ours, unordered, by_hand = took[_OURS], took[_UNORDERED], took["DuckDB by hand, COPY TO"]
    for name, run in took.items():
        is_over = run.seconds == NEVER
        ratio = _LIMIT / ours.seconds if is_over else times(run, ours)
        table.add(name, seconds(run, _LIMIT), megabytes(run), f"{'> ' if is_over else ''}{number(ratio)} ×")
    table.targets.append(Target(f"{kind}, unordered, times DuckDB by hand", times(unordered, by_hand), _HIGHEST))
    if len(took) == len((ours, unordered, by_hand)):
        table.notes.append(f"polars did not take part: there is no {PYTHON}.")
    return table
