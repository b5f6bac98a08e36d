"""Appends served vectors to a table of the warehouse: a connection and a transaction for each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from feature_sync.errors import RequestError, WarehouseError
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.served_table import ServedTableSql
from feature_sync.store.connections import Connections

if TYPE_CHECKING:
    import pyarrow

_LOADED = "_feature_sync_served"
_MOST_DIGITS = 38
_LISTED = 5
_ROWS_AT_ONCE = 10_000


class ServedTable:
    """A sink for `ServedLog`."""

    def __init__(self, connections: Connections, name: str) -> None:
        """Connect to nothing yet.

        Args:
            connections: Opens the warehouse.
            name: The name of the table, with its schema.

        Raises:
            RequestError: The name is not of the form `schema.table`.
        """
        self._connections = connections
        self._schema, self._name = _parts(name)

    def __repr__(self) -> str:
        return f"ServedTable({f'{self._schema}.{self._name}'!r})"

    def __call__(self, rows: pyarrow.Table) -> None:
        """Append a table; creates the warehouse's table if it does not exist.

        Raises:
            WarehouseError: The warehouse cannot be reached or refuses, or the table has other columns.
        """
        plain = plain_columns(rows)
        with self._connections.open_warehouse(writable=True) as warehouse:
            runner = QueryRunner(warehouse)
            table = ServedTableSql(self._schema, self._name, dialect=runner.dialect)
            loaded = warehouse.load(_LOADED, plain.to_reader(), {})
            with warehouse.transaction():
                if not warehouse.has_schema(table.schema):  # else no right to create it is needed
                    runner.run(table.create_schema())
                runner.run(table.create(loaded))
                found = (warehouse.describe(runner.text(table.columns(each))) for each in (None, loaded))
                if differences := [*table.differences(*found)]:
                    shown = "; ".join(differences[:_LISTED]) + ("; ..." if len(differences) > _LISTED else "")
                    raise WarehouseError(
                        f"the table {self._schema}.{self._name} has other columns than what is served ({shown}); log "
                        "to a new table"
                    )
                runner.run(table.append(loaded, plain.column_names))


def read_served(connections: Connections, name: str) -> pyarrow.Table:
    """Read a whole table of served vectors from the warehouse.

    Raises:
        RequestError: The name is not of the form `schema.table`.
        WarehouseError: The warehouse cannot be reached or refuses, or there is no such table.
    """
    schema, table = _parts(name)
    with connections.open_warehouse() as warehouse:
        runner = QueryRunner(warehouse)
        query = runner.text(ServedTableSql(schema, table, dialect=runner.dialect).columns())
        with warehouse.arrow(query, batch_size=_ROWS_AT_ONCE) as reader:
            return reader.read_all()


def _parts(name: str) -> tuple[str, str]:
    schema, _, table = name.partition(".")
    if not schema or not table or "." in table:
        raise RequestError(f'name the table with its schema, such as "ml.served", and not {name!r}')
    return schema, table


def plain_columns(rows: pyarrow.Table) -> pyarrow.Table:
    """Write as text what not every warehouse can load: lists and structs as JSON, bytes as hexadecimal digits."""
    import pyarrow

    for at, field in enumerate(rows.schema):
        if (text := _as_text(field.type)) is not None:
            values = [None if each is None else text(each) for each in rows.column(at).to_pylist()]
            rows = rows.set_column(at, field.name, pyarrow.array(values, pyarrow.string()))
    return rows.replace_schema_metadata(None)


def _as_text(kind: pyarrow.DataType) -> Any:
    """Return the function that writes values of a type as text; None if they stay as they are."""
    from pyarrow import types

    if types.is_nested(kind):
        return lambda value: msgspec.json.encode(value).decode()
    if types.is_binary(kind):
        return bytes.hex
    return "{:f}".format if types.is_decimal(kind) and kind.precision > _MOST_DIGITS else None
