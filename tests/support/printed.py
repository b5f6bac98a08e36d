"""Engines that run the SQL which `sql --dialect` prints: what a case is loaded into, and what its answers look like.

Each keeps the tables of a DuckDB or PostgreSQL project (its own words, where it has a project's) as a person would who
copied them there.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

from psycopg.types.json import set_json_loads
from sqlglot import exp

from feature_sync.definitions import Period
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.render import render
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.training.point_in_time import training_query
from tests.support.cases import WORDS, Case
from tests.support.projects import EXAMPLE

WORKER = Path(__file__).with_name("engine_worker.py")


class Engine:
    """An engine in a process of its own, which runs queries of one dialect."""

    dialect: ClassVar[Dialect]
    name: ClassVar[str]
    dialects: ClassVar[tuple[Dialect, ...]]
    """Those whose text it runs."""
    told_version: ClassVar[str]
    environment: ClassVar[str] = "engines"
    types: ClassVar[dict[str, str]]
    settings: ClassVar[list[tuple[str, ...]]] = [()]
    """Hostile sessions: the statements that make each."""

    def __init__(self) -> None:
        python = EXAMPLE / f".venv-{self.environment}" / "bin" / "python"
        assert python.exists(), f"{python} is missing: make .venv-{self.environment}/.made"
        self._folder = tempfile.TemporaryDirectory()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the engine
        self._process = subprocess.Popen(
            [str(python), str(WORKER), self.name],
            cwd=self._folder.name,
            env={**os.environ, "TMPDIR": self._folder.name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._log.close()
        self._folder.cleanup()

    def version(self) -> str:
        return self.ask("version")

    def set(self, statements: Iterable[str]) -> None:
        for statement in statements:
            self.run(statement)

    def load(self, case: Case) -> None:
        tables = {each.view.relation.name: each.view.relation for each in case.service.selections}
        rows = {each.view.relation.name: case.tables[each.view.reference] for each in case.service.selections}
        tables[case.spine.relation.name], rows[case.spine.relation.name] = case.spine.relation, case.spine_rows
        for name, relation in tables.items():
            kinds = {each.name: kind_of(each.data_type) for each in relation.columns.values()}
            for statement in self.creating(self.quoted_table(name), kinds, rows[name]):
                self.run(statement)

    def answer(self, case: Case, dialect: Dialect, asked: Period | None = None) -> list[dict]:
        join = PointInTimeJoin(case.service, case.spine, dialect=dialect, native=dialect_named("duckdb"))
        return self.fetch(render(training_query(join, asked=asked), dialect=dialect))

    def fetch(self, sql: str) -> list[dict]:
        return self.ask("fetch", sql)

    def run(self, statement: str) -> None:
        self.ask("run", statement)

    def ask(self, method: str, *arguments):
        """Ask the other process; its error is ours."""
        pickle.dump((method, arguments), self._process.stdin)
        self._process.stdin.flush()
        try:
            is_answer, answer = pickle.load(self._process.stdout)
        except EOFError:
            self._log.seek(0)
            raise AssertionError(f"{self.name} ended: {self._log.read().decode(errors='replace')}") from None
        assert is_answer, f"{arguments[0] if arguments else method}\n{answer}"
        return answer

    def adapted(self, case: Case) -> Case:
        """The case as the engine's types can hold it."""
        return case

    def canonical(self, rows: list[dict]) -> list[list[tuple]]:
        return sorted([(name, self.spelled(value)) for name, value in row.items()] for row in rows)

    def creating(self, table: str, kinds: dict[str, str], rows: list[dict]) -> list[str]:
        """The statements that make a table and fill it."""
        declared = ", ".join(f"{self.quoted(name)} {self.types[kind]}" for name, kind in kinds.items())
        statements = [f"create or replace table {table} ({declared})"]
        if rows:
            values = [", ".join(self.literal(row[name], kind) for name, kind in kinds.items()) for row in rows]
            statements.append(f"insert into {table} {self.rows_of(values)}")
        return statements

    def rows_of(self, values: list[str]) -> str:
        return f"values {', '.join(f'({each})' for each in values)}"

    def quoted(self, name: str) -> str:
        return exp.to_identifier(name, quoted=True).sql(self.dialect.name)

    def quoted_table(self, name: str) -> str:
        return exp.to_table(name, dialect="duckdb").sql(self.dialect.name)

    def literal(self, value, kind: str) -> str:
        """Write a value as the engine's SQL does, whatever its session's settings."""
        if value is None:
            return f"cast(null as {self.types[kind]})"
        if isinstance(value, (bool, int)):
            return str(value).lower()
        if isinstance(value, list):
            return self.array(value)
        return f"cast({self.text(str(value))} as {self.types[kind]})"

    def array(self, items: list) -> str:
        return f"array({', '.join(map(str, items))})"

    def text(self, value: str) -> str:
        return exp.Literal.string(value).sql(self.dialect.name)

    def spelled(self, value) -> str:
        """A value as text, so that NaN and types count."""
        if isinstance(value, Decimal):
            value = value.normalize()
        return f"{type(value).__name__} {value}".replace("float nan", "float NaN").replace("NaN", "nan")


