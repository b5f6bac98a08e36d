"""Evidence about one model: its columns, their types and names, and the project's declarations about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from feature_sync.adopting import words
from feature_sync.dbt.declared import DeclaredKey, declared_keys, related_nodes
from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.node import Node
from feature_sync.definitions import Column, Relation
from feature_sync.errors import DefinitionError, RequestError, did_you_mean
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.types import key_type, value_type
from feature_sync.value_types import ValueType

_KEYS = ("int64", "wideint", "string", "uuid", "decimal")
_UNCAST = ("string", "int64", "wideint", "decimal", "float64")
_SNAPSHOT_COLUMNS = ("dbt_valid_from", "dbt_valid_to", "dbt_scd_id", "dbt_updated_at", "dbt_is_deleted")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """A column, classified by its type if that is known, and by its name.

    `kind` is the column's value type; None if its data type is unknown or not in the closed list. `may_be_key`: its
    type fits a join key, or is unknown. `is_offered`: the project does not exclude it as a feature.
    """

    name: str
    data_type: str | None
    kind: ValueType | None
    may_be_key: bool
    is_offered: bool

    def is_of(self, *kinds: str) -> bool:
        """True if its type is known and one of these kinds, such as `date`."""
        return self.kind is not None and self.kind.kind in kinds

    @property
    def is_time(self) -> bool:
        """True if it holds moments or days; false if its type is unknown."""
        return self.kind is not None and self.kind.is_time

    @property
    def is_uncast_time(self) -> bool:
        """True if it holds text or numbers and is named like a time."""
        return self.is_of(*_UNCAST) and words.is_named_as_moment(self.name)

    @property
    def is_named_as_written(self) -> bool:
        """True if its name suggests the time at which the row was written, such as `loaded_at`."""
        return words.written_rank(self.name) is not None

    @property
    def is_named_as_event(self) -> bool:
        """True if its name suggests the time at which something happened, such as `ordered_at`."""
        return words.happened_rank(self.name) < words.NO_TIME

    @property
    def may_be_time(self) -> bool:
        """True if it is a time, or if its type is unknown and it is named like one."""
        return self.is_time or (self.data_type is None and (self.is_named_as_written or self.is_named_as_event))

    @property
    def is_like_time(self) -> bool:
        """True if it may be a time, or would be one after a cast."""
        return self.may_be_time or self.is_uncast_time

    @property
    def holds_names(self) -> bool:
        """True if its values name things rather than measure them: text and UUIDs, and unknown types."""
        return self.data_type is None or self.is_of("string", "uuid")

    @property
    def may_identify(self) -> bool:
        """True if a guess may use it as a key: not a time, not personal data, not a decimal unless named as a key."""
        is_measure = self.is_of("decimal") and not words.identifies(self.name)
        return self.may_be_key and not is_measure and not self.is_like_time and not words.may_be_personal(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One model, its columns in the order of its table, and the project's declarations about them.

    `related` maps columns to the models whose keys they hold. `own_columns` are those that dbt itself adds.
    `batched_readers` are the downstream models with the microbatch strategy.
    """

    node: Node
    relation: Relation
    columns: tuple[TableColumn, ...]
    keys: tuple[DeclaredKey, ...]
    related: Mapping[str, str]
    own_columns: frozenset[str]
    batched_readers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.node.name or ""

    @property
    def is_snapshot(self) -> bool:
        """True if it is a dbt snapshot."""
        return self.node.resource_type == "snapshot"

    @property
    def configured_time(self) -> TableColumn | None:
        """The column that `config.event_time` names.

        Raises:
            RequestError: The model has no such column.
        """
        name = (self.node.config or {}).get("event_time")
        return self.column(str(name)) if name else None

    @property
    def validity(self) -> tuple[TableColumn, TableColumn] | None:
        """The columns that hold the start and end of each row's validity, as those of a snapshot do."""
        own = (_renamed(self.node, "dbt_valid_from"), _renamed(self.node, "dbt_valid_to"))
        for started, ended in [own] if self.is_snapshot else words.VALIDITY:
            found = {column.name.lower(): column for column in self.named([started, ended]) or ()}
            if found and all(column.is_time or column.data_type is None for column in found.values()):
                return found[started.lower()], found[ended.lower()]
        return None

    @property
    def keeps_validity(self) -> bool:
        """True if each row is valid from one moment until another."""
        return self.is_snapshot or self.validity is not None

    @property
    def defaults(self) -> Mapping[str, Any]:
        """`feature_view_defaults`: settings that a folder gives all its feature views."""
        return self.node.meta.get("feature_view_defaults") or {}

    @property
    def reserved(self) -> set[str]:
        """The columns that the project already uses as times, which are not features."""
        names = {str(self.defaults[key]) for key in ("created_timestamp", "known_at") if self.defaults.get(key)}
        times = [self.configured_time, *(self.validity or ())]
        return names | {column.name for column in times if column is not None}

    @property
    def data_columns(self) -> tuple[TableColumn, ...]:
        """The columns of the model's own data: all except those that dbt adds."""
        return tuple(column for column in self.columns if column.name not in self.own_columns)

    @property
    def uncast_times(self) -> str:
        """The columns that are named like times and hold text or numbers, with their types; empty text for none."""
        return ", ".join(f"{column.name} ({column.data_type})" for column in self.data_columns if column.is_uncast_time)

    def column(self, name: str) -> TableColumn:
        """Return a column by name, ignoring case; the exact spelling takes precedence.

        Raises:
            RequestError: The model has no such column.
        """
        known = {column.name: column for column in self.columns}
        folded = {each.casefold(): column for each, column in known.items()}
        if found := known.get(name) or folded.get(name.casefold()):
            return found
        raise self.error(f"it has no column {name!r}{did_you_mean(name, known)}")

    def named(self, names: Iterable[str]) -> tuple[TableColumn, ...] | None:
        """Return columns by name, ignoring case, in the order of the table; None if one is missing."""
        wanted = {name.casefold() for name in names}
        found = tuple(column for column in self.columns if column.name.casefold() in wanted)
        return found if len(found) == len(wanted) else None

    def is_identifier(self, column: TableColumn) -> bool:
        """True if a column identifies something, by its name or by a test such as `relationships`."""
        return words.identifies(column.name) or column.name in self.related

    def error(self, reason: str) -> RequestError:
        """Return an error that names the file and node of the model."""
        return RequestError(f"{self.relation.location}: {reason}")


