"""Runs expressions in a warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feature_sync.definitions import FeatureView, Period, Relation
from feature_sync.errors import Location
from feature_sync.sql.collation import view_collations
from feature_sync.sql.columns import every_column
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.render import Query, Statement, render
from feature_sync.sql.view_query import ViewQuery
from feature_sync.warehouses.base import Warehouse


class QueryRunner:
    """One warehouse, asked in expressions."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self.dialect = dialect_named(warehouse.adapter)

    def query_of(self, view: FeatureView, *, asked: Period | None = None) -> ViewQuery:
        """Make the expressions of a view, and ask for the types that the project does not declare.

        Rows that cannot answer any moment `asked` need not be read.

        Raises:
            DefinitionError: The view does not fit its table.
        """
        if not view.relation.columns_are_complete:
            view = view.with_types(self.types_of(view.relation))
        return ViewQuery(view, dialect=self.dialect, asked=asked)

    def types_of(self, relation: Relation) -> Mapping[str, str]:
        """Ask for the columns of a table as it stands, and their types in the warehouse's own words."""
        return self.warehouse.describe(self.text(every_column(relation, dialect=self.dialect)))

    def text(self, expression: Statement) -> str:
        """Write an expression in the warehouse's dialect."""
        return render(expression, dialect=self.dialect, database=self.warehouse.database)

    def run(self, *statements: Statement) -> int:
        """Run statements one after the other; returns how many rows the last one touched."""
        touched = 0
        for statement in statements:
            touched = self.warehouse.execute(self.text(statement))
        return touched

    def run_if_free(self, statement: Statement) -> None:
        """Run a statement outside a transaction, unless somebody else holds what it needs."""
        self.warehouse.execute_if_free(self.text(statement))

    def fetch(self, query: Query) -> list[tuple[Any, ...]]:
        """Read a short result."""
        return self.warehouse.fetch(self.text(query))


def check_view_collations(warehouse: Warehouse, query: ViewQuery) -> None:
    """Check that the text of a view's join keys is compared as Redis compares it: one short query, which reads no row.

    Raises:
        DefinitionError: The collation of a key calls different texts equal.
    """
    check_collations(warehouse, view_collations(query), query.dialect, query.view.relation.location)


def check_collations(warehouse: Warehouse, asked: Query | None, dialect: Dialect, location: Location) -> None:
    """Check what `sql.collation` asks: that no column of text is compared in another way than Redis compares it.

    Args:
        warehouse: Where to ask.
        asked: One row, with two texts of each column that are called equal, or null; None if there is nothing to ask.
        dialect: The warehouse's.
        location: The table, for the error.

    Raises:
        DefinitionError: The collation of a column calls different texts equal.
    """
    if asked is None:
        return
    text = render(asked, dialect=dialect, database=warehouse.database)
    for name, alike in zip(asked.named_selects, warehouse.fetch(text)[0], strict=True):
        if alike is not None:
            raise location.at(f"columns.{name}").error(
                f"the warehouse's collation calls {alike} equal, which Redis tells apart, so it cannot be a join key; "
                "give the column one that does, or write the key in one spelling (as by lower) in the model"
            )