def closed_up(value):
    """JSON without its spaces, as text; other values, and texts that are no JSON, as they are."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, separators=(",", ":")) if isinstance(value, (list, dict)) else value


def kind_of(word: str) -> str:
    return next(kind for kind, each in WORDS["duckdb"].items() if each == word)


class OnClickHouse(Engine):
    """ClickHouse knows no clock without a zone, and no array that is null."""

    name = "clickhouse"
    dialect = dialect_named(name)
    told_version = "26.9"
    dialects = (dialect,)
    types: ClassVar[dict[str, str]] = {
        "integer": "Nullable(Int64)",
        "float": "Nullable(Float64)",
        "text": "Nullable(String)",
        "flag": "Nullable(Bool)",
        "decimal": "Nullable(Decimal(10, 2))",
        "date": "Nullable(Date32)",
        "naive": "Nullable(DateTime64(6))",
        "aware": "Nullable(DateTime64(6, 'Asia/Tokyo'))",
        "numbers": "Array(Int64)",
        "json": "Nullable(String)",
    }
    settings: ClassVar[list[tuple[str, ...]]] = [
        (),
        ("set session_timezone = 'America/New_York'", "set join_use_nulls = 1"),
        ("set session_timezone = 'Asia/Kolkata'", "set join_use_nulls = 0", "set join_default_strictness = 'ANY'"),
        ("set output_format_json_quote_64bit_integers = 1", "set transform_null_in = 1"),
    ]

    def set(self, statements: Iterable[str]) -> None:
        usual = [
            "set session_timezone = 'UTC'",
            "set join_use_nulls = 0",
            "set join_default_strictness = 'ALL'",
            "set output_format_json_quote_64bit_integers = 0",
            "set transform_null_in = 0",
        ]
        super().set([*usual, *statements])

    def adapted(self, case: Case) -> Case:
        tables = {}
        for selection in case.service.selections:
            kinds = {each.name: kind_of(each.data_type) for each in selection.view.relation.columns.values()}
            tables[selection.view.reference] = [
                {name: [] if value is None and kinds[name] == "numbers" else value for name, value in row.items()}
                for row in case.tables[selection.view.reference]
            ]
        return replace(case, tables=tables)

    def creating(self, table: str, kinds: dict[str, str], rows: list[dict]) -> list[str]:
        made, *filled = super().creating(table, kinds, rows)
        return [f"{made} engine = Memory", *filled]

    def literal(self, value, kind: str) -> str:
        if value is not None and kind in ("naive", "aware"):
            return f"toDateTime64('{value.replace(tzinfo=None)}', 6, 'UTC')"
        if isinstance(value, float):
            return f"{value!r}"
        return super().literal(value, kind)

    def array(self, items: list) -> str:
        return f"cast([{', '.join(map(str, items))}] as Array(Int64))"

    def spelled(self, value) -> str:
        if isinstance(value, datetime):
            value = value.replace(tzinfo=None)
        return super().spelled(None if value == [] else value)


class OnSnowflake(Engine):
    """An emulator, whose queries DuckDB runs in the end."""

    name = "snowflake"
    dialect = dialect_named(name)
    told_version = "0.12.1"
    dialects = (dialect,)
    types: ClassVar[dict[str, str]] = {
        "integer": "bigint",
        "float": "double",
        "text": "varchar",
        "flag": "boolean",
        "decimal": "decimal(10, 2)",
        "date": "date",
        "naive": "timestamp_ntz",
        "aware": "timestamp_tz",
        "numbers": "array",
        "json": "variant",
    }
    settings: ClassVar[list[tuple[str, ...]]] = [
        (f"set timezone = '{zone}'",) for zone in ("UTC", "America/New_York", "Asia/Kolkata")
    ]

    def rows_of(self, values: list[str]) -> str:
        return " union all ".join(f"select {each}" for each in values)

    def array(self, items: list) -> str:
        return f"array_construct({', '.join(map(str, items))})"

    def spelled(self, value) -> str:
        return super().spelled(closed_up(value))

    def literal(self, value, kind: str) -> str:
        if value is not None and kind == "json":
            return f"parse_json({self.text(value)})"
        return super().literal(value, kind)


class OnSail(Engine):
    """Spark's SQL without Java."""

    dialect = dialect_named("spark")
    name = "sail"
    told_version = "0.7.2"
    dialects = (dialect, dialect_named("databricks"))
    types: ClassVar[dict[str, str]] = {
        "integer": "bigint",
        "float": "double",
        "text": "string",
        "flag": "boolean",
        "decimal": "decimal(10, 2)",
        "date": "date",
        "naive": "timestamp_ntz",
        "aware": "timestamp_ltz",
        "numbers": "array<bigint>",
        "json": "string",
    }
    settings: ClassVar[list[tuple[str, ...]]] = [
        (
            f"set spark.sql.session.timeZone = {zone}",
            f"set spark.sql.timestampType = {kind}",
            f"set spark.sql.ansi.enabled = {ansi}",
        )
        for zone, kind, ansi in (
            ("UTC", "TIMESTAMP_LTZ", "true"),
            ("America/New_York", "TIMESTAMP_NTZ", "true"),
            ("Asia/Kolkata", "TIMESTAMP_NTZ", "false"),
            ("Europe/Paris", "TIMESTAMP_LTZ", "false"),
        )
    ]

    def adapted(self, case: Case) -> Case:
        return replace(case, tables={view: without_lone_nan(rows) for view, rows in case.tables.items()})

    def creating(self, table: str, kinds: dict[str, str], rows: list[dict]) -> list[str]:
        nothing = ", ".join(f"cast(null as {self.types[kind]}) as {self.quoted(name)}" for name, kind in kinds.items())
        parts = [f"select {nothing} where false"] + [
            "select " + ", ".join(self.literal(row[name], kind) for name, kind in kinds.items()) for row in rows
        ]
        return [f"create or replace temporary view {table} as {' union all '.join(parts)}"]

    def literal(self, value, kind: str) -> str:
        if kind == "integer" and value is not None:
            return f"cast('{value}' as bigint)"
        if kind == "numbers" and value is not None:
            return f"cast({self.array(value)} as array<bigint>)"
        return super().literal(value, kind)


