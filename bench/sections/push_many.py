"""One push of many small views: what each costs beside its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from bench.engines import DuckDBEngine, WrongAnswer, duckdb_file
from bench.online import check_rows, empty, empty_redis
from bench.product import ENTITY_FEATURES, STATES, OnlineView
from bench.report import Table, Target, number, seconds, times
from bench.timing import Run, clock, race

_VIEWS = 50
_ROWS = 100
_HIGHEST_SECONDS = 2
_FEATURES = {name: ENTITY_FEATURES[name] for name in ("score", "orders")}


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Push from DuckDB; a scale makes fewer views, of as many rows."""
    names = tuple(f"small_{number}" for number in range(max(2, min(_VIEWS, round(_VIEWS * scale)))))
    with duckdb_file(folder) as path:
        with closing(DuckDBEngine(path)) as engine:
            engine.make_entities(_ROWS)
            columns = ", ".join(["entity_id", "happened_at", *_FEATURES])
            for name in names:
                engine.execute(f"create table bench.{name} as select {columns} from entities")
            engine.settle()
        with empty_redis() as (url, client):
            view = OnlineView(adapter="duckdb", where=str(path), redis=url, names=names, features=_FEATURES)
            took = race(_Rivals(path, view, client).by_name, check=lambda ended: None)
    yield _shown(took, len(names))


class _Rivals:
    """The contenders: they take turns in this order, each at what the one before has left."""

    def __init__(self, path: Path, view: OnlineView, client: Any) -> None:
        self._path = path
        self._view = view
        self._client = client
        self._rounds = count()
        self.by_name: dict[str, Callable[[], Run]] = {
            "cold push": self._cold,
            "nothing changed": lambda: self._push(0),
            "one row changed in each": self._changed,
        }

    def _cold(self) -> Run:
        empty(self._client)
        with closing(DuckDBEngine(self._path)) as engine:
            engine.execute(f"drop schema if exists {STATES} cascade")
            engine.settle()
        return self._push(_ROWS)

    def _changed(self) -> Run:
        entity = next(self._rounds)
        with closing(DuckDBEngine(self._path)) as engine:
            for name in self._view.names:
                engine.execute(f"update bench.{name} set score = score + 1 where entity_id = {entity}")
            engine.settle()
        return self._push(1)

    def _push(self, rows: int) -> Run:
        pushed: list[Any] = []
        run = clock(lambda: pushed.extend(self._view.push_all()))
        wrong = [each for each in pushed if each.written != rows or each.held_back or each.failed]
        if wrong or len(pushed) != len(self._view.names):
            raise WrongAnswer(f"{wrong[:1]} of {len(pushed)} views, instead of {rows:,} rows each")
        with closing(DuckDBEngine(self._path)) as engine:
            for name in self._view.names:
                check_rows(self._client, engine, f"bench.{name}", [*_FEATURES], view=name)
        return run


def _shown(took: dict[str, Run], views: int) -> Table:
    table = Table(
        f"One push of {views} views from DuckDB: {_ROWS} rows and {len(_FEATURES)} features each",
        ("", "time", "of a cold push"),
    )
    for name, run in took.items():
        table.add(name, seconds(run), f"{number(times(run, took['cold push']))} ×")
    unchanged = took["nothing changed"]
    table.targets += [
        Target("Nothing changed, seconds", unchanged.seconds, _HIGHEST_SECONDS, is_ratio=False),
    ]
    return table
