"""One SQL engine in a process and an environment of its own: requests come pickled on stdin, answers go to stdout.

Run by the Python of `.venv-engines` or `.venv-spark`, so it imports nothing of ours, and nothing of the tests.
"""

from __future__ import annotations

import itertools
import os
import pickle
import sys
import time
import traceback
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

# Drivers show an instant as a clock of this process's zone would.
os.environ["TZ"] = "UTC"
time.tzset()


class ClickHouse:
    """The real engine as a library."""

    def __init__(self) -> None:
        from chdb import session

        self._session = session.Session()

    def version(self) -> str:
        return self.fetch("select version() as version")[0]["version"]

    def run(self, sql: str) -> None:
        self._session.query(sql)

    def fetch(self, sql: str) -> list[dict]:
        import io

        import pyarrow.parquet

        answer = self._session.query(sql, "Parquet")
        return _plain(pyarrow.parquet.read_table(io.BytesIO(answer.bytes())))

    def load_parquet(self, table: str, path: str) -> None:
        self.run(f"create or replace table {table} engine = Memory as select * from file('{path}', Parquet)")


class Snowflake:
    """An emulator, which rewrites Snowflake's SQL for DuckDB."""

    def __init__(self) -> None:
        import fakesnow
        import snowflake.connector

        self._patch = fakesnow.patch()
        self._patch.__enter__()
        self._connection = snowflake.connector.connect(database="generated", schema="main")
        self._cursor = self._connection.cursor()

    def version(self) -> str:
        from importlib.metadata import version

        return version("fakesnow")

    def run(self, sql: str) -> None:
        if sql.startswith("set "):  # the emulator knows no settings of a session; of DuckDB's, its zone is the like
            self._connection._duck_conn.execute(sql)  # noqa: SLF001
        else:
            self._cursor.execute(sql)

    def fetch(self, sql: str) -> list[dict]:
        self._cursor.execute(sql)
        names = [each[0] for each in self._cursor.description]
        return [dict(zip(names, map(_in_utc, row), strict=True)) for row in self._cursor.fetchall()]

    def load_parquet(self, table: str, path: str) -> None:
        self.run(f"create or replace table {table} as select * from read_parquet('{path}')")


class Sail:
    """Spark's SQL without Java, asked through Spark's own client."""

    def __init__(self) -> None:
        from pysail.spark import SparkConnectServer
        from pyspark.sql import SparkSession

        self._numbers = itertools.count()
        self._server = SparkConnectServer(ip="127.0.0.1", port=0)
        self._server.start(background=True)
        host, port = self._server.listening_address
        self._spark = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()

    def version(self) -> str:
        from importlib.metadata import version

        return version("pysail")

    def run(self, sql: str) -> None:
        if sql.startswith("set "):
            self._spark.conf.set(*sql.removeprefix("set ").split(" = "))
        elif sql.startswith("create or replace temporary view "):
            name, _, query = sql.removeprefix("create or replace temporary view ").partition(" as ")
            self.keep(name, query)
        else:
            self._spark.sql(sql).collect()

    def fetch(self, sql: str) -> list[dict]:
        frame = self._spark.sql(sql)
        instants = [field.dataType.typeName() == "timestamp" for field in frame.schema.fields]
        names = frame.columns
        return [
            {
                name: value.replace(tzinfo=UTC) if is_instant and value is not None else value
                for name, value, is_instant in zip(names, row, instants, strict=True)
            }
            for row in frame.collect()
        ]

    def keep(self, name: str, query: str) -> None:
        """Keep rows in a file: Sail's planner fails at joins of rows that it knows to be constant."""
        import pyarrow.parquet

        path = f"{next(self._numbers)}.parquet"
        pyarrow.parquet.write_table(self._spark.sql(query).toArrow(), path)
        self.load_parquet(name, str(Path(path).resolve()))

    def load_parquet(self, table: str, path: str) -> None:
        self._spark.read.parquet(path).createOrReplaceTempView(table.strip("`"))


class Spark(Sail):
    """Spark itself, in a Java process that this one starts."""

    def __init__(self) -> None:
        from pyspark.sql import SparkSession

        folder = Path.cwd()
        options = {
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "2",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.memory": "2g",
            "spark.sql.warehouse.dir": f"{folder}/warehouse",
            "spark.local.dir": str(folder),
            "spark.log.level": "ERROR",
        }
        builder = SparkSession.builder.master("local[2]")
        for name, value in options.items():
            builder = builder.config(name, value)
        self._spark = builder.getOrCreate()

    def version(self) -> str:
        return self._spark.version

    def keep(self, name: str, query: str) -> None:
        self._spark.sql(f"create or replace temporary view {name} as {query}")


def _plain(table) -> list[dict]:
    """Rows of an Arrow table, instants as Python's own in UTC."""
    return [{name: _in_utc(value) for name, value in row.items()} for row in table.to_pylist()]


def _in_utc(value):
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return value if not isinstance(value, Decimal) else Decimal(str(value))


ENGINES = {each.__name__.lower(): each for each in (ClickHouse, Snowflake, Sail, Spark)}


def main(name: str) -> None:
    """Answer until stdin ends; whatever an engine prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    engine = ENGINES[name]()
    while True:
        try:
            method, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            os._exit(0)  # engines have threads of their own, which would go on waiting
        try:
            answer = (True, getattr(engine, method)(*arguments))
        except Exception:  # noqa: BLE001 - whatever the engine raises is the test's to show
            answer = (False, traceback.format_exc())
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
