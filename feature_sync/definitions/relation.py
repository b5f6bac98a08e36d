"""Tables and their columns, as the project declares them or the warehouse reports them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from feature_sync.errors import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as the project declares it.

    `data_type` is the warehouse's name of the type, None until it is known. `stored_as` is the exact spelling in the
    warehouse; None means that the warehouse folds `name` as it folds every unquoted name. `is_label`: a model
    learns to predict it. `is_left_out`: its YAML has `feature: false`.
    """

    name: str
    data_type: str | None = None
    stored_as: str | None = None
    description: str = ""
    is_label: bool = False
    is_left_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index over all rows of a table. `is_unique`: the warehouse enforces that no two rows share its columns."""

    columns: tuple[str, ...]
    is_unique: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table or view that dbt builds: `name` is qualified and quoted for the warehouse, as dbt wrote it.

    `columns_are_complete`: `columns` lists all columns, with types. `is_table`: its rows are stored, so that repeated
    reads return the same rows.
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
        """Return the YAML setting that excludes a column from the features; empty if it may be one."""
        column = self.columns.get(name)
        if column is None or not (column.is_label or column.is_left_out):
            return ""
        return f"columns.{name}.config.meta.{'label: true' if column.is_label else 'feature: false'}"

    def declaring(self, names: Iterable[str]) -> Relation:
        """Declare columns under these names, so that `with_types` matches them whatever their case."""
        return replace(self, columns={**{name: Column(name=name) for name in names}, **self.columns})

    def with_spelling(self, names: Iterable[str]) -> Relation:
        """Rename columns to these names, which a definition uses, if only case differs.

        A column of the exact spelling wins, and columns that differ from each other only in case are not renamed.
        """
        wanted = {name.casefold(): name for name in names if name not in self.columns}
        folded = [name.casefold() for name in self.columns]
        renamed = {fold: name for fold, name in wanted.items() if folded.count(fold) == 1}
        columns = (replace(each, name=renamed.get(each.name.casefold(), each.name)) for each in self.columns.values())
        return replace(self, columns={column.name: column for column in columns})

    def with_types(self, types: Mapping[str, str]) -> Relation:
        """Fill in the columns and types that the warehouse reports for this relation.

        A declared name matches by exact spelling first, then whatever its case, since warehouses fold unquoted names in
        different ways.
        """
        found: dict[str, Column] = {}
        declared_by_fold = {name.casefold(): column for name, column in self.columns.items()}
        for name, data_type in types.items():
            declared = self.columns.get(name) or declared_by_fold.get(name.casefold())
            if declared is not None and declared.name != name and (declared.name in types or declared.name in found):
                declared = None  # another column has exactly that spelling, or was matched before
            column = declared or Column(name=name)
            found[column.name] = replace(column, data_type=data_type, stored_as=name)
        return replace(self, columns=found, columns_are_complete=True)
