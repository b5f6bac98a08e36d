"""The statements that append served vectors to a table, whose columns are those of the first vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlglot import exp

from feature_sync.sql.columns import quoted
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.push.state_schema import quoted_name
from feature_sync.sql.types import normal_type


class ServedTableSql:
    """The table, and rows that were loaded into a temporary one."""

    def __init__(self, schema: str, name: str, *, dialect: Dialect) -> None:
        self.schema = dialect.fold(schema)
        self._dialect = dialect
        self._table = exp.Table(this=quoted_name(dialect.fold(name)), db=quoted_name(self.schema))

    def create_schema(self) -> exp.Expr:
        """Create the schema."""
        return exp.Create(this=exp.Table(db=quoted_name(self.schema)), kind="SCHEMA", exists=True)

    def create(self, loaded: str) -> exp.Expr:
        """Create the table with the columns of loaded rows, unless it exists; it stays empty.

        Args:
            loaded: The quoted name of the temporary table.
        """
        return exp.Create(
            this=self._table, kind="TABLE", exists=True, expression=self.columns(loaded).where(exp.false())
        )

    def columns(self, loaded: str | None = None) -> exp.Select:
        """Select everything from the table, or from loaded rows, to find the columns."""
        return exp.select(exp.Star()).from_(self._table.copy() if loaded is None else self._named(loaded))

    def append(self, loaded: str, names: Sequence[str]) -> exp.Expr:
        """Insert loaded rows, column by name."""
        rows = exp.select(*map(quoted, names)).from_(self._named(loaded))
        return exp.insert(rows, self._table.copy(), columns=[quoted_name(name) for name in names])

    def differences(self, table: Mapping[str, str], loaded: Mapping[str, str]) -> Iterator[str]:
        """Tell how the columns of the table differ from those of loaded rows."""
        for name, kind in loaded.items():
            if name not in table:
                yield f"{name} {kind} is missing"
            elif normal_type(table[name], dialect=self._dialect) != normal_type(kind, dialect=self._dialect):
                yield f"{name} is {table[name]}, not {kind}"
        yield from (f"{name} is not served" for name in table if name not in loaded)

    def _named(self, loaded: str) -> exp.Table:
        return exp.to_table(loaded, dialect=self._dialect.name)
