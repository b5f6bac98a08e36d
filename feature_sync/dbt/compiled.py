"""What decides the rows of a node of dbt's manifest, beside what stands above it."""

from __future__ import annotations

from typing import Any

import msgspec

from feature_sync.dbt.code import Checksum, SnapshotSettings
from feature_sync.dbt.node import ColumnNode, DependsOn, Text

_WITHHELD = "--placeholder--"


class BuildSettings(SnapshotSettings, omit_defaults=True):
    """The configuration that decides which rows a node has once it is built."""

    materialized: Any = None
    incremental_strategy: Any = None
    incremental_predicates: Any = None
    on_schema_change: Any = None
    full_refresh: Any = None
    begin: Any = None
    batch_size: Any = None
    lookback: Any = None
    sql_header: Any = None
    column_types: Any = None
    delimiter: Any = None
    quote_columns: Any = None
    target_schema: Any = None
    snapshot_meta_column_names: Any = None
    contract: Any = None
    pre_hook: Any = msgspec.field(default=None, name="pre-hook")
    post_hook: Any = msgspec.field(default=None, name="post-hook")


class CompiledNode(msgspec.Struct):
    """A model, seed, snapshot or source, as that of which its rows are made."""

    resource_type: Text = None
    relation_name: Text = None
    identifier: Text = None
    schema: Text = None
    database: Text = None
    alias: Text = None
    language: Text = None
    raw_code: Text = None
    compiled_code: Text = None
    checksum: Checksum | str | None = None
    columns: dict[str, ColumnNode] | None = None
    config: BuildSettings | None = None
    depends_on: DependsOn | None = None

    @property
    def parents(self) -> list[str]:
        """The unique ids of the nodes that it reads from."""
        return (self.depends_on and self.depends_on.nodes) or []

    @property
    def sql(self) -> str | None:
        """The compiled code; None if dbt has not compiled it, or withholds it."""
        return self.compiled_code if self.compiled_code and self.compiled_code != _WITHHELD else None

    @property
    def settings(self) -> BuildSettings:
        """The configuration; empty if it is missing."""
        return self.config or BuildSettings()

    @property
    def settings_text(self) -> str:
        """The configuration as canonical JSON, without what changes no row."""
        changed = msgspec.structs.replace(self.settings, contract=None, materialized=self.kind)
        return msgspec.json.encode(changed, order="deterministic").decode()

    @property
    def kind(self) -> str:
        """How dbt builds it, where that decides rows: views, tables and ephemeral models have the same."""
        kind = str(self.settings.materialized or "")
        return "table" if kind in ("", "view", "table", "ephemeral", "materialized_view") else kind

    @property
    def checksum_text(self) -> str | None:
        """The checksum of dbt, or a path where the file is too large for one."""
        return self.checksum.checksum if isinstance(self.checksum, Checksum) else self.checksum

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """The names of all columns, if a contract enforces them; else None."""
        contract = self.settings.contract
        if not (isinstance(contract, dict) and contract.get("enforced") is True):
            return None
        return tuple(column.name or name for name, column in (self.columns or {}).items())
