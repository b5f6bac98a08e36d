"""PostgreSQL: an index that its catalog alone knows of, against one that the project declares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bench.arrow import race_tables
from bench.data import Sizes
from bench.engines import PostgresEngine, postgres_server
from bench.product import Question
from bench.report import Table, Target, number, seconds, times

_HIGHEST = 1.1


def tables(folder: Path, scale: float) -> Iterator[Table]:  # noqa: ARG001 - the server has a folder of its own
    """Ask for whole training sets, as Arrow tables."""
    sizes = Sizes.scaled(scale, spine=100_000, rows=2_000_000, depth=1_000)
    table = Table(f"PostgreSQL, an index nobody declared: {sizes}", ("the index", "time", "times the declared one"))
    with postgres_server() as uri:
        with closing(PostgresEngine(uri)) as engine:
            engine.make(sizes, 1)
            engine.index(1)
        questions = {
            "declared": Question(adapter="postgres", views=1, is_indexed=True),
            "in the catalog alone": Question(adapter="postgres", views=1),
        }
        took = race_tables(
            {
                name: lambda question=question: question.training_set(uri).to_arrow()
                for name, question in questions.items()
            }
        )
    for name, run in took.items():
        table.add(name, seconds(run), f"{number(times(run, took['declared']))} ×")
    ratio = times(took["in the catalog alone"], took["declared"])
    table.targets.append(Target("In the catalog alone, times the declared one", ratio, _HIGHEST))
    yield table
