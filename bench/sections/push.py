"""Pushes of a million entities: all of them, none, one in a hundred; and the proof that Redis holds what it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from bench.data import short
from bench.engines import DuckDBEngine, Engine, PostgresEngine, WrongAnswer, duckdb_file, postgres_server
from bench.online import calls, check_spots, empty, empty_redis, ready_made, send_ready_made
from bench.product import ENTITY_FEATURES, STATES, OnlineView
from bench.report import Table, Target, number, seconds, times
from bench.timing import Run, clock, race

_ENTITIES = 1_000_000
_LEAST_OF_BARE = {"duckdb": 1 / 2, "postgres": 1 / 3}
_HIGHEST_UNCHANGED = 1 / 10
_HIGHEST_CHANGED = 1 / 5
_HIGHEST_SENT = 1.2
_HIGHEST_VERIFY = 2
_HIGHEST_BYTES_PER_FEATURE = 30
_ROW_COMMANDS = ("set", "del", "unlink")
_OF_EVERY_PUSH = 4
"""The lease's scripts set its key and its fence, and delete its key; and the Redis is named unless it has a name."""


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Push from DuckDB and from PostgreSQL."""
    entities = max(1_000, round(_ENTITIES * scale))
    with duckdb_file(folder) as path:
        yield _table("duckdb", str(path), lambda: DuckDBEngine(path), entities)
    with postgres_server() as uri:
        yield _table("postgres", uri, lambda: PostgresEngine(uri), entities)


def _table(adapter: str, where: str, open_engine: Callable[[], Engine], entities: int) -> Table:
    with closing(open_engine()) as engine:
        engine.make_entities(entities)
    with empty_redis() as (url, client):
        rivals = _Rivals(OnlineView(adapter=adapter, where=where, redis=url), open_engine, client, entities)
        took = race(rivals.by_name, check=lambda ended: None)
        return _shown(adapter, rivals, took)


class _Rivals:
    """The contenders of one warehouse, and what they told beside their times.

    They take turns in this order, each at what the one before has left; whatever is not its own work is not timed.
    """

    def __init__(self, view: OnlineView, open_engine: Callable[[], Engine], client: Any, entities: int) -> None:
        self._view = view
        self._open_engine = open_engine
        self._client = client
        self._places = count()
        self._ready: list[bytes] = []
        self.entities = entities
        self.phases: dict[str, list[dict[str, float]]] = {}
        self.calls: dict[str, int] = {}
        self.memory = 0
        self.ready_bytes = 0
        self.written = 0
        self.bytes_per_changed_row = 0.0
        self.by_name: dict[str, Callable[[], Run]] = {
            "cold push": self._cold,
            "nothing changed": self._unchanged,
            "1% changed": self._changed,
            "verify": self._verify,
            "bare socket": self._bare,
        }

    def _cold(self) -> Run:
        empty(self._client)
        with closing(self._open_engine()) as engine:
            engine.execute(f"drop schema if exists {STATES} cascade")
            engine.settle()
        before = self._client.info("memory")["used_memory"]
        run = self._push("cold push", rows=self.entities)
        self.memory = self._client.info("memory")["used_memory"] - before
        return run

    def _unchanged(self) -> Run:
        self._client.config_resetstat()
        run = self._push("nothing changed", rows=0)
        self.calls = calls(self._client)
        return run

    def _changed(self) -> Run:
        with closing(self._open_engine()) as engine:
            engine.change_entities(next(self._places))
        before = self._client.info("stats")["total_net_input_bytes"]
        run = self._push("1% changed", rows=self.entities // 100)
        received = self._client.info("stats")["total_net_input_bytes"] - before
        self.bytes_per_changed_row = received / (self.entities // 100)
        return run

    def _verify(self) -> Run:
        found = []
        run = clock(lambda: found.append(self._view.verify()))
        if not found[0].is_equal or found[0].matching != self.entities:
            raise WrongAnswer(f"verify: {found[0]}")
        with closing(self._open_engine()) as engine:
            check_spots(self._client, engine, self.entities)
        return run

    def _bare(self) -> Run:
        if not self._ready:
            self._ready = ready_made(self._client)
            self.ready_bytes = sum(map(len, self._ready))
        empty(self._client)
        run = clock(lambda: send_ready_made(self._view.redis, self._ready, self.entities))
        if self._client.dbsize() != self.entities:
            raise WrongAnswer("the bare socket's rows did not arrive")
        return run

    def _push(self, name: str, *, rows: int) -> Run:
        pushed = []
        run = clock(lambda: pushed.append(self._view.push()))
        if pushed[0].written != rows or pushed[0].held_back:
            raise WrongAnswer(f"{name}: {pushed[0]}")
        self.phases.setdefault(name, []).append(dict(pushed[0].phase_seconds))
        return run


def _shown(adapter: str, rivals: _Rivals, took: dict[str, Run]) -> Table:
    cold, bare = took["cold push"], took["bare socket"]
    title = f"Push from {'DuckDB' if adapter == 'duckdb' else 'PostgreSQL'}: {short(rivals.entities)} entities"
    table = Table(
        f"{title} × {len(ENTITY_FEATURES)} features",
        ("", "time", "entities a second", "stage", "send", "commit", "of a cold push"),
    )
    for name in ("bare socket", "cold push", "nothing changed", "1% changed", "verify"):
        run, phases = took[name], rivals.phases.get(name)
        spent = [_median(phases, phase) if phases else "" for phase in ("stage", "send", "commit")]
        rate = "" if name.endswith("changed") else f"{rivals.entities / run.seconds:,.0f}"
        table.add(name, seconds(run), rate, *spent, f"{number(times(run, cold))} ×")
    row_commands = sum(rivals.calls.get(name, 0) for name in _ROW_COMMANDS) - _OF_EVERY_PUSH
    sent = rivals.bytes_per_changed_row / (rivals.ready_bytes / rivals.entities)
    memory = rivals.memory / rivals.entities / len(ENTITY_FEATURES)
    table.targets += [
        Target(
            "Cold push, share of the bare socket's speed", times(bare, cold), _LEAST_OF_BARE[adapter], at_least=True
        ),
        Target("Nothing changed, share of a cold push", times(took["nothing changed"], cold), _HIGHEST_UNCHANGED),
        Target("Nothing changed, row commands that reached Redis", row_commands, 0, is_ratio=False),
        Target("1% changed, share of a cold push", times(took["1% changed"], cold), _HIGHEST_CHANGED),
        Target("1% changed, bytes that Redis received, times those of the rows ready-made", sent, _HIGHEST_SENT),
        Target("Verify, share of a cold push", times(took["verify"], cold), _HIGHEST_VERIFY),
        Target("Redis memory, bytes a feature", memory, _HIGHEST_BYTES_PER_FEATURE, is_ratio=False),
    ]
    listed = ", ".join(f"{name} {times_called:,}" for name, times_called in sorted(rivals.calls.items()))
    size = rivals.ready_bytes / rivals.entities
    table.notes.append(f"The bare socket sends {rivals.ready_bytes / 1e6:,.0f} MB, {size:,.0f} bytes an entity.")
    table.notes.append(
        f"All commands of a push at which nothing changed, by Redis's own count: {listed}. Of SET and DEL, four are "
        "about the lease and the id of the Redis; any other would be a row's."
    )
    return table


def _median(phases: list[dict[str, float]], phase: str) -> str:
    """The median of the rounds that count: the first warmed up, unless there was no other."""
    return f"{median(each[phase] for each in phases[1:] or phases):.2f} s"
