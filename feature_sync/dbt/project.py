"""Finds a dbt project and reads the few lines of `dbt_project.yml` that its artifacts do not carry."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from feature_sync.clock import read_moment
from feature_sync.dbt.yaml_text import MOST_BYTES, UnfitYaml, load
from feature_sync.errors import Location, ProjectError
from feature_sync.findings import Finding

AS_OF = "feature_sync_as_of"
_SOURCES = {
    "model-paths": "models",
    "seed-paths": "seeds",
    "snapshot-paths": "snapshots",
    "analysis-paths": "analyses",
    "macro-paths": "macros",
    "test-paths": "tests",
    "function-paths": "functions",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A dbt project on disk. `variables` holds the project's own vars, those of the command line on top.

    `docs_paths` is None where only dbt knows it, because the project writes it in Jinja.
    """

    directory: Path
    target_path: Path
    name: str
    packages_path: Path
    profile: str | None = None
    source_paths: tuple[Path, ...] = ()
    docs_paths: tuple[Path, ...] | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def as_of(self) -> datetime | None:
        """The fixed clock that the project's vars set, in UTC.

        Raises:
            RequestError: It is not written in ISO 8601, or lies beyond the years 1 to 9999.
        """
        value = self.variables.get(AS_OF)
        return None if value in (None, "") else read_moment(str(value), f"the var {AS_OF}")

    @property
    def catalog(self) -> Path:
        """What `dbt docs generate` learnt from the warehouse."""
        return self.target_path / "catalog.json"

    @property
    def run_results(self) -> Path:
        """What became of dbt's last command."""
        return self.target_path / "run_results.json"

    def warning_of_newer_sources(self, manifest: Path) -> Finding | None:
        """Name a file that changed after the manifest was written; None if there is none."""
        newer = self.newer_sources(manifest)
        if not newer:
            return None
        first, *others = newer
        more = f", as did {len(others)} more" if others else ""
        said = f"changed after {manifest.name} was written{more}; run dbt parse or dbt build"
        return Location(first, "").warning(said)

    def newer_sources(self, than: Path) -> list[str]:
        """List the project's YAML and SQL files that changed after a file was written."""
        written = _changed_at(than)
        paths = [path for folder in self.source_paths for path in source_files(folder, (".yml", ".yaml", ".sql"))]
        return sorted(os.path.relpath(path, self.directory) for path in paths if _changed_at(path) > written)


def read_project(
    project_dir: str | None = None, target_path: str | None = None, variables: Mapping[str, Any] | None = None
) -> Project:
    """Read a project. The arguments fall back on dbt's environment variables, then on dbt's own defaults.

    Raises:
        ProjectError: There is no `dbt_project.yml`, or it is no YAML mapping with a name.
    """
    directory = Path(project_dir or os.environ.get("DBT_PROJECT_DIR") or ".").absolute()
    file = directory / "dbt_project.yml"
    said = _Said(file, read_yaml(file, "run feature-sync in a dbt project, or name one with --project-dir"))
    name = said.text("name")
    if not name:
        raise ProjectError(f"{file}: name is missing")
    target = target_path or os.environ.get("DBT_TARGET_PATH") or said.text("target-path") or "target"
    kinds = ("model-paths", "snapshot-paths", "seed-paths")
    folders = [folder for kind in kinds for folder in said.texts(kind) or [_SOURCES[kind]]]
    return Project(
        directory=directory,
        target_path=directory / target,
        name=name,
        profile=said.text("profile"),
        source_paths=tuple(directory / folder for folder in folders),
        packages_path=directory / (said.text("packages-install-path") or "dbt_packages"),
        docs_paths=_docs_paths(said, directory),
        variables=_project_variables(said, name) | dict(variables or {}),
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """What `dbt_project.yml` says; a number stands for its text.

    Raises:
        ProjectError: From both methods: a key holds something else.
    """

    file: Path
    content: Mapping[str, Any]

    def text(self, key: str) -> str | None:
        """Read a text; None where the key is absent."""
        value = self.content.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (str, int, float)) or "\0" in str(value):
            raise ProjectError(f"{self.file}: {key}: must be a text")
        return str(value)

    def texts(self, key: str) -> list[str]:
        """Read a list of texts; empty where the key is absent."""
        values = self.content.get(key)
        if values is None:
            return []
        if not isinstance(values, list) or not all(isinstance(each, str) and "\0" not in each for each in values):
            raise ProjectError(f"{self.file}: {key}: must be a list of folders")
        return values


def source_files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Find the files below a folder by how their names end; a folder that is closed to us has none, as for dbt."""
    for at, _, names in os.walk(folder):
        yield from (Path(at, name) for name in names if name.endswith(suffixes) and Path(name).suffix)


def _changed_at(path: Path) -> float:
    """The time at which a file changed last; never, where there is none, as behind the links by which Emacs locks."""
    try:
        return path.stat().st_mtime
    except OSError:
        return float("-inf")


def read_bounded(file: Path) -> bytes:
    """Read a file no further than the bounds of YAML: what is longer is refused, whatever follows."""
    with file.open("rb") as opened:
        return opened.read(MOST_BYTES + 1)


def read_yaml(file: Path, cure: str) -> dict[str, Any]:
    """Read a file that must hold a YAML mapping.

    Raises:
        ProjectError: The file is missing, unreadable, or holds something else.
    """
    try:
        content = load(read_bounded(file))
    except FileNotFoundError as missing:
        raise ProjectError(f"{file} is missing; {cure}") from missing
    except OSError as unreadable:
        raise ProjectError(f"{file} cannot be read: {unreadable.strerror}") from unreadable
    except UnfitYaml as unfit:
        raise ProjectError(f"{file} is no valid YAML: {unfit}") from unfit
    if not isinstance(content, dict):
        raise ProjectError(f"{file} holds no YAML mapping; {cure}")
    return content


def _docs_paths(said: _Said, directory: Path) -> tuple[Path, ...] | None:
    """The folders in which dbt looks for docs blocks: unless the project names them, all that hold sources."""
    usual = [folder for kind, usual in _SOURCES.items() for folder in said.texts(kind) or [usual]]
    folders = said.texts("docs-paths") or usual
    return None if any("{{" in folder for folder in folders) else tuple(directory / folder for folder in folders)


def _project_variables(said: _Said, project: str) -> dict[str, Any]:
    """Read the vars of the project, its own ones on top.

    Raises:
        ProjectError: They are no mapping.
    """
    variables = said.content.get("vars") or {}
    if not isinstance(variables, dict):
        raise ProjectError(f"{said.file}: vars: must be a mapping of names to values")
    own = variables.get(project)
    return {**variables, **(own if isinstance(own, dict) else {})}
