"""A node of dbt's manifest: all fields are optional, and unknown ones are ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from feature_sync.definitions import Column, Relation
from feature_sync.errors import Location
from feature_sync.value_types import as_utc

Text = str | None


class ColumnNode(msgspec.Struct):
    """A column of a model's YAML."""

    name: Text = None
    data_type: Text = None
    description: Text = None
    quote: bool | None = None
    config: dict[str, Any] | None = None
    constraints: list[dict[str, Any]] | None = None

    @property
    def meta(self) -> dict[str, Any]:
        """`config.meta`, the only `meta` that every dbt version accepts; empty if it is missing."""
        meta = (self.config or {}).get("meta")
        return meta if isinstance(meta, dict) else {}


class DependsOn(msgspec.Struct):
    """The nodes that a node reads from."""

    nodes: list[str] | None = None


class Node(msgspec.Struct):
    """A model, seed, snapshot, test or exposure: the fields that this package reads."""

    unique_id: Text = None
    name: Text = None
    resource_type: Text = None
    package_name: Text = None
    fqn: list[str] | None = None
    relation_name: Text = None
    source_name: Text = None
    original_file_path: Text = None
    patch_path: Text = None
    description: Text = None
    version: str | int | float | None = None
    latest_version: str | int | float | None = None
    columns: dict[str, ColumnNode] | None = None
    config: dict[str, Any] | None = None
    depends_on: DependsOn | None = None
    type: Text = None
    owner: dict[str, Any] | None = None
    url: Text = None
    label: Text = None
    deprecation_date: Text = None
    group: Text = None
    access: Text = None
    freshness: dict[str, Any] | None = None
    attached_node: Text = None
    column_name: Text = None
    block_contents: Text = None
    test_metadata: dict[str, Any] | None = None
    constraints: list[dict[str, Any]] | None = None

    @property
    def meta(self) -> dict[str, Any]:
        """`config.meta`, empty if it is missing."""
        meta = (self.config or {}).get("meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def parents(self) -> list[str]:
        """The unique ids of the nodes that this one reads from."""
        return (self.depends_on and self.depends_on.nodes) or []

    @property
    def location(self) -> Location:
        """The YAML file that describes the node, or else the node's own file."""
        file = (self.patch_path or "").partition("://")[2] or self.original_file_path or "manifest.json"
        return Location(file, self.unique_id or "")

    @property
    def deprecated_from(self) -> datetime | None:
        """The `deprecation_date` of dbt in UTC; None if it is missing or not a date."""
        try:
            return as_utc(datetime.fromisoformat(self.deprecation_date)) if self.deprecation_date else None
        except ValueError:
            return None

    @property
    def reference(self) -> str:
        """The name with its version, as services write it."""
        return self.name or "" if self.version is None else f"{self.name}.v{self.version}"

    @property
    def has_contract(self) -> bool:
        """True if dbt enforces the declared columns and types."""
        contract = (self.config or {}).get("contract")
        return isinstance(contract, dict) and contract.get("enforced") is True

    @property
    def is_table(self) -> bool:
        """True if the warehouse stores the rows: the relation is not a view."""
        return (self.config or {}).get("materialized") in ("table", "incremental", "snapshot", "seed")

    @property
    def enforced_keys(self) -> list[list[str]]:
        """The column lists of keys that the warehouse keeps unique and indexes."""
        if not self.has_contract or (self.config or {}).get("materialized") not in ("table", "incremental"):
            return []
        return [*self.constrained("primary_key"), *self.constrained("unique")]

    def constrained(self, kind: str) -> list[list[str]]:
        """Return the column lists of the constraints of one type; malformed ones are left out."""
        found = [each for each in self.constraints or [] if each.get("type") == kind]
        return [names for each in found if (names := _names(each.get("columns")))]

    @property
    def test_name(self) -> str:
        """The name of the generic test behind a test; empty for other nodes."""
        name = (self.test_metadata or {}).get("name")
        return name if isinstance(name, str) else ""

    @property
    def test_arguments(self) -> dict[str, Any]:
        """The arguments of a generic test; empty for other nodes."""
        arguments = (self.test_metadata or {}).get("kwargs")
        return arguments if isinstance(arguments, dict) else {}

    @property
    def indexes(self) -> list[list[str]]:
        """The column lists of the B-tree indexes in the model's configuration."""
        indexes = (self.config or {}).get("indexes")
        found = [each for each in indexes if isinstance(each, dict)] if isinstance(indexes, list) else []
        ordered = [each for each in found if str(each.get("type") or "btree").lower() == "btree"]
        return [names for each in ordered if (names := _names(each.get("columns")))]

    def relation(self, types: dict[str, str]) -> Relation:
        """Return the relation that dbt builds, with declared types only if a contract enforces them.

        Otherwise `types`, those of the catalog by column, fill them in; empty if they are unknown.
        """
        declared = {
            name: Column(
                name=column.name or name,
                data_type=column.data_type if self.has_contract else None,
                stored_as=column.name or name if column.quote else None,
                description=column.description or "",
                is_label=column.meta.get("label") is True,
                is_left_out=column.meta.get("feature") is False,
            )
            for name, column in (self.columns or {}).items()
        }
        event_time = (self.config or {}).get("event_time")
        relation = Relation(
            name=self.relation_name or "",
            unique_id=self.unique_id or "",
            location=self.location,
            columns={column.name: column for column in declared.values()},
            description=self.description or "",
            columns_are_complete=self.has_contract and all(each.data_type for each in declared.values()),
            is_table=self.is_table,
            event_time=str(event_time) if event_time else None,
        )
        return relation.with_types(types) if types and not relation.columns_are_complete else relation


def parts_of(unique_id: str) -> tuple[str, str, str]:
    """Split a unique id into kind, package and name; missing parts are empty."""
    kind, package, name, *_ = (*unique_id.split(".", 2), "", "")
    return kind, package, name


def _names(value: object) -> list[str]:
    """Return a list of columns; empty unless it holds only texts."""
    return value if isinstance(value, list) and all(isinstance(each, str) for each in value) else []
