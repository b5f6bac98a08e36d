"""dbt projects in temporary folders, built by the real dbt, and the command line run in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.dbt import run_dbt

EXAMPLE = Path(__file__).parents[2]
PROJECTS = EXAMPLE / "tests" / "projects"
_DBT_FOLDERS = ("macros", "models", "profiles", "seeds", "snapshots", "tests/dbt")


@dataclass(frozen=True)
class BuiltProject:
    """A project that dbt has built for one target."""

    folder: Path
    target: str
    environment: dict[str, str] = field(default_factory=dict)
    state: str | None = None
    """The adapter of the place where states are kept, if not beside the rows."""

    @property
    def target_name(self) -> str:
        """The target in `profiles.yml`, which says where states are kept, too."""
        return f"{self.target}_apart" if self.state else self.target

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which commands run: nothing of the developer's own settings."""
        profiles = self.folder / "profiles" if (self.folder / "profiles").is_dir() else self.folder
        return {
            **os.environ,
            "DBT_PROFILES_DIR": str(profiles),
            "DBT_TARGET": self.target_name,
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DBT_USE_COLORS": "false",
            **self.environment,
        }

    def dbt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run dbt; fails the test if dbt fails."""
        done = self.try_dbt(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def try_dbt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run dbt."""
        return run_dbt(arguments, self.folder, self.variables)

    def feature_sync(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return self.run(sys.executable, "-m", "feature_sync", *arguments, **environment)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {**self.variables, **environment}
        return subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, check=False)


def copy_project(source: Path, folder: Path) -> Path:
    """Copy the files of a dbt project, and nothing that dbt or a person left beside them."""
    if source == folder:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dbt_project.yml", "profiles.yml", "packages.yml"):
        if (source / name).exists():
            shutil.copy(source / name, folder)
    for name in _DBT_FOLDERS:
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name, dirs_exist_ok=True)
    return folder


def own_copy(built: BuiltProject, folder: Path) -> BuiltProject:
    """Copy the example as dbt built it on DuckDB, for a test that spoils it."""
    copy_project(built.folder, folder)
    shutil.copytree(built.folder / "target", folder / "target")
    shutil.copy(built.folder / "flights.duckdb", folder)
    return BuiltProject(folder, target="duckdb")


def build_project(
    source: Path, folder: Path, *, target: str, environment: dict[str, str] | None = None
) -> BuiltProject:
    """Copy a project and build it.

    On DuckDB, `BUILT_PROJECTS` names a folder which keeps what was built, for runs that want it hundreds of times: dbt
    builds the same whatever of feature-sync was changed.
    """
    kept = os.environ.get("BUILT_PROJECTS")
    if kept is None or target != "duckdb":
        return build_anew(source, folder, target, environment)
    shelf = Path(kept, source.name)
    if not (shelf / "target" / "run_results.json").exists():
        build_anew(source, shelf, target, environment)
    shutil.copytree(shelf, folder, dirs_exist_ok=True)
    return BuiltProject(folder, target, environment or {})


def build_anew(source: Path, folder: Path, target: str, environment: dict[str, str] | None) -> BuiltProject:
    project = BuiltProject(copy_project(source, folder), target, environment or {})
    project.dbt("--quiet", "build")
    return project
