"""What is known of one model before anything is guessed: its columns and what the project says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from feature_sync.adopting.names import VALIDITY, is_named_as_moment, snapshot_columns
from feature_sync.dbt.declared import DeclaredKey, declared_keys, related_nodes
from feature_sync.dbt.manifest import Manifest, Node
from feature_sync.definitions import Column, Relation
from feature_sync.errors import DefinitionError, RequestError, did_you_mean
from feature_sync.sql.types import TIMES, key_type, value_type
from feature_sync.value_types import ValueType

_KEYS = ("int64", "wideint", "string", "uuid", "decimal")
_UNCAST = ("string", "int64", "wideint", "decimal", "float64")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """A column: `kind` is its type in the closed list, None where it has none there or where no type is known.

    `may_be_key`: its type is one by which things are told apart; an unknown type may be. `is_offered`: the project
    does not forbid it as a feature.
    """

    name: str
    data_type: str | None
    kind: ValueType | None
    may_be_key: bool
    is_offered: bool

    @property
    def is_date(self) -> bool:
        """Whether it holds days without a time of day."""
        return self.kind is not None and self.kind.kind == "date"

    @property
    def is_time(self) -> bool:
        """Whether it holds moments or days; false where no type is known."""
        return self.kind is not None and self.kind.kind in TIMES

    @property
    def is_uncast_time(self) -> bool:
        """Whether it is named as a time, and holds text or numbers."""
        return self.kind is not None and self.kind.kind in _UNCAST and is_named_as_moment(self.name)

    @property
    def is_name(self) -> bool:
        """Whether its values name things, rather than measure or count them: text and the like; an unknown type may."""
        return self.data_type is None or (self.kind is not None and self.kind.kind in ("string", "uuid"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One model, its columns in their order, and what the project declares of them."""

    node: Node
    relation: Relation
    columns: tuple[TableColumn, ...]
    keys: tuple[DeclaredKey, ...]
    related: Mapping[str, str]
    own_columns: frozenset[str]
    """Columns that dbt itself adds."""
    batched_readers: tuple[str, ...] = ()
    """Models that read it in dbt's microbatches."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.node.name or ""

    @property
    def is_snapshot(self) -> bool:
        """Whether dbt keeps its history."""
        return self.node.resource_type == "snapshot"

    @property
    def configured_time(self) -> TableColumn | None:
        """The event time that the project says already.

        Raises:
            RequestError: There is no such column.
        """
        name = (self.node.config or {}).get("event_time")
        return self.column(str(name)) if name else None

    @property
    def validity(self) -> tuple[TableColumn, TableColumn] | None:
        """The columns by which the rows say from when until when they hold, as those of a snapshot do."""
        renamed = (self.node.config or {}).get("snapshot_meta_column_names") or {}
        own = tuple(str(renamed.get(name) or name) for name in ("dbt_valid_from", "dbt_valid_to"))
        for started, ended in [own] if self.is_snapshot else VALIDITY:
            found = {column.name.lower(): column for column in self.named([started, ended]) or ()}
            if found and all(column.is_time or column.data_type is None for column in found.values()):
                return found[started.lower()], found[ended.lower()]
        return None

    @property
    def keeps_validity(self) -> bool:
        """Whether its rows hold from one moment until another."""
        return self.is_snapshot or self.validity is not None

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What the folder says of all its feature views."""
        return self.node.meta.get("feature_view_defaults") or {}

    @property
    def reserved(self) -> set[str]:
        """The columns that are times already, by what the project says."""
        names = {str(self.defaults[key]) for key in ("created_timestamp", "known_at") if self.defaults.get(key)}
        times = [self.configured_time, *(self.validity or ())]
        return names | {column.name for column in times if column is not None}

    def column(self, name: str) -> TableColumn:
        """Find a column, whatever the case in which it is asked for.

        Raises:
            RequestError: The model has no such column.
        """
        known = {column.name: column for column in self.columns}
        folded = {each.casefold(): column for each, column in known.items()}
        if found := known.get(name) or folded.get(name.casefold()):
            return found
        raise RequestError(f"{self.relation.location}: it has no column {name!r}{did_you_mean(name, known)}")

    def named(self, names: Iterable[str]) -> tuple[TableColumn, ...] | None:
        """Find columns, in the order of the table; None unless it has them all."""
        wanted = {name.casefold() for name in names}
        found = tuple(column for column in self.columns if column.name.casefold() in wanted)
        return found if len(found) == len(wanted) else None

    def facts(self) -> Iterator[TableColumn]:
        """List the columns that are not dbt's own."""
        yield from (column for column in self.columns if column.name not in self.own_columns)


def read_table(node: Node, manifest: Manifest, relation: Relation, *, dialect: str) -> Table:
    """Gather what is known of a model; types that no contract enforces count where nothing better is known.

    Raises:
        RequestError: No column of it is known.
    """
    declared = {column.name: column.data_type for column in (node.columns or {}).values()}
    columns = [
        column if column.data_type else replace(column, data_type=declared.get(name))
        for name, column in relation.columns.items()
    ]
    if not columns:
        raise RequestError(
            f"{relation.location}: no column of it is known without the warehouse; run dbt docs generate, list its "
            "columns in YAML, or leave out --no-warehouse"
        )
    forbidden = {name for name, column in (node.columns or {}).items() if column.meta.get("feature") is False}
    return Table(
        node=node,
        relation=relation,
        columns=tuple(_read_column(each, relation, forbidden, dialect=dialect) for each in columns),
        keys=tuple(declared_keys(node, manifest)),
        related=related_nodes(node, manifest),
        own_columns=frozenset(snapshot_columns(node)),
        batched_readers=tuple(_batched_readers(node, manifest)),
    )


def _batched_readers(node: Node, manifest: Manifest) -> Iterator[str]:
    for unique_id in manifest.children.get(node.unique_id or "", []):
        reader = manifest.node(unique_id) if unique_id.startswith("model.") else None
        if reader is not None and (reader.config or {}).get("incremental_strategy") == "microbatch":
            yield reader.name or ""


def _read_column(column: Column, relation: Relation, forbidden: set[str], *, dialect: str) -> TableColumn:
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
