"""The state schema: where the table of states and the tables of pushes are."""

from __future__ import annotations

from sqlglot import exp


class PushTables:
    """The push tables of one state schema."""

    def __init__(self, schema: str) -> None:
        self.schema = schema

    def table(self, name: str) -> exp.Table:
        """Refer to a table, qualified by the schema."""
        return exp.Table(this=quoted_name(name), db=quoted_name(self.schema))

    def create(self, name: str, rows: exp.Query, layout: exp.Properties | None = None) -> exp.Expr:
        """Create a table from a query, with the storage properties of `Dialect.layout`.

        Args:
            name: The table.
            rows: What it is to hold.
            layout: Storage properties of `Dialect.layout`; None for the usual ones.
        """
        return exp.Create(this=self.table(name), kind="TABLE", expression=rows, properties=layout)

    def drop(self, name: str) -> exp.Expr:
        """Drop a table if it exists."""
        return exp.Drop(tables=[self.table(name)], kind="TABLE", exists=True)


def quoted_name(name: str) -> exp.Identifier:
    """Refer to a name as it is written."""
    return exp.to_identifier(name, quoted=True)
