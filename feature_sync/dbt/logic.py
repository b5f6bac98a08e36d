"""The logic id of a feature service: it changes with the SQL of its views and of everything above them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any

from feature_sync.dbt.code import Code
from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.node import parts_of
from feature_sync.definitions import FeatureService, FeatureView

_DIGITS = 16
_DBT = "dbt"
_ADAPTERS = frozenset({
    "athena", "bigquery", "clickhouse", "cratedb", "databend", "databricks", "db2", "decodable", "doris", "dremio",
    "duckdb", "exasol", "fabric", "fabricspark", "firebolt", "glue", "greenplum", "hive", "ibmdb2", "impala", "iomete",
    "materialize", "maxcompute", "mysql", "mysql5", "mariadb", "netezza", "oracle", "postgres", "presto", "redshift",
    "risingwave", "rockset", "singlestore", "snowflake", "spark", "sqlite", "sqlserver", "starrocks", "synapse",
    "teradata", "tidb", "trino", "vertica", "yellowbrick",
})  # fmt: skip


def logic_of(service: FeatureService, manifest: Manifest) -> str:
    """Hash the code behind a service: 16 hexadecimal digits, the same for each target of one project.

    Not seen: variables, settings of models in YAML, seeds of more than 1 MB, references that only another target makes.

    Raises:
        ProjectError: A node or macro is not of the shape that dbt writes.
    """
    return sha256(logic_record(service, manifest).encode()).hexdigest()[:_DIGITS]


def logic_record(service: FeatureService, manifest: Manifest) -> str:
    """Return what the logic id is the hash of, as canonical JSON: hashes by unique id, and no relation or path.

    Raises:
        ProjectError: A node or macro is not of the shape that dbt writes.
    """
    views = {each.view.relation.unique_id: _settings(each.view) for each in service.selections}
    nodes = _with_ancestors(views, manifest)
    record = {
        "views": views,
        "nodes": {unique_id: code.digest for unique_id, code in nodes.items()},
        "macros": _Macros(manifest).used_by(nodes),
    }
    return json.dumps(record, sort_keys=True, separators=(",", ":"))


def macros_of(unique_id: str, manifest: Manifest) -> dict[str, str | None]:
    """Return the hashes of the macros that one node may call, directly or not, by unique id.

    Raises:
        ProjectError: The node or a macro is not of the shape that dbt writes.
    """
    code = manifest.code(unique_id)
    return {} if code is None else _Macros(manifest).used_by({unique_id: code})


def _settings(view: FeatureView) -> dict[str, Any]:
    """Return what decides which row of a view answers, except the TTL, which belongs to the shape."""
    return {
        "history": view.history.value,
        "join_keys": sorted(view.join_keys),
        "event_timestamp": view.event_timestamp,
        "created_timestamp": view.created_timestamp,
        "known_at": view.known_at,
        "valid_to": view.valid_to,
        "valid_to_current": view.valid_to_current,
        "is_deleted": view.is_deleted,
        "lag_microseconds": (view.lag or timedelta(0)) // timedelta(microseconds=1),
        "timezone": view.timezone,
    }


def _with_ancestors(unique_ids: Iterable[str], manifest: Manifest) -> dict[str, Code]:
    """Return the code of nodes and all their ancestors; that of sources, and of what the manifest lacks, is empty."""
    found: dict[str, Code] = {}
    waiting = list(unique_ids)
    while waiting:
        unique_id = waiting.pop()
        if unique_id not in found:
            is_source = parts_of(unique_id)[0] == "source"
            found[unique_id] = (None if is_source else manifest.code(unique_id)) or Code()
            waiting += found[unique_id].parents
    return found


class _Macros:
    """The macros of a manifest, and which of them some code may call on any warehouse.

    dbt resolves `adapter.dispatch` for the manifest's own target: that of `cents` is `duckdb__cents` on DuckDB, and
    `default__cents` elsewhere. So a macro counts with all its implementations, of whatever package: `dispatch` in
    `dbt_project.yml` lets one package implement the macros of another. Macros of dbt lead to such implementations but
    do not count, and those of adapters do neither: they differ between dbt's versions and between warehouses.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._adapters = _ADAPTERS | {manifest.metadata.adapter_type}
        self._implementations: dict[str, list[str]] = defaultdict(list)
        for unique_id in manifest.macro_ids:
            _, package, name = parts_of(unique_id)
            if self._dispatched(name) != name and not self._is_of_adapter(package):
                self._implementations[self._dispatched(name)].append(unique_id)

    def used_by(self, nodes: Mapping[str, Code]) -> dict[str, str | None]:
        """Return the hashes of the macros that nodes may call, directly or not, by unique id."""
        found: dict[str, Code | None] = {}
        waiting = [macro for unique_id, code in nodes.items() for macro in self._called(unique_id, code)]
        while waiting:
            unique_id = waiting.pop()
            if unique_id not in found:
                _, package, name = parts_of(unique_id)
                found[unique_id] = code = None if self._is_of_adapter(package) else self._manifest.macro(unique_id)
                waiting += self._implementations.get(self._dispatched(name), [])
                waiting += self._called(unique_id, code or Code())
        return {each: code.digest for each, code in found.items() if code and parts_of(each)[1] != _DBT}

    def _called(self, caller: str, code: Code) -> Iterator[str]:
        """Yield the macros that a node or macro calls: its package's, or else the project's, or else dbt's."""
        yield from code.macros
        own, project = parts_of(caller)[1], self._manifest.metadata.project_name or ""
        for package, name in code.calls():
            candidates = (f"macro.{each}.{name}" for each in ([package] if package else [own, project, _DBT]))
            yield from [each for each in candidates if each in self._manifest.macro_ids][:1]

    def _dispatched(self, name: str) -> str:
        """Return the name by which `adapter.dispatch` finds an implementation; other names stay as they are."""
        adapter, _, dispatched = name.partition("__")
        return dispatched if dispatched and (adapter == "default" or adapter in self._adapters) else name

    def _is_of_adapter(self, package: str) -> bool:
        kind, _, adapter = package.partition("_")
        return kind == _DBT and adapter in self._adapters
