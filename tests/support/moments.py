"""The example as it would have stood at an earlier moment: built from what was known by then, without dbt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

KNOWN_FROM = {
    # A flight is known from its schedule on, or from its departure where it left early: whichever came first.
    "flights": (
        "(flight_date + to_minutes(cast(60 * (sched_dep_time // 100) + sched_dep_time % 100 as bigint)))"
        " at time zone 'America/New_York' at time zone 'UTC' + to_minutes(least(0, coalesce(dep_delay, 0)))"
    ),
    "weather": "time_hour",
}
"""The earliest instant at which a row of a seed existed, in UTC; other seeds have no time and are taken whole."""
VIEWS = {
    "carrier_delays_v1": ("hour_end", timedelta(0)),
    "carrier_delays_v2": ("hour_end", timedelta(0)),
    "aircraft_history": ("landed_at", timedelta(0)),
    "airport_weather": ("observed_at", timedelta(hours=1)),
}
"""The event time and lag of each feature view that has a past."""


@dataclass(frozen=True)
class Example:
    """The example as dbt built and compiled it on DuckDB; `as_of` is its clock, as the compiled SQL writes it."""

    folder: Path
    as_of: str = "2013-01-31 16:50:00.000000"

    def compiled(self) -> dict[str, tuple[str, str]]:
        """The models by their tables' names, as `(materialized, SQL)`, each after what it reads."""
        nodes = json.loads((self.folder / "target" / "manifest.json").read_text())["nodes"]
        models: dict[str, tuple[str, str]] = {}

        def visit(name: str) -> None:
            node = nodes.get(name, {})
            if node.get("resource_type") != "model" or node["alias"] in models:
                return
            for parent in node["depends_on"]["nodes"]:
                visit(parent)
            models[node["alias"]] = (node["config"]["materialized"], node["compiled_code"])

        for name, node in nodes.items():
            if node.get("alias") in VIEWS:
                visit(name)
        return models

    def differences(self, moment: datetime, change: Callable[[str], str] = str) -> Mapping[str, list[Any]]:
        """The rows available by a moment that dbt built, or a build at the moment does, and not both.

        `change` rewrites each model's SQL before it is built.
        """
        models = {table: (kind, change(sql)) for table, (kind, sql) in self.compiled().items()}
        with self._built_at(moment, models) as connection:
            found = {}
            for view, (event_time, lag) in VIEWS.items():
                columns = ", ".join(
                    f'"{name}"' for name, *_ in connection.execute(f"describe built.main.{view}").fetchall()
                )
                rows = [
                    set(
                        connection.execute(
                            f"select {columns} from {table} where {event_time} <= ?", [moment - lag]
                        ).fetchall()
                    )
                    for table in (f"built.main.{view}", f"flights.main.{view}")
                ]
                found[view] = sorted(rows[0] ^ rows[1], key=str)
            return found

    @contextmanager
    def _built_at(self, moment: datetime, models: Mapping[str, tuple[str, str]]) -> Iterator[duckdb.DuckDBPyConnection]:
        """Build the models in memory from what was known at a moment, which is what they call now."""
        with duckdb.connect() as connection:
            connection.execute(f"attach '{self.folder / 'flights.duckdb'}' as built (read_only)")
            connection.execute("attach ':memory:' as flights; use flights")
            for seed in ("flights", "weather", "planes", "airlines", "airports"):
                known = f" where {KNOWN_FROM[seed]} <= '{moment}'" if seed in KNOWN_FROM else ""
                connection.execute(f"create table {seed} as from built.main.{seed}{known}")
            for table, (kind, sql) in models.items():
                at_moment = sql.replace(self.as_of, f"{moment:%Y-%m-%d %H:%M:%S.%f}")
                connection.execute(f"create {kind if kind == 'view' else 'table'} {table} as {at_moment}")
            yield connection
