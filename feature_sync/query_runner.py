"""Renders expressions and runs them in a warehouse."""

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
    """A warehouse with the dialect that renders expressions for it."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self.dialect = dialect_named(warehouse.adapter)

    def query_of(self, view: FeatureView, *, asked: Period | None = None) -> ViewQuery:
        """Return the query of a view; types that the project does not declare are read from the warehouse.

        Rows that cannot answer any moment in `asked` are left out.

        Raises:
            DefinitionError: The view does not fit its table.
        """
        if not view.relation.columns_are_complete:
            view = view.with_types(self.types_of(view.relation))
        return ViewQuery(view, dialect=self.dialect, asked=asked)

    def types_of(self, relation: Relation) -> Mapping[str, str]:
        """Return the types of a table's current columns by name, in the warehouse's own spelling."""
        return self.warehouse.describe(self.text(every_column(relation, dialect=self.dialect)))

    def text(self, expression: Statement) -> str:
        """Render an expression in the warehouse's dialect."""
        return render(expression, dialect=self.dialect, database=self.warehouse.database)

    def run(self, *statements: Statement) -> int:
        """Run statements in order. Returns the number of rows that the last one affected."""
        affected = 0
        for statement in statements:
            affected = self.warehouse.execute(self.text(statement))
        return affected

    def run_if_free(self, statement: Statement) -> None:
        """Run a statement outside a transaction, unless another session holds a lock that it needs."""
        self.warehouse.execute_if_free(self.text(statement))

    def fetch(self, query: Query) -> list[tuple[Any, ...]]:
        """Return all rows of a query; for short results."""
        return self.warehouse.fetch(self.text(query))


def check_view_collations(warehouse: Warehouse, query: ViewQuery) -> None:
    """Check that the warehouse compares a view's join keys as Redis does, by bytes: one query, which reads no row.

    Raises:
        DefinitionError: The collation of a key treats different texts as equal.
    """
    check_collations(warehouse, view_collations(query), query.dialect, query.view.relation.location)


def check_collations(warehouse: Warehouse, asked: Query | None, dialect: Dialect, location: Location) -> None:
    """Check that the warehouse compares columns of text as Redis does, by bytes.

    Args:
        warehouse: Runs the query.
        asked: A query of `sql.collation`; None if no column is text.
        dialect: Dialect of the warehouse.
        location: Location of the table, for the error.

    Raises:
        DefinitionError: The collation of a column treats different texts as equal.
    """
    if asked is None:
        return
    text = render(asked, dialect=dialect, database=warehouse.database)
    for name, alike in zip(asked.named_selects, warehouse.fetch(text)[0], strict=True):
        if alike is not None:
            raise location.at(f"columns.{name}").error(
                f"the warehouse's collation treats {alike} as equal, but Redis does not, so it cannot be a join key; "
                "give the column one that does not, or write the key in one spelling (as by lower) in the model"
            )
