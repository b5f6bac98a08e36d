"""Finds a dbt project and reads the settings of `dbt_project.yml` that dbt's artifacts lack."""

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
_MOST_FOLDERS = 5_000
"""Of a project: far more than dbt itself could read, and walked within seconds."""
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
    """A dbt project on disk. `variables` holds the project's own vars, overridden by those of the command line.

    `docs_paths` is None if the project writes it in Jinja, which only dbt can render.
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
        """The fixed clock in the project's vars, in UTC; None if they set none.

        Raises:
            RequestError: It is not in ISO 8601, or outside the years 1 to 9999.
        """
        value = self.variables.get(AS_OF)
        return None if value in (None, "") else read_moment(str(value), f"the var {AS_OF}")

    @property
    def catalog(self) -> Path:
        """The path of `catalog.json`, which `dbt docs generate` writes."""
        return self.target_path / "catalog.json"

    @property
    def run_results(self) -> Path:
        """The path of `run_results.json`, the results of dbt's last command."""
        return self.target_path / "run_results.json"

    def warning_of_newer_sources(self, manifest: Path) -> Finding | None:
        """Return a warning that names a file changed after the manifest was written; None if none changed."""
        newer = self.newer_sources(manifest)
        if not newer:
            return None
        first, *others = newer
        more = f", as did {len(others)} more" if others else ""
        message = f"changed after {manifest.name} was written{more}; run dbt parse or dbt build"
        return Location(first, "").warning(message)

    def newer_sources(self, than: Path) -> list[str]:
        """Return the project's YAML and SQL files that changed after a file was written, relative to the project."""
        written = _changed_at(than)
        paths = [path for folder in self.source_paths for path in source_files(folder, (".yml", ".yaml", ".sql"))]
        return sorted(os.path.relpath(path, self.directory) for path in paths if _changed_at(path) > written)


def read_project(
    project_dir: str | None = None, target_path: str | None = None, variables: Mapping[str, Any] | None = None
) -> Project:
    """Read a project.

    Args:
        project_dir: The folder of `dbt_project.yml`; by default `DBT_PROJECT_DIR`, or else the working directory.
        target_path: The folder of dbt's artifacts, relative to the project; by default `DBT_TARGET_PATH`, or else that
            of the project.
        variables: The vars of the command line, which override the project's own.

    Raises:
        ProjectError: `dbt_project.yml` is missing, or not a YAML mapping with a name.
    """
    directory = Path(project_dir or os.environ.get("DBT_PROJECT_DIR") or ".").absolute()
    file = directory / "dbt_project.yml"
    settings = _ProjectFile(file, read_yaml(file, "run feature-sync in a dbt project, or name one with --project-dir"))
    name = settings.text("name")
    if not name:
        raise ProjectError(f"{file}: name is missing")
    target = target_path or os.environ.get("DBT_TARGET_PATH") or settings.text("target-path") or "target"
    kinds = ("model-paths", "snapshot-paths", "seed-paths")
    folders = [folder for kind in kinds for folder in settings.texts(kind) or [_SOURCES[kind]]]
    return Project(
        directory=directory,
        target_path=directory / target,
        name=name,
        profile=settings.text("profile"),
        source_paths=tuple(directory / folder for folder in folders),
        packages_path=directory / (settings.text("packages-install-path") or "dbt_packages"),
        docs_paths=_docs_paths(settings, directory),
        variables=_project_variables(settings, name) | dict(variables or {}),
    )


@dataclass(frozen=True, slots=True)
class _ProjectFile:
    """The content of `dbt_project.yml`; numbers are read as text.

    Raises:
        ProjectError: From both methods, if the value is of another type.
    """

    file: Path
    content: Mapping[str, Any]

    def text(self, key: str) -> str | None:
        """Read a text; None if the YAML key is absent."""
        value = self.content.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (str, int, float)) or "\0" in str(value):
            raise ProjectError(f"{self.file}: {key}: must be a text")
        return str(value)

    def texts(self, key: str) -> list[str]:
        """Read a list of texts; empty if the YAML key is absent."""
        values = self.content.get(key)
        if values is None:
            return []
        if not isinstance(values, list) or not all(isinstance(each, str) and "\0" not in each for each in values):
            raise ProjectError(f"{self.file}: {key}: must be a list of folders")
        return values


def source_files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files below a folder with one of the suffixes; a folder without read permission has none, as in dbt.

    Raises:
        ProjectError: The folder has too many folders for one of a project, as `/` has.
    """
    for count, (at, _, names) in enumerate(os.walk(folder)):
        if count == _MOST_FOLDERS:
            raise ProjectError(
                f"{folder} has more than {_MOST_FOLDERS:,} folders; name the folders of models, snapshots and seeds in "
                "dbt_project.yml (model-paths, snapshot-paths, seed-paths)"
            )
        yield from (Path(at, name) for name in names if name.endswith(suffixes) and Path(name).suffix)


def _changed_at(path: Path) -> float:
    """Return a file's modification time in seconds; minus infinity if it is missing.

    A listed file may be missing: Emacs locks files with symbolic links that lead nowhere.
    """
    try:
        return path.stat().st_mtime
    except OSError:
        return float("-inf")


def read_bounded(file: Path) -> bytes:
    """Read at most one byte more than YAML may have: `load` refuses longer files, so the rest is not needed."""
    with file.open("rb") as opened:
        return opened.read(MOST_BYTES + 1)


def read_yaml(file: Path, cure: str) -> dict[str, Any]:
    """Read a file that must hold a YAML mapping; the error of a missing or another one ends with `cure`.

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
        raise ProjectError(f"{file} is not valid YAML: {unfit}") from unfit
    if not isinstance(content, dict):
        raise ProjectError(f"{file} does not hold a YAML mapping; {cure}")
    return content


def _docs_paths(settings: _ProjectFile, directory: Path) -> tuple[Path, ...] | None:
    """Return the folders in which dbt looks for docs blocks: by default all folders with sources."""
    sources = [folder for kind, default in _SOURCES.items() for folder in settings.texts(kind) or [default]]
    folders = settings.texts("docs-paths") or sources
    return None if any("{{" in folder for folder in folders) else tuple(directory / folder for folder in folders)


def _project_variables(settings: _ProjectFile, project: str) -> dict[str, Any]:
    """Read the vars of the project; those below its own name override the global ones.

    Raises:
        ProjectError: They are not a mapping.
    """
    variables = settings.content.get("vars") or {}
    if not isinstance(variables, dict):
        raise ProjectError(f"{settings.file}: vars: must be a mapping of names to values")
    own = variables.get(project)
    return {**variables, **(own if isinstance(own, dict) else {})}
