"""Tables and their columns, as the project declares them and the warehouse reports them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from feature_sync.errors import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as the project declares it.

    `data_type` is in the warehouse's own words, None until it is known. `stored_as` is the exact spelling in the
    warehouse; None means that the warehouse folds `name` as it folds every unquoted name. `is_label`: a model
    learns to predict it. `is_left_out`: it says `feature: false`.
    """

    name: str
    data_type: str | None = None
    stored_as: str | None = None
    description: str = ""
    is_label: bool = False
    is_left_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table or view that dbt builds: `name` is quoted as the warehouse wants it, as dbt wrote it.

    `is_table`: its rows are stored, so that they are the same ones each time a query reads them.
    """

    name: str
    unique_id: str
    location: Location
    columns: Mapping[str, Column]
    description: str = ""
    columns_are_complete: bool = False
    is_table: bool = False
    event_time: str | None = None

    def mark_of(self, name: str) -> str:
        """Write what a column's YAML says that keeps it from being a feature; nothing if it may be one."""
        column = self.columns.get(name)
        if column is None or not (column.is_label or column.is_left_out):
            return ""
        return f"columns.{name}.config.meta.{'label: true' if column.is_label else 'feature: false'}"

    def declaring(self, names: Iterable[str]) -> Relation:
        """Declare columns that are asked for by these names, so that `with_types` finds them whatever their case."""
        return replace(self, columns={**{name: Column(name=name) for name in names}, **self.columns})

    def called(self, names: Iterable[str]) -> Relation:
        """Call columns by these names, which a definition uses, where they differ in case alone.

        The exact spelling comes first, and of several columns that differ in case alone none is renamed.
        """
        wanted = {name.casefold(): name for name in names if name not in self.columns}
        folded = [name.casefold() for name in self.columns]
        renamed = {fold: name for fold, name in wanted.items() if folded.count(fold) == 1}
        columns = (replace(each, name=renamed.get(each.name.casefold(), each.name)) for each in self.columns.values())
        return replace(self, columns={column.name: column for column in columns})

    def with_types(self, types: Mapping[str, str]) -> Relation:
        """Fill in the columns and types that the warehouse reports for this relation.

        A declared name finds the warehouse's by exact spelling first, then whatever its case, since
        warehouses fold unquoted names in different ways.
        """
        found: dict[str, Column] = {}
        declared_by_fold = {name.casefold(): column for name, column in self.columns.items()}
        for name, data_type in types.items():
            declared = self.columns.get(name) or declared_by_fold.get(name.casefold())
            if declared is not None and declared.name != name and (declared.name in types or declared.name in found):
                declared = None  # the table has a column of just that spelling, or one that was found before
            column = declared or Column(name=name)
            found[column.name] = replace(column, data_type=data_type, stored_as=name)
        return replace(self, columns=found, columns_are_complete=True)
