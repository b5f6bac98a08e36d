"""Finds the models that a person names, has each one guessed, and puts what was guessed into the project's YAML."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from feature_sync.adopting.asked import Asked
from feature_sync.adopting.counting import BeforeScan, Counter
from feature_sync.adopting.guess import propose
from feature_sync.adopting.proposal import Proposal
from feature_sync.adopting.table import read_table
from feature_sync.clock import read_clock
from feature_sync.dbt.feature_views import is_feature_view
from feature_sync.dbt.manifest import Manifest, Node, read_catalog
from feature_sync.dbt.project import Project, source_files
from feature_sync.dbt.schema_file import Place, put_settings, read_entry
from feature_sync.definitions import Registry
from feature_sync.errors import FeatureSyncError, OutputError, RequestError, UnknownName, WarehouseError
from feature_sync.files import read_text, write_text
from feature_sync.statements import Statements

_YAML = (".yml", ".yaml")
_SECTIONS = {"model": "models", "snapshot": "snapshots", "seed": "seeds"}


@dataclass(frozen=True, slots=True)
class Adoption:
    """What became of the models that were named: proposals, those that are feature views already, and failures."""

    proposals: list[Proposal] = field(default_factory=list)
    already: dict[str, str] = field(default_factory=dict)
    failures: list[FeatureSyncError] = field(default_factory=list)
    written: dict[str, list[str]] = field(default_factory=dict)
    """The models by the file into which their settings were written."""


class Adopter:
    """Guesses for the models of one project; without `statements`, from its artifacts alone."""

    def __init__(
        self,
        project: Project,
        manifest: Manifest,
        registry: Registry,
        *,
        adapter: str,
        statements: Statements | None,
        before_scan: BeforeScan,
    ) -> None:
        self._project = project
        self._manifest = manifest
        self._adapter = adapter
        self._statements = statements
        self._before_scan = before_scan
        self._now = read_clock(None).now
        self._known = {
            entity.join_keys: entity.name for view in registry.feature_views.values() for entity in view.entities
        }
        self._types: Mapping[str, dict[str, str]] = read_catalog(project.catalog, manifest)

    def propose(self, names: Sequence[str], asked: Asked) -> Adoption:
        """Guess for each model; one that cannot be guessed keeps no other from it.

        Raises:
            UnknownName: The project has no such model.
        """
        adoption = Adoption()
        nodes: dict[str, Node] = {}
        for name in names:
            if unique_id := self._unique_id(name):
                nodes[unique_id] = self._manifest.node(unique_id) or Node()
            else:
                adoption.failures.append(_disabled(name))
        for node in nodes.values():
            place = self._place(node)
            try:
                _check_kind(node)
                file, entry = self._described(node, place)
                if is_feature_view(node) or _is_adopted(entry):
                    adoption.already[place.name] = file
                    continue
                proposal = self._propose(node, place, file, asked)
                adoption.proposals.append(replace(proposal, has_meta_beside="meta" in entry))
            except FeatureSyncError as failure:
                adoption.failures.append(failure)
        return adoption

    def write(self, adoption: Adoption) -> None:
        """Put all proposals into the project's YAML, each file whole or not at all.

        A file that cannot take its models adds to the failures.
        """
        for file in dict.fromkeys(each.file for each in adoption.proposals):
            proposals = [each for each in adoption.proposals if each.file == file]
            try:
                self._write(file, proposals)
            except FeatureSyncError as failure:
                adoption.failures.append(failure)
            else:
                adoption.written[file] = [each.name for each in proposals]

    def _write(self, file: str, proposals: Iterable[Proposal]) -> None:
        path = (self._project.directory / file).resolve()
        is_own = path.is_relative_to(self._project.directory.resolve())
        if not is_own or path.is_relative_to(self._project.packages_path.resolve()):
            raise OutputError(
                f"{file} belongs to a package, which dbt deps would overwrite; in dbt_project.yml, put event_time and "
                "meta below the models of that package, as +event_time and +meta"
            )
        text = read_text(path) if path.exists() else ""
        for proposal in proposals:
            text = put_settings(text, proposal.place, proposal.lines(), file=file)
        write_text(path, text)

    def _propose(self, node: Node, place: Place, file: str, asked: Asked) -> Proposal:
        relation = node.relation(self._types.get(node.unique_id or "", {}))
        try:
            if self._statements is not None and not relation.columns_are_complete:
                relation = relation.with_types(self._statements.types_of(relation))
            table = read_table(node, self._manifest, relation, dialect=self._adapter)
            counter = None
            if self._statements is not None:
                counter = Counter(self._statements, self._before_scan, now=self._now)
            return propose(table, place, file, asked=asked, counter=counter, known=self._known)
        except WarehouseError as failed:
            raise WarehouseError(f"{node.name}: {failed}; or guess without the warehouse: --no-warehouse") from failed

    def _unique_id(self, name: str) -> str | None:
        """Find what a name means; None for what the project has and does not build."""
        known = self._manifest.relations()
        versions = {each.rpartition(".v")[0]: each for each in known if ".v" in each}
        if unique_id := known.get(name) or known.get(self._latest(name, known) or ""):
            return unique_id
        if any(disabled.split(".")[2:] == name.split(".") for disabled in self._manifest.disabled):
            return None
        raise UnknownName("model, snapshot or seed", name, {*known, *versions})

    def _latest(self, name: str, known: Mapping[str, str]) -> str | None:
        for each, unique_id in known.items():
            if each.rpartition(".v")[0] == name:
                node = self._manifest.node(unique_id) or Node()
                if node.version is not None and node.version == node.latest_version:
                    return each
        return None

    def _place(self, node: Node) -> Place:
        """Settings of a model with several versions go to the version: another may lack the columns."""
        section = _SECTIONS.get(node.resource_type or "", "models")
        siblings = [each for each in self._manifest.relations() if each.rpartition(".v")[0] == node.name]
        version = str(node.version) if node.version is not None and len(siblings) > 1 else None
        return Place(section=section, name=node.name or "", version=version)

    def _described(self, node: Node, place: Place) -> tuple[str, dict[str, Any]]:
        """The YAML file that describes a node, be it newer than the manifest, and what it says; or the one that would.

        A second entry of one name would make a project that dbt refuses.
        """
        known = self._known_file(node)
        entry = self._entry(known, place)
        if self._is_own(node) and not entry:
            for file in self._files_that_say(place.name):
                if entry := self._entry(file, place):
                    return file, entry
        return known, entry

    def _is_own(self, node: Node) -> bool:
        return node.package_name in (None, self._manifest.metadata.project_name)

    def _files_that_say(self, name: str) -> Iterator[str]:
        for folder in self._project.source_paths:
            for path in sorted(source_files(folder, _YAML)):
                if path.is_file() and name in read_text(path):
                    yield path.relative_to(self._project.directory).as_posix()

    def _known_file(self, node: Node) -> str:
        described = (node.patch_path or "").partition("://")[2] or node.original_file_path or ""
        path = PurePosixPath(Path(described).as_posix())
        path = path if path.suffix in _YAML else path.with_name(f"{node.name}.yml")
        packages = Path(os.path.relpath(self._project.packages_path, self._project.directory)).as_posix()
        return str(path if self._is_own(node) else PurePosixPath(packages, node.package_name or "", path))

    def _entry(self, file: str, place: Place) -> dict[str, Any]:
        """Read what the YAML says already."""
        path = self._project.directory / file
        return read_entry(read_text(path), place, file=file) if path.exists() else {}


def _is_adopted(entry: Mapping[str, Any]) -> bool:
    metas = [entry.get("meta"), (entry.get("config") or {}).get("meta")]
    return any(isinstance(meta, dict) and "feature_view" in meta for meta in metas)


def _disabled(name: str) -> RequestError:
    return RequestError(f"{name} is disabled (enabled: false), so dbt does not build it; enable it first")


def _check_kind(node: Node) -> None:
    if node.resource_type == "source":
        raise RequestError(
            f"{node.location}: a source cannot be a feature view, for dbt does not build it and cannot vouch for it; "
            f"make a model that selects from {{{{ source('{node.source_name}', '{node.name}') }}}}, and name that"
        )
    if (node.config or {}).get("materialized") == "ephemeral":
        raise RequestError(
            f"{node.location}: the model is ephemeral, so the warehouse has no table of it; materialize it as a table "
            "or a view"
        )
