"""The YAML files of a project: finds the file that describes a model, and inserts settings into it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.node import Node
from feature_sync.dbt.project import Project, source_files
from feature_sync.dbt.schema_file import SourcePosition, put_settings, read_entry
from feature_sync.errors import OutputError
from feature_sync.files import read_text, write_text
from feature_sync.yaml_lines import Line

_YAML = (".yml", ".yaml")


class ProjectFiles:
    """The YAML files of one project; paths are relative to its folder."""

    def __init__(self, project: Project, manifest: Manifest) -> None:
        self._project = project
        self._own_packages = (None, manifest.metadata.project_name)

    def described(self, node: Node, position: SourcePosition) -> tuple[str, dict[str, Any]]:
        """Return the file that describes a node, and its entry; without an entry, the file to insert it into.

        Files newer than the manifest are searched too, since dbt refuses a second entry of the same name.
        """
        known = self._known_file(node)
        entry = self._entry(known, position)
        if node.package_name in self._own_packages and not entry:
            for file in self._files_with(position.name):
                if found := self._entry(file, position):
                    return file, found
        return known, entry

    def put(self, file: str, settings: Mapping[SourcePosition, Sequence[Line]]) -> None:
        """Insert settings into their entries, and write the file.

        Args:
            file: The file, relative to the project's folder.
            settings: The lines to insert, by entry.

        Raises:
            OutputError: The file belongs to a package, or the lines cannot be inserted safely.
        """
        path = (self._project.directory / file).resolve()
        is_own = path.is_relative_to(self._project.directory.resolve())
        if not is_own or path.is_relative_to(self._project.packages_path.resolve()):
            raise OutputError(
                f"{file} belongs to a package, which dbt deps would overwrite; in dbt_project.yml, put event_time and "
                "meta below the models of that package, as +event_time and +meta"
            )
        text = read_text(path) if path.exists() else ""
        for position, lines in settings.items():
            text = put_settings(text, position, lines, file=file)
        write_text(path, text)

    def _files_with(self, name: str) -> Iterator[str]:
        for folder in self._project.source_paths:
            for path in sorted(source_files(folder, _YAML)):
                if path.is_file() and name in read_text(path):
                    yield path.relative_to(self._project.directory).as_posix()

    def _known_file(self, node: Node) -> str:
        described = (node.patch_path or "").partition("://")[2] or node.original_file_path or ""
        path = PurePosixPath(Path(described).as_posix())
        path = path if path.suffix in _YAML else path.with_name(f"{node.name}.yml")
        packages = Path(os.path.relpath(self._project.packages_path, self._project.directory)).as_posix()
        is_own = node.package_name in self._own_packages
        return str(path if is_own else PurePosixPath(packages, node.package_name or "", path))

    def _entry(self, file: str, position: SourcePosition) -> dict[str, Any]:
        path = self._project.directory / file
        return read_entry(read_text(path), position, file=file) if path.exists() else {}
