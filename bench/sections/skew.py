"""One entity with half of all rows, of view and spine, against as many rows of entities that share them evenly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.connect import SERVERS, ConnectEngine, connect_engine
from bench.data import Sizes
from bench.report import Table, Target, number
from tests.support.spark import has_spark

_ROUNDS, _MOST = 3, 2.0


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Time both on Sail, and on Spark where `.venv-spark` is made."""
    sizes = Sizes.scaled(scale, spine=50_000, rows=1_000_000, depth=50)
    table = Table(f"A skewed key: {sizes}", ("engine", "uniform", "half of all rows in one", "times as long"))
    for name in SERVERS:
        if name == "Spark" and not has_spark():
            table.notes.append("Spark was not there: make .venv-spark/.made, and install Java")
            continue
        with connect_engine(name, folder) as engine:
            uniform, skewed = (_seconds(engine, sizes, is_skewed=each) for each in (False, True))
        table.add(name, f"{uniform:.2f} s", f"{skewed:.2f} s", f"{number(skewed / uniform)} ×")
        table.targets.append(Target(f"{name}: skewed ÷ uniform", skewed / uniform, _MOST))
    yield table


def _seconds(engine: ConnectEngine, sizes: Sizes, *, is_skewed: bool) -> float:
    engine.make(sizes, is_skewed=is_skewed)
    engine.seconds()  # the first run warms up
    return median(engine.seconds() for _ in range(_ROUNDS))