def without_lone_nan(rows: list[dict]) -> list[dict]:
    """Set NaN to null in columns that hold one other number: Sail's statistics leave NaN out.

    A column of NaN and 2.0 has 2.0 as its least and its greatest value, so Sail 0.7 reads 2.0 throughout.
    """
    names = rows[0] if rows else ()
    floats = {name: [row[name] for row in rows if isinstance(row[name], float)] for name in names}
    numbers = {name: {each for each in values if not is_nan(each)} for name, values in floats.items()}
    return [
        {name: None if is_nan(value) and len(numbers[name]) == 1 else value for name, value in row.items()}
        for row in rows
    ]


def is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


class OnSpark(OnSail):
    """Spark itself."""

    name = environment = "spark"
    told_version = "4.3.0"

    def adapted(self, case: Case) -> Case:
        return case

    def __init__(self) -> None:
        java = shutil.which("java", path=f"{os.environ.get('JAVA_HOME', '')}/bin{os.pathsep}{os.environ['PATH']}")
        assert java, "Spark runs on Java 17 or newer, and there is none: apt-get install openjdk-17-jre-headless"
        super().__init__()


class OnRedshift(Engine):
    """PostgreSQL, which Redshift once was, with the function and the type that only Redshift has."""

    name = "redshift"
    dialect = dialect_named(name)
    told_version = "18"
    dialects = (dialect,)
    types: ClassVar[dict[str, str]] = WORDS["postgres"] | {"numbers": "jsonb", "json": "jsonb"}
    settings: ClassVar[list[tuple[str, ...]]] = [
        (f"set timezone = '{zone}'", "set standard_conforming_strings = off", "set backslash_quote = on")
        for zone in ("UTC", "America/New_York", "Asia/Kolkata")
    ]

    def __init__(self, server) -> None:
        self.connection = server.connect(prepare_threshold=None)
        self.connection.execute("set escape_string_warning = off")
        self.connection.execute(
            "create function pg_temp.json_serialize(jsonb) returns text language sql as "
            "$$ select replace(replace($1::text, ', ', ','), ': ', ':') collate \"C\" $$"
        )
        set_json_loads(bytes.decode, self.connection)

    def close(self) -> None:
        self.connection.close()

    def version(self) -> str:
        return self.connection.execute("show server_version").fetchone()[0]

    def run(self, statement: str) -> None:
        self.connection.execute(statement)

    def fetch(self, sql: str) -> list[dict]:
        text = sql.replace("VARCHAR(MAX)", "VARCHAR").replace("JSON_SERIALIZE(", "pg_temp.JSON_SERIALIZE(")
        cursor = self.connection.execute(text)
        names = [each.name for each in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def creating(self, table: str, kinds: dict[str, str], rows: list[dict]) -> list[str]:
        """Text stands in an order by code point there, whatever the collation of the database."""
        collations = {"text": ' collate "C"'}
        declared = ", ".join(f'"{name}" {self.types[kind]}{collations.get(kind, "")}' for name, kind in kinds.items())
        statements = [f"drop table if exists {table}", f"create temp table {table} ({declared})"]
        return [*statements, *super().creating(table, kinds, rows)[1:]]

    def array(self, items: list) -> str:
        return f"cast('{json.dumps(items)}' as jsonb)"

    def spelled(self, value) -> str:
        value = closed_up(value)
        return super().spelled(value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value)
