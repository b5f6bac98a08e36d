"""Finds a dbt project and reads the few lines of `dbt_project.yml` that its artifacts do not carry."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from feature_sync.errors import ProjectError

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
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
    def as_of(self) -> str | None:
        """The fixed clock that the project's vars set, as text."""
        value = self.variables.get(AS_OF)
        return None if value in (None, "") else str(value)

    @property
    def catalog(self) -> Path:
        """What `dbt docs generate` learnt from the warehouse."""
        return self.target_path / "catalog.json"

    @property
    def run_results(self) -> Path:
        """What became of dbt's last command."""
        return self.target_path / "run_results.json"

    def warning_of_newer_sources(self, manifest: Path) -> tuple[str, str] | None:
        """Name a file that changed after the manifest was written, and say so; None if there is none."""
        newer = self.newer_sources(manifest)
        if not newer:
            return None
        more = f"and {len(newer) - 1} more " if len(newer) > 1 else ""
        return newer[0], f"{more}changed after {manifest.name} was written; run dbt parse or dbt build"

    def newer_sources(self, than: Path) -> list[str]:
        """List the project's YAML and SQL files that changed after a file was written."""
        written = than.stat().st_mtime
        newer = [
            path
            for folder in self.source_paths
            for path in folder.rglob("*")
            if path.suffix in (".yml", ".yaml", ".sql") and path.stat().st_mtime > written
        ]
        return sorted(str(path.relative_to(self.directory)) for path in newer)


def read_project(
    project_dir: str | None = None, target_path: str | None = None, variables: Mapping[str, Any] | None = None
) -> Project:
    """Read a project. The arguments fall back on dbt's environment variables, then on dbt's own defaults.

    Raises:
        ProjectError: There is no `dbt_project.yml`, or it is no YAML mapping with a name.
    """
    directory = Path(project_dir or os.environ.get("DBT_PROJECT_DIR") or ".").absolute()
    file = directory / "dbt_project.yml"
    content = read_yaml(file, "run feature-sync in a dbt project, or name one with --project-dir")
    name = content.get("name")
    if not isinstance(name, str):
        raise ProjectError(f"{file}: name is missing")
    target = target_path or os.environ.get("DBT_TARGET_PATH") or content.get("target-path") or "target"
    folders = [
        str(folder)
        for kind in ("model-paths", "snapshot-paths", "seed-paths")
        for folder in content.get(kind) or [_SOURCES[kind]]
    ]
    profile = content.get("profile")
    return Project(
        directory=directory,
        target_path=directory / str(target),
        name=name,
        profile=str(profile) if profile is not None else None,
        source_paths=tuple(directory / folder for folder in folders),
        packages_path=directory / str(content.get("packages-install-path") or "dbt_packages"),
        docs_paths=_docs_paths(content, directory),
        variables=_project_variables(content.get("vars"), name) | dict(variables or {}),
    )


def read_yaml(file: Path, cure: str) -> dict[str, Any]:
    """Read a file that must hold a YAML mapping.

    Raises:
        ProjectError: The file is missing, unreadable, or holds something else.
    """
    try:
        content = yaml.load(file.read_bytes(), Loader=_LOADER)  # noqa: S506 - both loaders are the safe one
    except FileNotFoundError as missing:
        raise ProjectError(f"{file} is missing; {cure}") from missing
    except OSError as unreadable:
        raise ProjectError(f"{file} cannot be read: {unreadable.strerror}") from unreadable
    except yaml.YAMLError as broken:
        raise ProjectError(f"{file} is no valid YAML: {' '.join(str(broken).split())}") from broken
    if not isinstance(content, dict):
        raise ProjectError(f"{file} holds no YAML mapping; {cure}")
    return content


def _docs_paths(content: Mapping[str, Any], directory: Path) -> tuple[Path, ...] | None:
    """The folders in which dbt looks for docs blocks: unless the project names them, all that hold sources."""
    named = content.get("docs-paths") or [
        folder for kind, usual in _SOURCES.items() for folder in content.get(kind) or [usual]
    ]
    folders = [str(folder) for folder in named]
    return None if any("{{" in folder for folder in folders) else tuple(directory / folder for folder in folders)


def _project_variables(variables: object, project: str) -> dict[str, Any]:
    if not isinstance(variables, dict):
        return {}
    own = variables.get(project)
    return {**variables, **(own if isinstance(own, dict) else {})}
