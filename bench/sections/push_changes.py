"""Pushes of many entities of which few changed: what finding them costs, beside a cold push."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from bench.data import short
from bench.engines import DuckDBEngine, WrongAnswer, duckdb_file
from bench.online import check_spots, empty, empty_redis
from bench.product import STATES, OnlineView
from bench.report import Table, Target, number, seconds, times
from bench.timing import Run, clock, race

_ENTITIES = 4_000_000
_FEW, _MORE = 10_000, 100
"""One entity in so many changes."""
_FIRST_PLACE = {_FEW: 50, _MORE: 0}
"""No entity changes twice in a round's rows of one in 100 and one in 10,000."""
_HIGHEST_UNCHANGED = 1 / 10
_HIGHEST_FEW = 3
_TITLES = {_FEW: "0.01% changed", _MORE: "1% changed"}


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Push from DuckDB."""
    entities = max(1_000, round(_ENTITIES * scale))
    with duckdb_file(folder) as path:
        with closing(DuckDBEngine(path)) as engine:
            engine.make_entities(entities)
        with empty_redis() as (url, client):
            rivals = _Rivals(path, OnlineView(adapter="duckdb", where=str(path), redis=url), client, entities)
            took = race(rivals.by_name, check=lambda ended: None)
    yield _shown(took, entities)


class _Rivals:
    """The contenders: they take turns in this order, each at what the one before has left."""

    def __init__(self, path: Path, view: OnlineView, client: Any, entities: int) -> None:
        self._path = path
        self._view = view
        self._client = client
        self._entities = entities
        self._places = {every: count(first) for every, first in _FIRST_PLACE.items()}
        self.by_name: dict[str, Callable[[], Run]] = {
            "cold push": self._cold,
            "nothing changed": partial(self._push, rows=0),
            **{title: partial(self._changed, every) for every, title in _TITLES.items()},
        }

    def _cold(self) -> Run:
        empty(self._client)
        with closing(DuckDBEngine(self._path)) as engine:
            engine.execute(f"drop schema if exists {STATES} cascade")
            engine.settle()
        return self._push(rows=self._entities)

    def _changed(self, every: int) -> Run:
        place = next(self._places[every])
        with closing(DuckDBEngine(self._path)) as engine:
            engine.change_entities(place, every=every)
        return self._push(rows=len(range(place, self._entities, every)))

    def _push(self, *, rows: int) -> Run:
        pushed = []
        run = clock(lambda: pushed.append(self._view.push()))
        if pushed[0].written != rows or pushed[0].held_back:
            raise WrongAnswer(f"{pushed[0]} instead of {rows:,} rows")
        with closing(DuckDBEngine(self._path)) as engine:
            check_spots(self._client, engine, self._entities)
        return run


def _shown(took: dict[str, Run], entities: int) -> Table:
    cold, unchanged = took["cold push"], took["nothing changed"]
    table = Table(
        f"Few changes among many entities, from DuckDB: {short(entities)} entities",
        ("", "time", "of a cold push", "times nothing changed"),
    )
    for name, run in took.items():
        table.add(name, seconds(run), f"{number(times(run, cold))} ×", f"{number(times(run, unchanged))} ×")
    few = times(took[_TITLES[_FEW]], unchanged)
    table.targets += [
        Target("Nothing changed, share of a cold push", times(unchanged, cold), _HIGHEST_UNCHANGED),
        Target(f"{_TITLES[_FEW]}, times nothing changed", few, _HIGHEST_FEW),
    ]
    return table
