"""A push of a view with a history: how the newest row of each entity is found, and what a push takes of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from bench import handwritten
from bench.data import SPREAD, Sizes
from bench.engines import DuckDBEngine, Engine, PostgresEngine, WrongAnswer, duckdb_file, postgres_server
from bench.online import check_rows, empty, empty_redis
from bench.product import FEATURES, STATES, OnlineView
from bench.report import Table, Target, megabytes, number, seconds, times
from bench.timing import Run, clock, race, run_alone

_DEPTH = 512
"""So that with ties the newest row of each entity is tied: every eighth is."""
_NEW_ROWS = 100
_HIGHEST = 1.3
_HIGHEST_ABOVE_ENGINE = 300
_MEMORY_LIMIT = "1GB"
_ROWS_PER_BATCH = 1_024
_NAMES = tuple(f"{name}_0" for name in FEATURES)
_VIEW: dict[str, Any] = {"names": ("view_0",), "features": {f"{name}_0": kind for name, kind in FEATURES.items()}}
_KINDS = {True: "proven unique", False: "with ties"}

OpenEngine = Callable[[], Engine]


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Push from DuckDB, and from PostgreSQL with and without an index on keys and time."""
    sizes = _sizes(5_000_000, scale)
    with duckdb_file(folder) as path:
        yield _on_duckdb(path, sizes)
        yield _memory(path, sizes)
    sizes = _sizes(2_000_000, scale)
    with postgres_server() as uri:
        yield _on_postgres(uri, sizes)


def _sizes(rows: int, scale: float) -> Sizes:
    """Give all entities the same number of rows."""
    return Sizes(10, max(1, round(rows * scale / _DEPTH)) * _DEPTH, _DEPTH)


def _on_duckdb(path: Path, sizes: Sizes) -> Table:
    table = _staging_table("DuckDB", sizes)
    for is_unique, kind in _KINDS.items():
        with closing(DuckDBEngine(path)) as engine:
            engine.make(sizes, 1, has_ties=not is_unique)
        view = {"adapter": "duckdb", "where": str(path), "is_unique": is_unique, **_VIEW}
        by_hand = handwritten.newest_rows("bench.view_0", has_ties=not is_unique)
        _stage(table, kind, view, partial(DuckDBEngine, path), by_hand, sizes)
    return table


def _on_postgres(uri: str, sizes: Sizes) -> Table:
    table = _staging_table("PostgreSQL", sizes)
    for is_unique, kind in _KINDS.items():
        for is_indexed in (False, True):
            with closing(PostgresEngine(uri)) as engine:
                engine.make(sizes, 1, has_ties=not is_unique)
                if is_indexed:
                    engine.index(1)
            view = {"adapter": "postgres", "where": uri, "is_unique": is_unique, "is_indexed": is_indexed, **_VIEW}
            write = handwritten.newest_rows_by_skips if is_indexed else handwritten.newest_rows
            name = f"{kind}, {'with an' if is_indexed else 'without an'} index"
            _stage(
                table, name, view, partial(PostgresEngine, uri), write("bench.view_0", has_ties=not is_unique), sizes
            )
    table.notes.append(
        "By hand without an index: aggregate and join back; with one: a recursive query that skips along the index."
    )
    return table


def _staging_table(warehouse: str, sizes: Sizes) -> Table:
    table = Table(
        f"Staging of a push from {warehouse}: {sizes.rows:,} rows, {sizes.depth:,} an entity",
        ("keys and timestamps", "by hand", "first push", "ratio", "100 new rows", "ratio"),
    )
    table.notes.append(
        "By hand, the newest row of each entity is written to a table: the newest timestamp, joined back. The first "
        "push also prepares all rows for Redis; the one after 100 new rows must find which entities they changed."
    )
    return table


def _stage(table: Table, kind: str, view: dict[str, Any], open_engine: OpenEngine, by_hand: str, sizes: Sizes) -> None:
    with empty_redis() as (url, client):
        rivals = _Rivals(OnlineView(**view, redis=url), open_engine, client, by_hand, sizes)
        took = race(
            {"by hand": rivals.write, "first": rivals.push_first, "later": rivals.push_later},
            check=lambda ended: None,
        )
    ratios = [times(took[name], took["by hand"]) for name in ("first", "later")]
    cells = [seconds(took["by hand"])]
    for name, ratio in zip(("first", "later"), ratios, strict=True):
        cells += [seconds(took[name]), f"{number(ratio)} ×"]
    table.add(kind, *cells)
    for name, ratio in zip(("first push", "100 new rows"), ratios, strict=True):
        table.targets.append(Target(f"{kind}, {name}, staging, times the one by hand", ratio, _HIGHEST))


