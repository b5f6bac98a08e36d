"""Finds the named models, proposes settings for each, and writes them into the project's YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from feature_sync.adopting.counter import BeforeScan, Counter
from feature_sync.adopting.evidence import read_table
from feature_sync.adopting.project_files import ProjectFiles
from feature_sync.adopting.proposal import Asked, Proposal, propose
from feature_sync.clock import read_clock
from feature_sync.dbt.catalog import read_catalog
from feature_sync.dbt.feature_views import is_feature_view
from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.node import Node
from feature_sync.dbt.project import Project
from feature_sync.dbt.schema_file import SourcePosition
from feature_sync.definitions import Registry
from feature_sync.errors import FeatureSyncError, RequestError, UnknownName, WarehouseError
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.dialects.base import Dialect

_SECTIONS = {"model": "models", "snapshot": "snapshots", "seed": "seeds"}


@dataclass(frozen=True, slots=True)
class Adoption:
    """Result of `init`: proposals, the file of each model that is a feature view already, and failures.

    `written`: the models by the file that their settings were written to.
    """

    proposals: list[Proposal] = field(default_factory=list)
    already: dict[str, str] = field(default_factory=dict)
    failures: list[FeatureSyncError] = field(default_factory=list)
    written: dict[str, list[str]] = field(default_factory=dict)


class Adopter:
    """Guesses the settings of models of one project.

    Args:
        project: The project on disk.
        manifest: Its manifest.
        registry: Its feature views, whose entity names are reused for the same join keys.
        dialect: The warehouse's dialect.
        runner: The warehouse; None to guess from dbt's artifacts alone.
        before_scan: Called with a model's name and the bytes that a counting query will read, on warehouses that
            charge by bytes.
    """

    def __init__(
        self,
        project: Project,
        manifest: Manifest,
        registry: Registry,
        *,
        dialect: Dialect,
        runner: QueryRunner | None,
        before_scan: BeforeScan,
    ) -> None:
        self._manifest = manifest
        self._files = ProjectFiles(project, manifest)
        self._dialect = dialect
        self._runner = runner
        self._before_scan = before_scan
        self._now = read_clock(None).now
        views = registry.feature_views.values()
        self._known = {entity.join_keys: entity.name for view in views for entity in view.entities}
        self._types = read_catalog(project.catalog, manifest)

    def propose(self, names: Sequence[str], asked: Asked) -> Adoption:
        """Guess the settings of each model; a model that fails does not stop the others.

        Args:
            names: Names of models, snapshots and seeds.
            asked: Values that replace guesses.

        Raises:
            UnknownName: The project has no such model.
        """
        adoption = Adoption()
        unique_ids = {name: self._unique_id(name) for name in names}
        adoption.failures.extend(_disabled(name) for name in names if unique_ids[name] is None)
        for unique_id in filter(None, dict.fromkeys(unique_ids.values())):
            node = self._manifest.node(unique_id) or Node()
            try:
                self._adopt(node, asked, adoption)
            except FeatureSyncError as failure:
                adoption.failures.append(failure)
        return adoption

    def write(self, adoption: Adoption) -> None:
        """Write all proposals into the project's YAML, each file whole or not at all.

        A file that cannot take its models adds to the failures.
        """
        for file in dict.fromkeys(each.file for each in adoption.proposals):
            proposals = [each for each in adoption.proposals if each.file == file]
            try:
                self._files.put(file, {each.position: each.lines() for each in proposals})
            except FeatureSyncError as failure:
                adoption.failures.append(failure)
            else:
                adoption.written[file] = [each.name for each in proposals]

    def _adopt(self, node: Node, asked: Asked, adoption: Adoption) -> None:
        position = self._position(node)
        _check_kind(node)
        file, entry = self._files.described(node, position)
        if is_feature_view(node) or _is_adopted(entry):
            adoption.already[position.name] = file
            return
        proposal = self._propose(node, position, file, asked)
        adoption.proposals.append(replace(proposal, has_meta_beside="meta" in entry))

    def _propose(self, node: Node, position: SourcePosition, file: str, asked: Asked) -> Proposal:
        relation = node.relation(self._types.get(node.unique_id or "", {}))
        try:
            if self._runner is not None and not relation.columns_are_complete:
                relation = relation.with_types(self._runner.types_of(relation))
            table = read_table(node, self._manifest, relation, dialect=self._dialect)
            counter = Counter(table=table, runner=self._runner, before_scan=self._before_scan, now=self._now)
            return propose(counter, position, file, asked=asked, known=self._known)
        except WarehouseError as failed:
            raise WarehouseError(f"{node.name}: {failed}; or guess without the warehouse: --no-warehouse") from failed

    def _unique_id(self, name: str) -> str | None:
        """Return the node of that name, the latest of several versions; None if it is disabled."""
        known = self._manifest.relations()
        if unique_id := known.get(name):
            return unique_id
        for unique_id in self._versions(name):
            node = self._manifest.node(unique_id) or Node()
            if node.version is not None and node.version == node.latest_version:
                return unique_id
        if any(disabled.split(".")[2:] == name.split(".") for disabled in self._manifest.disabled):
            return None
        unversioned = {each.rpartition(".v")[0] for each in known if ".v" in each}
        raise UnknownName("model, snapshot or seed", name, {*known, *unversioned})

    def _versions(self, name: str | None) -> list[str]:
        return [each for known, each in self._manifest.relations().items() if known.rpartition(".v")[0] == name]

    def _position(self, node: Node) -> SourcePosition:
        """Return the YAML entry that takes the settings.

        For a model with several versions that is the version's entry: other versions may lack the columns.
        """
        section = _SECTIONS.get(node.resource_type or "", "models")
        is_one_of_several = node.version is not None and len(self._versions(node.name)) > 1
        return SourcePosition(
            section=section, name=node.name or "", version=str(node.version) if is_one_of_several else None
        )


def _is_adopted(entry: Mapping[str, Any]) -> bool:
    metas = [entry.get("meta"), (entry.get("config") or {}).get("meta")]
    return any(isinstance(meta, dict) and "feature_view" in meta for meta in metas)


def _disabled(name: str) -> RequestError:
    return RequestError(f"{name} is disabled (enabled: false), so dbt does not build it; enable it first")


def _check_kind(node: Node) -> None:
    if node.resource_type == "source":
        raise RequestError(
            f"{node.location}: a source cannot be a feature view, since dbt neither builds nor gates it; "
            f"make a model that selects from {{{{ source('{node.source_name}', '{node.name}') }}}}, and name that"
        )
    if (node.config or {}).get("materialized") == "ephemeral":
        raise RequestError(
            f"{node.location}: the model is ephemeral, so the warehouse has no table for it; materialize it as a table "
            "or a view"
        )
