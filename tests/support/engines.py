"""Warehouses that run a generated case, and what to ask them."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Collection
from contextlib import contextmanager
from datetime import UTC
from decimal import Decimal

import duckdb
from hypothesis import settings
from psycopg.types.json import set_json_loads

from feature_sync.definitions import Period
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.render import render
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.training.point_in_time import training_query
from feature_sync.warehouses.duckdb.session import pin
from feature_sync.warehouses.postgres.settings import PostgresSettings
from tests.support.cases import Case


class OnDuckDB:
    """Runs a case on an embedded DuckDB."""

    adapter = "duckdb"
    dialect = dialect_named(adapter)

    def __init__(self):
        self.connection = duckdb.connect()

    def set_zone(self, zone):
        self.connection.execute(f"set timezone = '{zone}'")

    @contextmanager
    def session(self, setting, value):
        """Set something as a profile could, and then pin what the product does."""
        self.connection.execute(f"set {setting} = '{value}'")
        pin(self.connection)
        yield
        self.connection.execute(f"reset {setting}")

    def load(self, relation, rows):
        columns = list(relation.columns.values())
        declared = ", ".join(f'"{column.name}" {column.data_type}' for column in columns)
        self.connection.execute(f"create or replace table {relation.name} ({declared})")
        marks = ", ".join("?" for _ in columns)
        for row in rows:
            self.connection.execute(
                f"insert into {relation.name} values ({marks})", [row[column.name] for column in columns]
            )

    def fetch(self, sql):
        cursor = self.connection.execute(sql)
        names = [each[0] for each in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


class OnPostgres:
    """Runs a case on a real PostgreSQL, in tables that end with the session."""

    adapter = "postgres"
    dialect = dialect_named(adapter)

    def __init__(self, server):
        self.connection = server.connect(prepare_threshold=None)
        set_json_loads(bytes.decode, self.connection)

    def set_zone(self, zone):
        self.connection.execute(f"set timezone = '{zone}'")

    @contextmanager
    def session(self, setting, value):
        """Set something as a role or a database could, and then pin what the product does."""
        self.connection.execute("select set_config(%s, %s, false)", [setting, value])
        self.connection.execute(PostgresSettings(host="", user="").session(writable=False))
        yield
        self.connection.execute("reset all")

    def load(self, relation, rows):
        columns = list(relation.columns.values())
        declared = ", ".join(f'"{column.name}" {column.data_type}' for column in columns)
        self.connection.execute(f"drop table if exists {relation.name}")
        self.connection.execute(f"create temp table {relation.name} ({declared})")
        with self.connection.cursor() as cursor, cursor.copy(f"copy {relation.name} from stdin") as copy:
            for row in rows:
                copy.write_row([row[column.name] for column in columns])

    def fetch(self, sql):
        cursor = self.connection.execute(sql)
        names = [each.name for each in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def strategies(warehouse, case: Case) -> list[str | None]:
    """All ways in which the warehouse can be asked; None leaves the choice to the product."""
    bitemporal = any(selection.view.known_at for selection in case.service.selections)
    known = warehouse.dialect.strategies
    return [None, *(each for each in known if each != "bucket" or not bitemporal)]


def ask(
    warehouse,
    case: Case,
    strategy: str | None = None,
    asked: Period | None = None,
    restricted: Collection[str] | None = None,
) -> list[dict]:
    join = PointInTimeJoin(case.service, case.spine, dialect=warehouse.dialect)
    query = training_query(join, strategy=strategy, asked=asked, restricted=restricted)
    return warehouse.fetch(render(query, dialect=join.dialect))


def load(warehouse, case: Case, *, seed: int | None = None) -> None:
    for selection in case.service.selections:
        rows = list(case.tables[selection.view.reference])
        if seed is not None:
            random.Random(seed).shuffle(rows)
        warehouse.load(selection.view.relation, rows)
    warehouse.load(case.spine.relation, case.spine_rows)


def canonical(rows: list[dict]) -> list[list[tuple]]:
    """Rows as sorted text, so that order does not count while types, NaN and duplicates do."""
    return sorted([(name, spelled(value)) for name, value in row.items()] for row in rows)


def spelled(value) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "float nan"
    if isinstance(value, Decimal):
        value = value.normalize()
    if hasattr(value, "tzinfo") and value.tzinfo is not None:
        value = value.astimezone(UTC)
    return f"{type(value).__name__} {value}"


def examples(usual: int) -> settings:
    """How many cases to generate; HYPOTHESIS_TIMES multiplies them, to search for longer or, as 0.1, for less long."""
    return settings(max_examples=max(1, round(usual * float(os.environ.get("HYPOTHESIS_TIMES", "1")))))