class _Rivals:
    """The contenders of one table: each push is compared with the newest rows by hand, outside the clock."""

    def __init__(self, view: OnlineView, open_engine: OpenEngine, client: Any, by_hand: str, sizes: Sizes) -> None:
        self._view = view
        self._open_engine = open_engine
        self._client = client
        self._by_hand = by_hand
        self._sizes = sizes
        self._added = 0

    def write(self) -> Run:
        with closing(self._open_engine()) as engine:
            engine.execute("drop table if exists bench.newest")
            return clock(lambda: engine.execute(f"create table bench.newest as {self._by_hand}"))

    def push_first(self) -> Run:
        empty(self._client)
        _forget(self._open_engine)
        return self._pushed(self._sizes.entities)

    def push_later(self) -> Run:
        added = add_rows(self._open_engine, self._sizes, self._added)
        self._added += 1
        return self._pushed(added)

    def _pushed(self, rows: int) -> Run:
        pushed = self._view.push()
        if pushed.written != rows or pushed.held_back:
            raise WrongAnswer(f"{pushed} instead of {rows:,} rows")
        self.write()
        with closing(self._open_engine()) as engine:
            check_rows(self._client, engine, "bench.newest", _NAMES, view="view_0")
        return Run(pushed.phase_seconds["stage"])


def add_rows(open_engine: OpenEngine, sizes: Sizes, place: int) -> int:
    """Add a newest row for each of a hundred entities, later than those of the places before; return how many."""
    rows = min(_NEW_ROWS, sizes.entities)
    moment = f"timestamp '2024-01-01 00:00:00' + interval '1 second' * {SPREAD + place}"
    features = ", ".join(f"{name} + 1" for name in _NAMES)
    with closing(open_engine()) as engine:
        engine.use("bench")
        engine.execute(
            f"insert into view_0 select entity_id, {moment}, {features} from (select *, row_number() over "
            f"(partition by entity_id order by happened_at desc, {_NAMES[0]}) as place from view_0 "
            f"where entity_id < {rows}) newest where place = 1"
        )
        engine.settle()
    return rows


def _memory(path: Path, sizes: Sizes) -> Table:
    """Push the table with ties in a process of its own; the engine alone finds and reads the same rows."""
    table = Table(
        f"Memory of a push from DuckDB, limited to {_MEMORY_LIMIT}: {sizes.rows:,} rows, {sizes.depth:,} an entity",
        ("keys and timestamps", "push", "time", "peak memory", "the engine alone", "above the engine"),
    )
    open_engine = partial(DuckDBEngine, path)
    for is_unique, kind in _KINDS.items():
        with closing(open_engine()) as engine:
            engine.make(sizes, 1, has_ties=not is_unique)
        task = {"job": "read", "where": str(path), "rows": sizes.entities, "memory_limit": _MEMORY_LIMIT}
        query = handwritten.newest_rows("bench.view_0", has_ties=not is_unique)
        alone = run_alone("bench.jobs", {**task, "query": query, "batch_size": _ROWS_PER_BATCH})
        _forget(open_engine)
        with empty_redis() as (url, _):
            view = OnlineView(
                adapter="duckdb",
                where=str(path),
                redis=url,
                memory_limit=_MEMORY_LIMIT,
                is_unique=is_unique,
                **_VIEW,
            )
            push = {"job": "push", "view": asdict(view)}
            for name in ("first", f"{_NEW_ROWS} new rows"):
                rows = sizes.entities if name == "first" else add_rows(open_engine, sizes, 0)
                pushed = run_alone("bench.jobs", {**push, "rows": rows})
                above = pushed.peak_megabytes - alone.peak_megabytes
                table.add(kind, name, seconds(pushed), megabytes(pushed), megabytes(alone), f"{above:,.0f} MB")
                label = f"{kind}, {name}, MB above the engine's own"
                table.targets.append(Target(label, above, _HIGHEST_ABOVE_ENGINE, is_ratio=False))
    return table


def _forget(open_engine: OpenEngine) -> None:
    with closing(open_engine()) as engine:
        engine.execute(f"drop schema if exists {STATES} cascade")
        engine.settle()
