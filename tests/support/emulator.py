"""BigQuery's API on this machine, for the tests: an emulator from a wheel, which keeps its tables in memory."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from contextlib import closing
from urllib.error import URLError
from urllib.request import urlopen

import sqlglot
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from sqlglot import exp

from feature_sync.online.redis.server import _free_port
from feature_sync.sql.dialects import dialect_named
from tests.support.projects import EXAMPLE

_PROGRAM = EXAMPLE / ".venv-bigquery" / "bin" / "crucible"
_SECONDS_TO_START = 60
PROJECT = "feature-sync-example"
_DATASET = "generated"
_PRECISION = re.compile(r"NUMERIC\(\d+, \d+\)")


class BigQueryServer:
    """A server on a free port; it asks for no credentials."""

    def __enter__(self):
        assert _PROGRAM.exists(), f"{_PROGRAM} is missing: make .venv-bigquery/.made"
        port = _free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self._log = tempfile.TemporaryFile()
        command = (str(_PROGRAM), "serve", "--dialect", "bigquery", "--port", str(port))
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + _SECONDS_TO_START
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError("the BigQuery emulator did not start")
            time.sleep(0.1)
        return self

    def __exit__(self, *error):
        self._process.terminate()
        self._process.wait()
        self._log.close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the projects' profiles read."""
        return {"FEATURE_SYNC_BIGQUERY_ENDPOINT": self.endpoint}

    def _is_up(self) -> bool:
        try:
            with urlopen(f"{self.endpoint}/_crucible/health"):
                return True
        except URLError:
            return False


class OnEmulator:
    """Runs a case on the emulator, which keeps BigQuery's types; sessions have no zone of their own there."""

    adapter = "bigquery"
    dialect = dialect_named(adapter)

    def __init__(self, endpoint: str) -> None:
        self._client = connect(endpoint)
        self._client.create_dataset(_DATASET, exists_ok=True)
        self._config = bigquery.QueryJobConfig(default_dataset=f"{PROJECT}.{_DATASET}")

    def set_zone(self, zone: str) -> None:
        del zone

    def load(self, relation, rows: list[dict]) -> None:
        columns = list(relation.columns.values())
        declared = ", ".join(f"`{column.name}` {column.data_type}" for column in columns)
        names = ", ".join(f"`{column.name}`" for column in columns)
        self._run(f"create or replace table {relation.name} ({declared})")
        values = ", ".join(
            f"({', '.join(_literal(row[each.name], each.data_type) for each in columns)})" for row in rows
        )
        if rows:
            self._run(f"insert into {relation.name} ({names}) values {values}")

    def fetch(self, sql: str) -> list[dict]:
        result = self._run(sql)
        kinds = {field.name: field.field_type for field in result.schema}
        return [{name: _value(value, kinds[name]) for name, value in row.items()} for row in result]

    def close(self) -> None:
        self._client.close()

    def _run(self, sql: str):
        """Run a statement; the emulator knows no NUMERIC of a precision."""
        return self._client.query(_PRECISION.sub("NUMERIC", sql), self._config, job_retry=None).result()


def connect(endpoint: str) -> bigquery.Client:
    """Google's own client, for a test that looks or changes by hand."""
    options = ClientOptions(api_endpoint=endpoint)
    return bigquery.Client(project=PROJECT, credentials=AnonymousCredentials(), client_options=options)


def run(endpoint: str, *statements: str) -> list[tuple]:
    """Run statements; returns the last result."""
    rows = []
    with closing(connect(endpoint)) as client:
        for statement in statements:
            if statement.startswith("drop schema"):
                client.delete_dataset(statement.split()[-2], delete_contents=True, not_found_ok=True)
            else:
                rows = [row.values() for row in client.query(as_merge(statement), job_retry=None).result()]
    return rows


def schema(endpoint: str, query: str) -> list[dict]:
    """The columns of a query, as the REST API tells them."""
    with closing(connect(endpoint)) as client:
        return [field.to_api_repr() for field in client.query(f"select * from ({query}) where false").result().schema]


def tables(endpoint: str, dataset: str) -> list[str]:
    """The names of a dataset's tables."""
    with closing(connect(endpoint)) as client:
        return [each.table_id for each in client.list_tables(dataset)]


def as_merge(statement: str) -> str:
    """Write a DELETE or an UPDATE as the MERGE that does the same: the emulator takes no other."""
    parsed = sqlglot.parse_one(statement, read="bigquery")
    if not isinstance(parsed, (exp.Delete, exp.Update)):
        return statement
    where = parsed.args.get("where")
    found = where.this if where is not None else exp.true()
    changed = exp.Update(expressions=parsed.expressions) if isinstance(parsed, exp.Update) else exp.var("DELETE")
    merge = exp.Merge(
        this=parsed.this,
        using=exp.select(exp.alias_(exp.Literal.number(1), "one")).subquery("here"),
        on=found,
        whens=exp.Whens(expressions=[exp.When(matched=True, then=changed)]),
    )
    return merge.sql(dialect="bigquery")


def _literal(value, kind: str) -> str:
    """Write a value as BigQuery's SQL does."""
    if value is None:
        return f"cast(null as {kind.partition('(')[0]})"
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]" if value else "cast([] as array<int64>)"
    text = exp.Literal.string(value).sql(dialect="bigquery") if isinstance(value, str) else f"'{value}'"
    writers = {"STRING": text, "JSON": f"json {text}", "FLOAT64": f"cast({text} as float64)"}
    if isinstance(value, (bool, int)):
        return str(value).lower()
    return writers.get(kind) or f"{kind.partition('(')[0]} {text}"


def _value(value, kind: str):
    return (
        json.dumps(value, separators=(",", ":"), ensure_ascii=False) if kind == "JSON" and value is not None else value
    )
