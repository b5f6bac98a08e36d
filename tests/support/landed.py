"""A project of landed topics on one warehouse: what a writer lands, by SQL, and what the hooks keep of it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import duckdb

from feature_sync.definitions import FeatureView, Relation
from feature_sync.errors import Location
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.push.watermarks import watermark_rows
from feature_sync.sql.render import render
from tests.support import emulator
from tests.support.package import PackageProject

TOPIC = "positions"
COLUMNS = {
    "positions": "topic {text}, topic_partition {number}, topic_offset {number}, message_value {text}",
    "positions__ranges": "topic {text}, topic_partition {number}, first_offset {number}, next_offset {number}",
    "own_positions": "kafka_partition {number}, kafka_offset {number}",
    "alarms": "topic {text}, topic_partition {number}, topic_offset {number}",
    "zones": "zone {text}",
}


class LandedProject(PackageProject):
    """The project `watermarks`."""

    @property
    def schema(self) -> str:
        return "main" if self.target == "duckdb" else self.name

    @property
    def types(self) -> dict[str, str]:
        """The warehouse's names of the types in `COLUMNS`."""
        names = ("int64", "string") if self.target == "bigquery" else ("bigint", "text")
        return dict(zip(("number", "text"), names, strict=True))

    def reset(self) -> None:
        """Let nothing be landed, and nothing be built."""
        if self.target == "duckdb":
            (self.project.folder / f"{self.name}.duckdb").unlink(missing_ok=True)
        else:
            self.run(f"drop schema if exists {self.schema} cascade", f"create schema {self.schema}")
        for table, columns in COLUMNS.items():
            self.run(f"create table {self.schema}.{table} ({columns.format(**self.types)})")

    def land(self, partition: int, first: int, end: int) -> None:
        """Land the messages from one offset up to another, as feature-sync does: rows, and the range of them."""
        rows = ", ".join(f"('{TOPIC}', {partition}, {offset}, '{offset}')" for offset in range(first, end))
        self.run(
            f"insert into {self.schema}.positions values {rows}",
            f"insert into {self.schema}.positions__ranges values ('{TOPIC}', {partition}, {first}, {end})",
        )

    def insert(self, table: str, *rows: str) -> None:
        self.run(f"insert into {self.schema}.{table} values {', '.join(rows)}")

    def watermark(self, model: str, topic: str = TOPIC) -> dict[int, int]:
        """The watermark of a model, by the query of feature-sync."""
        quote = "`" if self.target == "bigquery" else '"'
        name = ".".join(f"{quote}{part}{quote}" for part in (self.schema, model))
        relation = Relation(name=name, unique_id=f"model.{model}", location=Location("models.yml", model), columns={})
        view = FeatureView(name=model, relation=relation, entities=(), features=())
        dialect = dialect_named(self.target)
        return dict(self.fetch(render(watermark_rows(view, topic, dialect=dialect), dialect=dialect)))

    def offsets(self, model: str) -> dict[int, list[int]]:
        """The offsets in the rows of a model, by partition."""
        found: dict[int, list[int]] = {}
        order = "topic_partition, topic_offset"
        for partition, offset in self.fetch(f"select {order} from {self.schema}.{model} order by {order}"):
            found.setdefault(partition, []).append(offset)
        return found

    def tables(self) -> list[str]:
        """The names of the tables in the project's schema."""
        if self.target == "bigquery":
            return emulator.tables(self._server.endpoint, self.schema)
        query = f"select table_name from information_schema.tables where table_schema = '{self.schema}'"
        return [name for (name,) in self.fetch(query)]

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        return self.run(query)

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in the warehouse; returns the rows of the last."""
        if self.target == "bigquery":
            return emulator.run(self._server.endpoint, *statements)
        if self.target == "postgres":
            with closing(self._server.connect()) as connection:
                for statement in statements:
                    cursor = connection.execute(statement)
                return cursor.fetchall() if cursor.description else []
        with closing(duckdb.connect(str(self.project.folder / f"{self.name}.duckdb"))) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall()
