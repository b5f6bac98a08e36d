"""A project of electricity meters, whose table tests change by SQL: its feature views are views over one table."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import psycopg
import redis

from feature_sync import FeatureStore
from feature_sync.push import Pushed
from tests.support import emulator
from tests.support.naive import client_of, differences
from tests.support.projects import PROJECTS, BuiltProject, build_project

NOON = datetime(2024, 1, 1, 12)


@dataclass
class Meters:
    """The project in one warehouse, and one Redis."""

    project: BuiltProject
    redis_url: str
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._opened = ExitStack()
        self.store = self.open()

    def open(self, **options) -> FeatureStore:
        """Open the feature store; it is closed when the test ends."""
        options = {
            "profiles_dir": str(self.project.folder),
            "target": self.project.target_name,
            "redis_url": self.redis_url,
            **self.options,
            **options,
        }
        store = self._opened.enter_context(FeatureStore.open(self.project.folder, **options))
        assert store.target  # read while the environment is this project's
        return store

    def reopen(self, **options) -> FeatureStore:
        """Open the feature store anew, which reads what dbt has written since."""
        self.store = self.open(**options)
        return self.store

    def close(self) -> None:
        self._opened.close()

    @property
    def client(self) -> redis.Redis:
        return self._opened.enter_context(client_of(self.redis_url))

    def keys(self, pattern: str) -> list[bytes]:
        """The Redis keys of a pattern, on all nodes of a cluster."""
        return sorted(self.client.scan_iter(pattern, count=10_000))

    def allow(self, rule: str) -> None:
        """Change what Redis allows every user that has no name, on all nodes of a cluster."""
        client = self.client
        nodes = {"target_nodes": "all"} if isinstance(client, redis.RedisCluster) else {}
        client.execute_command("ACL", "SETUSER", "default", rule, **nodes)

    @property
    def schema(self) -> str:
        return "main" if self.project.target == "duckdb" else self.project.environment.get("METERS_SCHEMA", "meters")

    @property
    def text_type(self) -> str:
        return "string" if self.project.target == "bigquery" else "text"

    @property
    def sync_schema(self) -> str:
        return f"{self.schema}_feature_sync"

    @property
    def keeper(self) -> str:
        """The adapter of the warehouse that keeps the states."""
        return self.project.state or self.project.target

    def run(self, *statements: str) -> list[tuple]:
        """Run statements in the warehouse, `{t}` standing for the table and `{s}` for its schema; returns the last
        result.
        """
        texts = [each.format(t=f"{self.schema}.readings", s=self.schema) for each in statements]
        return self._run(self.project.target, "meters.duckdb", texts)

    def run_state(self, *statements: str) -> list[tuple]:
        """Run statements where the states are kept, `{s}` standing for their schema; returns the last result."""
        file = "state.duckdb" if self.project.state else "meters.duckdb"
        return self._run(self.keeper, file, [each.format(s=self.sync_schema) for each in statements])

    def _run(self, adapter: str, file: str, texts: list[str]) -> list[tuple]:
        if adapter == "duckdb":
            with closing(duckdb.connect(str(self.project.folder / file))) as connection:
                for text in texts:
                    result = connection.execute(text)
                return result.fetchall()
        environment = self.project.environment
        if adapter == "bigquery":
            return emulator.run(environment["FEATURE_SYNC_BIGQUERY_ENDPOINT"], *texts)
        login = {name: environment[f"PG{name.upper()}"] for name in ("host", "port", "user", "password")}
        with psycopg.connect(**login, dbname=environment["PGDATABASE"]) as connection:
            for text in texts:
                result = connection.execute(text)
            return result.fetchall() if result.description else []

    def sync_tables(self) -> list[str]:
        """The names of the tables that pushes have made."""
        if self.keeper == "bigquery":
            return emulator.tables(self.project.environment["FEATURE_SYNC_BIGQUERY_ENDPOINT"], self.sync_schema)
        query = f"select table_name from information_schema.tables where table_schema = '{self.sync_schema}'"
        return [name for (name,) in self.run_state(query)]

    def reset(self) -> None:
        """Let no push have been, and no reading."""
        self.run("delete from {t}")
        self.run_state("drop schema if exists {s} cascade")

    def read(self, *readings: tuple) -> None:
        """Insert readings: meter, minutes after noon, kWh, and where others, the minutes at which it was loaded."""
        self.run(f"insert into {{t}} values {', '.join(map(row, readings))}")

    def many(self, count: int) -> None:
        """Insert a reading of each of many meters."""
        sources = {
            "duckdb": f"range({count}) as numbers(i)",
            "postgres": f"generate_series(0, {count - 1}) as numbers(i)",
            "bigquery": f"unnest(generate_array(0, {count - 1})) as i",
        }
        source, moment = sources[self.project.target], f"timestamp '{NOON}'"
        meter = f"concat('m', cast(i as {self.text_type}))"
        self.run(f"insert into {{t}} select {meter}, {moment}, {moment}, i, 'note' from {source}")

    def push(self, *names: str, **options) -> Pushed:
        """Push one view, `latest_readings` unless named, which must not be held back; Redis is right afterwards."""
        name = (names or ("latest_readings",))[0]
        (pushed,) = list(self.store.push([name], **options))
        assert pushed.held_back is None, pushed
        assert self.differences(name) == []
        return pushed

    def differences(self, name: str = "latest_readings") -> list[str]:
        return differences(self.store, name)

    def value(self, meter: str, view: str = "latest_readings", feature: str = "kwh", **options) -> tuple:
        vector = self.store.get_feature_vector(view, {"meter": meter}, **options)
        return vector[feature], str(vector.statuses[feature])


def row(reading: tuple) -> str:
    meter, minutes, kwh, *loaded = reading
    moment, loaded_at = (NOON + timedelta(minutes=each) for each in (minutes, loaded[0] if loaded else minutes))
    return f"('{meter}', timestamp '{moment}', timestamp '{loaded_at}', {kwh}, 'note')"


def minutes_ago(minutes: float) -> float:
    """A moment of the real clock, as minutes after the noon of the readings."""
    return (datetime.now(UTC).replace(tzinfo=None) - NOON) / timedelta(minutes=1) - minutes


def build_meters(folder, target: str, environment: dict[str, str], state: str | None = None) -> BuiltProject:
    """Build the project; with `state`, pushes keep their states there."""
    built = build_project(PROJECTS / "meters", folder, target=target, environment=environment)
    return replace(built, state=state)
