"""Finds the source lines of definitions; dbt's artifacts name files and YAML keys, but no lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TypeAlias

import yaml

from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.node import Node
from feature_sync.dbt.project import Project, read_bounded
from feature_sync.dbt.yaml_text import UnfitYaml, compose
from feature_sync.errors import DefinitionError, Location
from feature_sync.findings import Finding, group_by_cause

_SECTIONS = {"model": "models", "seed": "seeds", "snapshot": "snapshots", "exposure": "exposures"}
_CONFIG, _META, _VIEW, _DEFAULTS = "config.", "config.meta.", "feature_view.", "feature_view_defaults."
_BLOCK_DEPTH = 3  # config, meta, and one of our blocks


_FileLine: TypeAlias = tuple[str, int | None]
"""A file relative to the working directory, and the line in it, from 1; None if it is unknown."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The number of keys of a path that a file has, and the line of the last of them."""

    depth: int = 0
    line: int | None = None


class SourceLines:
    """Source lines of definitions, in the YAML of a project or its packages, `dbt_project.yml`, or a model's SQL."""

    def __init__(self, project: Project, manifest: Manifest) -> None:
        self._project = project
        self._manifest = manifest
        self._documents: dict[Path, yaml.Node | None] = {}

    def located(self, finding: Finding) -> Finding:
        """Return a finding with its line, and its file relative to the working directory; never fails.

        The line is that of the deepest key on the path to the finding's key that a file has.
        """
        file, line = self._file_line(Location(finding.file, finding.node, finding.key))
        return replace(finding, file=file, line=line)

    def located_error(self, error: DefinitionError) -> DefinitionError:
        """Return an error with the line of its first mistake, and the number of further mistakes that `check` lists."""
        (first, *_), *others = group_by_cause(map(self.located, (error.finding, *error.others)))
        more = f"; and {len(others)} more: feature-sync check" if others else ""
        return DefinitionError(replace(first, message=f"{first.message}{more}"))

    def doubled_lists(self, location: Location) -> list[Location]:
        """Return the lists below a location that are written at a version and at its model: dbt concatenates them."""
        file, path = self._file(location.file, location.node), location.key.split(".")
        model, version = self._node(None if file is None else self._document(file), location.node)
        return list(_doubled(reduce(_value, path, model), reduce(_value, path, version), location))

    def _file_line(self, location: Location) -> _FileLine:
        """Find the deepest key on the path to a location."""
        file = self._file(location.file, location.node)
        if file is None:
            return location.file, None
        if in_sql := self._in_sql(location, file):
            return in_sql
        at_node, in_project = self._in_node(self._document(file), location), self._in_project(location)
        if in_project.depth > at_node.depth:
            return _relative(self._project_file), in_project.line
        return _relative(file), at_node.line

    @property
    def _project_file(self) -> Path:
        return self._project.directory / "dbt_project.yml"

    def _file(self, name: str, node: str) -> Path | None:
        """Find a file whose name is relative to the project, or to the package that defines a node."""
        package = [*node.split("."), "", ""][1]
        is_own = package in ("", self._project.name)
        folder = self._project.directory if is_own else self._project.packages_path / package
        try:
            return folder / name if (folder / name).is_file() else None
        except (OSError, ValueError):  # a folder without read permission, a name that no file can have
            return None

    def _in_sql(self, location: Location, yaml_file: Path) -> _FileLine | None:
        """Find the `config(` of a model's SQL if it sets what neither the YAML nor `dbt_project.yml` does."""
        node = self._manifest.node(location.node) or Node()
        file = self._file(node.original_file_path or "", location.node)
        if file is None or file.suffix != ".sql" or not location.key.startswith(_CONFIG):
            return None
        block = location.key.split(".")[: _BLOCK_DEPTH if location.key.startswith(_META) else _BLOCK_DEPTH - 1]
        at = Location(location.file, location.node, ".".join(block))
        if self._in_node(self._document(yaml_file), at).depth >= len(block) or self._in_project(at).depth:
            return None
        try:
            text = file.read_text(errors="replace")
        except OSError:
            return None
        call = re.search(rf"\{{\{{-?\s*config\s*\((?=.*\b{re.escape(block[-1])}\b['\"]?\s*[=:])", text, re.DOTALL)
        return None if call is None else (_relative(file), text.count("\n", 0, call.end()) + 1)

    def _node(self, document: yaml.Node | None, unique_id: str) -> tuple[yaml.Node | None, yaml.Node | None]:
        """Find the entry of a node, and that of its version if it has one."""
        kind, _, name = [*unique_id.split(".", 2), "", ""][:3]
        section = _value(document, _SECTIONS.get(kind, ""))
        model, _, version = name.rpartition(".v")
        node = _item(section, "name", name) or _item(section, "name", model)
        return node, _item(_value(node, "versions"), "v", version)

    def _in_node(self, document: yaml.Node | None, location: Location) -> _Found:
        """Follow a location's YAML keys below its node; those of a version override those of all versions."""
        node, version = self._node(document, location.node)
        if node is None:
            return _Found()
        everywhere = _follow(node, location.key, _Found(line=_line(node)))
        own = _Found() if version is None else _follow(version, location.key, _Found(line=_line(version)))
        return own if own.depth and own.depth >= everywhere.depth else everywhere

    def _in_project(self, location: Location) -> _Found:
        """Follow a key of `meta` down the folders of `dbt_project.yml`; the deepest folder wins, as in dbt."""
        node, found = self._manifest.node(location.node) or Node(), _Found()
        folder = _value(self._document(self._project_file), _SECTIONS.get(node.resource_type or "", ""))
        key = location.key.removeprefix("config.")
        for name in [*(node.fqn or []), ""]:
            for path in (key, f"+{key}"):
                here = _follow(folder, path, _Found(depth=1))
                found = here if here.depth >= _BLOCK_DEPTH else found
            folder = _value(folder, name)
        return found

    def _document(self, file: Path) -> yaml.Node | None:
        """Read a file as YAML nodes, which have lines; None if it is not YAML."""
        if file not in self._documents:
            try:
                content = read_bounded(file) if file.suffix in (".yml", ".yaml") else b""
                self._documents[file] = compose(content)
            except (OSError, UnfitYaml):
                self._documents[file] = None
        return self._documents[file]


