"""What BigQuery would bill, counted by its rules: the bytes of the columns that a job refers to, in each of its tables.

The rules are those of its page of prices: 8 bytes for a number or a time, 16 for NUMERIC, 1 for a boolean, 2 and its
UTF-8 for a text, none for a null; of a table of pushes only the partitions that literals choose. A view counts as a
table of its columns. The least of 10 MB a table is left out, since tables of tests are small.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.pushdown_projections import pushdown_projections
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope

from tests.support import emulator

_BYTES = {"INTEGER": 8, "FLOAT": 8, "TIMESTAMP": 8, "DATETIME": 8, "DATE": 8, "NUMERIC": 16, "BOOLEAN": 1}
_PARTITION = "_change"


@dataclass
class Read:
    """The columns of one table that one job refers to, and their bytes."""

    sql: str
    table: str
    columns: set[str]
    bytes: int


@dataclass
class Bill:
    """Counts jobs just before they run, since a push drops tables; `watch` is for `Gateway.fail_if`."""

    endpoint: str
    reads: list[Read] = field(default_factory=list)

    def watch(self, job: dict) -> bool:
        """Count a job, and let it pass."""
        query = job["configuration"].get("query")
        if query is not None and not job["configuration"].get("dryRun"):
            self.reads += self._reads_of(query["query"])
        return False

    @property
    def bytes(self) -> int:
        return sum(read.bytes for read in self.reads)

    def of(self, table: str) -> list[Read]:
        """The reads of tables whose names have these words."""
        return [read for read in self.reads if table in read.table]

    def _reads_of(self, sql: str) -> Iterator[Read]:
        statement = sqlglot.parse_one(sql, read="bigquery")
        if isinstance(statement, exp.Merge):  # which may change any column of its target
            types = self._types(statement.this)
            yield self._read(sql, statement.this, types, set(types), [])
            return
        query = statement if isinstance(statement, exp.Query) else statement.args.get("expression")
        if not isinstance(query, exp.Query):
            return
        schema = {}
        for table in query.find_all(exp.Table):
            project, dataset, name = (part.name for part in table.parts)
            columns = dict.fromkeys(self._types(table), "INT64")  # only their names count here
            schema.setdefault(project, {}).setdefault(dataset, {})[name] = columns
        # Google's optimizer leaves out what no outer query refers to, and so does sqlglot's.
        qualified = qualify(query, dialect="bigquery", schema=schema, validate_qualify_columns=False)
        for scope in traverse_scope(pushdown_projections(qualified)):
            for name, source in scope.sources.items():
                if isinstance(source, exp.Table):
                    columns = {column.name for column in scope.columns if column.table == name}
                    yield self._read(sql, source, self._types(source), columns, _filters(scope))

    def _read(
        self, sql: str, table: exp.Table, types: dict[str, str], columns: set[str], filters: list[exp.Expr]
    ) -> Read:
        path = ".".join(f"`{part.name}`" for part in table.parts)
        sizes = ", ".join(_size(name, types[name]) for name in sorted(columns)) or "0"
        chosen = " and ".join(each.sql("bigquery") for each in filters) or "true"
        (row,) = emulator.run(self.endpoint, f"select {sizes} from {path} as t where {chosen}")
        return Read(sql, path, columns, sum(size or 0 for size in row))

    def _types(self, table: exp.Table) -> dict[str, str]:
        with closing(emulator.connect(self.endpoint)) as client:
            found = client.get_table(".".join(part.name for part in table.parts))
        return {column.name: column.field_type for column in found.schema}


def _filters(scope: Scope) -> list[exp.Expr]:
    """The conditions that choose partitions: those on that column alone."""
    where = scope.expression.args.get("where")
    conditions = [] if where is None else [where.this]
    if where is not None and isinstance(where.this, exp.And):
        conditions = list(where.this.flatten())
    chosen = [each for each in conditions if {column.name for column in each.find_all(exp.Column)} == {_PARTITION}]
    return [each.copy().transform(_of_one_table) for each in chosen]


def _of_one_table(part: exp.Expr) -> exp.Expr:
    return exp.column(part.name, table="t", quoted=True) if isinstance(part, exp.Column) else part


def _size(name: str, kind: str) -> str:
    return f"sum(2 + byte_length(`{name}`))" if kind == "STRING" else f"{_BYTES[kind]} * count(`{name}`)"