def read_table(node: Node, manifest: Manifest, relation: Relation, *, dialect: Dialect) -> Table:
    """Gather the evidence about a model.

    Args:
        node: The model.
        manifest: The project's manifest, for tests and downstream models.
        relation: The model's table, with types from a contract, the catalog or the warehouse. Types that are declared
            but not enforced fill the gaps.
        dialect: The warehouse's dialect.

    Raises:
        RequestError: No column of the model is known.
    """
    declared = node.columns or {}
    types = {column.name: column.data_type for column in declared.values()}
    columns = [replace(each, data_type=each.data_type or types.get(name)) for name, each in relation.columns.items()]
    if not columns:
        raise RequestError(
            f"{relation.location}: no column of it is known without the warehouse; run dbt docs generate, list its "
            "columns in YAML, or leave out --no-warehouse"
        )
    forbidden = {name for name, column in declared.items() if column.meta.get("feature") is False}
    return Table(
        node=node,
        relation=relation,
        columns=tuple(_read_column(each, relation, forbidden, dialect=dialect) for each in columns),
        keys=tuple(declared_keys(node, manifest)),
        related=related_nodes(node, manifest),
        own_columns=_own_columns(node),
        batched_readers=tuple(_batched_readers(node, manifest)),
    )


def _renamed(node: Node, name: str) -> str:
    """Return the project's name for a column that dbt adds to a snapshot."""
    renamed = (node.config or {}).get("snapshot_meta_column_names") or {}
    return str(renamed.get(name) or name)


def _own_columns(node: Node) -> frozenset[str]:
    """Return the columns that dbt adds to a snapshot, and the `updated_at` of its strategy.

    A model that selects from a snapshot may have them all, but there only the row's hash is never data.
    """
    if node.resource_type != "snapshot":
        return frozenset({"dbt_scd_id"})
    updated_at = str((node.config or {}).get("updated_at") or "dbt_updated_at")
    return frozenset({updated_at, *(_renamed(node, name) for name in _SNAPSHOT_COLUMNS)})


def _batched_readers(node: Node, manifest: Manifest) -> Iterator[str]:
    for unique_id in manifest.children.get(node.unique_id or "", []):
        reader = manifest.node(unique_id) if unique_id.startswith("model.") else None
        if reader is not None and (reader.config or {}).get("incremental_strategy") == "microbatch":
            yield reader.name or ""


def _read_column(column: Column, relation: Relation, forbidden: set[str], *, dialect: Dialect) -> TableColumn:
    kind: ValueType | None = None
    may_be_key = column.data_type is None
    if column.data_type is not None:
        try:
            kind = value_type(column, relation, dialect=dialect)
            may_be_key = key_type(column, relation, dialect=dialect).kind in _KEYS
        except DefinitionError:
            may_be_key = False
    return TableColumn(
        name=column.name,
        data_type=column.data_type,
        kind=kind,
        may_be_key=may_be_key,
        is_offered=column.name not in forbidden and not column.is_label,
    )