def _follow(node: yaml.Node | None, path: str, so_far: _Found) -> _Found:
    """Follow a path of YAML keys as deep as a file has them; keys are joined by dots, and may contain dots."""
    ways = [so_far]
    for key, value, line in _entries(node):
        if path == key or path.startswith(f"{key}."):
            ways.append(_follow(value, path[len(key) + 1 :], _Found(so_far.depth + 1, line)))
    others = []
    if path.startswith(_VIEW):  # a setting that the view itself lacks may be one of its defaults
        others.append(_follow(node, _DEFAULTS + path.removeprefix(_VIEW), so_far))
    if path.startswith(_CONFIG):  # dbt also accepts `meta` outside `config`
        others.append(_follow(node, path.removeprefix(_CONFIG), _Found(so_far.depth + 1, so_far.line)))
    ways += [each for each in others if each.depth > so_far.depth + 1]
    return max(ways, key=lambda each: each.depth)


def _doubled(everywhere: yaml.Node | None, own: yaml.Node | None, location: Location) -> Iterator[Location]:
    if isinstance(own, yaml.SequenceNode) and everywhere is not None:
        yield location
    elif isinstance(own, yaml.MappingNode):
        for key, value, _ in _entries(own):
            yield from _doubled(_value(everywhere, key), value, location.at(key))


def _entries(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node, int]]:
    """Yield the keys of a mapping, or the texts and names in a list, each with its value and its line."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == "<<":
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    yield from _entries(merged)
            elif isinstance(key, yaml.ScalarNode):
                yield str(key.value), value, _line(key)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            name = _value(item, "name") if isinstance(item, yaml.MappingNode) else item
            if isinstance(name, yaml.ScalarNode):
                yield str(name.value), item, _line(item)


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """Return the value of a key in a mapping; None if it has none, or the node is not a mapping."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value, _ in _entries(node) if name == key), None)


def _item(node: yaml.Node | None, key: str, name: str) -> yaml.Node | None:
    """Return the first mapping in a list that has a name as the value of a key."""
    items: list[yaml.Node] = node.value if isinstance(node, yaml.SequenceNode) else []
    for item in items:
        value = _value(item, key)
        if isinstance(value, yaml.ScalarNode) and value.value == name:
            return item
    return None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _relative(file: Path) -> str:
    """Return a path relative to the working directory; a path outside of it as it is."""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)
