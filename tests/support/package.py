"""The dbt package on one warehouse: a project that installs it, and events that a test writes."""

from __future__ import annotations

import csv
import json
import random
import shutil
import subprocess
from contextlib import closing
from dataclasses import astuple, dataclass, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from tests.support.emulator import connect as connect_to_bigquery
from tests.support.projects import EXAMPLE, PROJECTS, BuiltProject, copy_project

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BEGIN = datetime(2024, 1, 1)
AFTER_ALL = BEGIN + 60 * DAY


@dataclass(frozen=True, kw_only=True)
class Event:
    """A row of the seed `events`; times are in UTC."""

    event_id: int
    entity: str | None
    happened_at: datetime | None
    loaded_at: datetime
    amount: int | None
    label: str | None


def random_events(seed: int, count: int, *, first: int = 1, loaded_from: datetime = BEGIN) -> list[Event]:
    """Make events with ties, gaps, nulls, and moments that lie exactly on the borders of windows."""
    chance = random.Random(seed)
    moments = [BEGIN + chance.randrange(9 * 24 * 4) * timedelta(minutes=15) for _ in range(count // 2)]
    moments += [moment + chance.choice((HOUR, DAY, 7 * DAY, -HOUR)) for moment in moments]
    moments += [moment + timedelta(microseconds=chance.choice((-1, 1))) for moment in moments[: count // 4]]
    return [
        Event(
            event_id=first + number,
            entity=chance.choice(("a", "b", "c", None) if number % 9 == 0 else ("a", "b", "c")),
            happened_at=None if number % 23 == 7 else moment,
            loaded_at=loaded_from + chance.randrange(60) * timedelta(minutes=1),
            amount=None if number % 11 == 5 else chance.randrange(10),
            label=None if number % 13 == 3 else chance.choice(("x", "y", "z", "a|b")),
        )
        for number, moment in enumerate(moments)
    ]


class PackageProject:
    """A project of tests/projects that installs the package, on one warehouse; `server` is None on DuckDB."""

    def __init__(self, name: str, folder: Path, target: str, server: Any, **environment: str) -> None:
        self.name = name
        self.target = target
        self._server = server
        environment = {**({} if server is None else server.environment), **environment}
        environment["FEATURE_SYNC_PACKAGE"] = str(EXAMPLE)
        self.project = BuiltProject(copy_project(PROJECTS / name, folder), target, environment)
        if target == "spark":
            (folder / "macros").mkdir(exist_ok=True)
            shutil.copy(EXAMPLE / "macros" / "example" / "spark__load_csv_rows.sql", folder / "macros")
        self.dbt("deps")

    @property
    def server(self) -> Any:
        return self._server

    def dbt(self, *arguments: str, clock: datetime | None = None) -> subprocess.CompletedProcess[str]:
        """Run dbt at a moment; fails the test if dbt fails."""
        return self.project.dbt(*self._quietly(arguments, clock))

    def try_dbt(self, *arguments: str, clock: datetime | None = None) -> subprocess.CompletedProcess[str]:
        """Run dbt at a moment."""
        return self.project.try_dbt(*self._quietly(arguments, clock))

    def write(self, events: list[Event]) -> None:
        """Write the seed `events` anew."""
        with (self.project.folder / "seeds" / "events.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([each.name for each in fields(Event)])
            writer.writerows(astuple(event) for event in events)

    def rows(self, relation: str) -> list[dict[str, Any]]:
        """All rows of a relation; moments are in UTC and without a zone, numbers are int or float."""
        return [{name: plain(value) for name, value in row.items()} for row in self._fetch(relation)]

    def statuses(self) -> dict[str, tuple[str, int | None]]:
        """The status and the number of failures of each node of dbt's last command, by name."""
        results = json.loads((self.project.folder / "target" / "run_results.json").read_text())["results"]
        return {each["unique_id"].split(".")[2]: (each["status"], each["failures"]) for each in results}

    def _fetch(self, relation: str) -> list[dict[str, Any]]:
        if self.target == "bigquery":
            with closing(connect_to_bigquery(self._server.endpoint)) as client:
                return [dict(row) for row in client.query(f"select * from {self.name}.{relation}").result()]
        if self.target == "postgres":
            with closing(self._server.connect()) as connection:
                cursor = connection.execute(f"select * from {self.name}.{relation}")
                names = [each.name for each in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        if self.target == "spark":
            return self._server.rows(f"select * from {self.name}.{relation}")
        with duckdb.connect(str(self.project.folder / f"{self.name}.duckdb"), read_only=True) as connection:
            return connection.sql(f"select * from {relation}").to_arrow_table().to_pylist()

    @staticmethod
    def _quietly(arguments: tuple[str, ...], clock: datetime | None) -> list[str]:
        variables = [] if clock is None else ["--vars", json.dumps({"feature_sync_as_of": clock.isoformat()})]
        return ["--quiet", *arguments, *variables]


def plain(value: Any) -> Any:
    """Read a value in the same types from every warehouse."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    if value is None or isinstance(value, str | bool | int | float | date):
        return value
    return int(value) if value == int(value) else float(value)
