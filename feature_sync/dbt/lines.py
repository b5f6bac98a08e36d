"""Finds the lines of a project's YAML at which definitions stand; dbt's artifacts name files and keys, but no lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from feature_sync.dbt.manifest import Manifest, Node
from feature_sync.dbt.project import Project
from feature_sync.errors import Location

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SECTIONS = {"model": "models", "seed": "seeds", "snapshot": "snapshots", "exposure": "exposures"}
_CONFIG, _VIEW, _DEFAULTS = "config.", "feature_view.", "feature_view_defaults."
_BLOCK_DEPTH = 3  # config, meta, and one of our blocks


@dataclass(frozen=True, slots=True)
class Place:
    """A file as a person would open it, and the line in it, from 1; None where nobody knows."""

    file: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """How many keys of a path could be followed, and the line of the last of them."""

    depth: int = 0
    line: int | None = None


class SourceLines:
    """Where the definitions of a project stand, in its own YAML, that of its packages, and `dbt_project.yml`."""

    def __init__(self, project: Project, manifest: Manifest) -> None:
        self._project = project
        self._manifest = manifest
        self._documents: dict[Path, yaml.Node | None] = {}

    def place(self, location: Location) -> Place:
        """Find the deepest key on the way to a location that a file holds; never fails, at worst there is no line."""
        file = self._file(location)
        if file is None:
            return Place(location.file)
        at_node, in_project = self._in_node(self._document(file), location), self._in_project(location)
        if in_project.depth > at_node.depth:
            return Place(_shown(self._project_file), in_project.line)
        return Place(_shown(file), at_node.line)

    @property
    def _project_file(self) -> Path:
        return self._project.directory / "dbt_project.yml"

    def _file(self, location: Location) -> Path | None:
        """Find a file whose name is relative to the project, or to the package that defines the node."""
        package = [*location.node.split("."), "", ""][1]
        is_own = package in ("", self._project.name)
        folder = self._project.directory if is_own else self._project.packages_path / package
        return folder / location.file if (folder / location.file).is_file() else None

    def _in_node(self, document: yaml.Node | None, location: Location) -> _Found:
        """Follow a location's keys below its node; those of a version win over those of all versions."""
        kind, _, name = [*location.node.split(".", 2), "", ""][:3]
        section = _value(document, _SECTIONS.get(kind, ""))
        model, _, version = name.rpartition(".v")
        node = _item(section, "name", name) or _item(section, "name", model)
        if node is None:
            return _Found()
        everywhere = _follow(node, location.key, _Found(line=_line(node)))
        one = _item(_value(node, "versions"), "v", version)
        own = _Found() if one is None else _follow(one, location.key, _Found(line=_line(one)))
        return own if own.depth and own.depth >= everywhere.depth else everywhere

    def _in_project(self, location: Location) -> _Found:
        """Follow a key of `meta` down the folders of `dbt_project.yml`; the deepest folder wins, as it does for dbt."""
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
        """Read a file as nodes that know their lines; None if it is no YAML."""
        if file not in self._documents:
            try:
                content = file.read_bytes() if file.suffix in (".yml", ".yaml") else b""
                self._documents[file] = yaml.compose(content, Loader=_LOADER)
            except (OSError, ValueError, yaml.YAMLError):
                self._documents[file] = None
        return self._documents[file]


def _follow(node: yaml.Node | None, path: str, so_far: _Found) -> _Found:
    """Follow a path of keys, joined by dots which keys may hold themselves, as deep as a file goes."""
    ways = [so_far]
    for key, value, line in _entries(node):
        if path == key or path.startswith(f"{key}."):
            ways.append(_follow(value, path[len(key) + 1 :], _Found(so_far.depth + 1, line)))
    others = []
    if path.startswith(_VIEW):  # what a view does not say itself, its defaults may
        others.append(_follow(node, _DEFAULTS + path.removeprefix(_VIEW), so_far))
    if path.startswith(_CONFIG):  # dbt takes `meta` without it as well
        others.append(_follow(node, path.removeprefix(_CONFIG), _Found(so_far.depth + 1, so_far.line)))
    ways += [each for each in others if each.depth > so_far.depth + 1]
    return max(ways, key=lambda each: each.depth)


def _entries(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node, int]]:
    """The keys of a mapping, or the texts and names in a list; each with its value and its line."""
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
    """Find the value of a key in a mapping."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value, _ in _entries(node) if name == key), None)


def _item(node: yaml.Node | None, key: str, name: str) -> yaml.Node | None:
    """Find the mapping in a list that has a name under a key."""
    items: list[yaml.Node] = node.value if isinstance(node, yaml.SequenceNode) else []
    for item in items:
        value = _value(item, key)
        if isinstance(value, yaml.ScalarNode) and value.value == name:
            return item
    return None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _shown(file: Path) -> str:
    """Write a path as it is typed here."""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)
