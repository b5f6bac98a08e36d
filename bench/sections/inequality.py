"""PostgreSQL: against the join that most people write, every row of the spine with every earlier row of its entity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import handwritten
from bench.data import Sizes
from bench.engines import POSTGRES_SETTINGS, Contender, PostgresEngine, postgres_server
from bench.product import Question
from bench.report import Table, Target, number, seconds, times

_LEAST = {True: 50, False: 15}


def tables(folder: Path, scale: float) -> Iterator[Table]:  # noqa: ARG001 - the server has a folder of its own
    """Time feature-sync with an index on keys and time, which it looks rows up by, and without one."""
    sizes = Sizes.scaled(scale, spine=100_000, rows=2_000_000, depth=1_000)
    table = Table(f"PostgreSQL: {sizes}", ("keys and time", "inequality + ROW_NUMBER", "feature-sync", "times faster"))
    with postgres_server() as uri:
        engine = PostgresEngine(uri)
        engine.make(sizes, 1)
        for is_indexed in (False, True):
            if is_indexed:
                engine.index(1)
            ours = Question(adapter="postgres", views=1, is_indexed=is_indexed).sql()
            took = engine.race({"peer": Contender(handwritten.inequality([0])), "ours": Contender(ours)})
            faster = times(took["peer"], took["ours"])
            where = "with an index" if is_indexed else "without an index"
            table.add(where, seconds(took["peer"], 600), seconds(took["ours"]), f"{number(faster)} ×")
            table.targets.append(Target(f"{where}, times faster", faster, _LEAST[is_indexed], at_least=True))
        engine.close()
    table.notes.append(
        "Settings, for all: " + ", ".join(f"{name} = {value}" for name, value in POSTGRES_SETTINGS.items())
    )
    yield table
