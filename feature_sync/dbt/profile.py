"""Reads `profiles.yml` as dbt does, without importing dbt: it picks a target, and renders its Jinja in a sandbox."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from feature_sync.dbt.bounded_jinja import BoundedJinja
from feature_sync.dbt.conversions import Unfit
from feature_sync.dbt.project import Project, read_yaml
from feature_sync.definitions import Target
from feature_sync.errors import ProfileError, did_you_mean

OWN = "feature_sync"
"""The YAML key of our own settings in a profile."""
_OWN_KEYS = ("lineage", "on_alert", "stream")


def read_target(
    project: Project, *, profiles_dir: str | None = None, profile: str | None = None, target: str | None = None
) -> Target:
    """Read the target of a project's profile.

    Args:
        project: The dbt project.
        profiles_dir: The folder of `profiles.yml`; by default `DBT_PROFILES_DIR`, the working directory if it has that
            file, or else `~/.dbt`.
        profile: The profile; by default `DBT_PROFILE`, or else that of `dbt_project.yml`.
        target: The target; by default `DBT_TARGET`, or else that of the profile.

    Raises:
        ProfileError: The profile or target does not exist, or needs an environment variable that is not set.
        ProjectError: `profiles.yml` is missing or not YAML.
    """
    file, name, chosen_profile = _chosen_profile(project, profiles_dir, profile)
    render = _Renderer(project.variables, file)
    outputs = _by_name(chosen_profile.get("outputs"))
    if outputs is None:
        raise ProfileError(f"{file}: {name}: outputs is missing")
    default = render.text(chosen_profile.get("target"), name, "target")
    chosen = target or os.environ.get("DBT_TARGET") or default or "default"
    output = _by_name(outputs.get(chosen))
    if output is None:
        raise ProfileError(f"{file}: {name}: no target is called {chosen!r}{did_you_mean(chosen, outputs)}")
    settings = render.all(output, name, "outputs", chosen)
    return Target(
        profile=name,
        name=chosen,
        adapter=str(settings.get("type")),
        settings=settings,
        project_dir=str(project.directory),
    )


def read_own_setting(
    project: Project, key: str, *, profiles_dir: str | None = None, profile: str | None = None
) -> OwnSetting:
    """Read a key of the block `feature_sync` of a project's profile, beside its `outputs`: dbt passes over it.

    Args:
        project: The dbt project.
        key: The key. The others may be wrong.
        profiles_dir: As in `read_target`.
        profile: As in `read_target`.

    Raises:
        ProfileError: The profile does not exist, the key needs an environment variable that is not set, or the block
            is not a mapping of known keys.
        ProjectError: `profiles.yml` is missing or not YAML.
    """
    file, name, chosen = _chosen_profile(project, profiles_dir, profile)
    block, where = chosen.get(OWN), f"{file}: {name}.{OWN}"
    if block is not None and not isinstance(block, dict):
        raise ProfileError(f"{where}: must be a mapping")
    for each in block or ():
        if each not in _OWN_KEYS:
            raise ProfileError(f"{where}.{each}: unknown key{did_you_mean(str(each), _OWN_KEYS)}")
    return OwnSetting(f"{where}.{key}", _Renderer(project.variables, file).all((block or {}).get(key), name, OWN, key))


class OwnSetting(NamedTuple):
    """What a profile sets for feature-sync alone, rendered; it may hold secrets.

    Args:
        where: The file and the YAML keys, for errors.
        value: The setting; None if there is none.
    """

    where: str
    value: Any


def _chosen_profile(
    project: Project, profiles_dir: str | None, profile: str | None
) -> tuple[Path, str, Mapping[str, Any]]:
    """Return the file of the profiles, the name of the chosen one, and what it holds."""
    file = _profiles_dir(profiles_dir) / "profiles.yml"
    content = read_yaml(file, "name its folder with --profiles-dir or DBT_PROFILES_DIR")
    own = _Renderer(project.variables, project.directory / "dbt_project.yml").text(project.profile, "profile")
    name = profile or os.environ.get("DBT_PROFILE") or own
    if not name:
        raise ProfileError(f"{project.directory / 'dbt_project.yml'}: profile is missing")
    profiles = {key: value for key, value in content.items() if key != "config"}
    chosen = _by_name((_by_name(profiles) or {}).get(name))
    if chosen is None:
        raise ProfileError(f"{file}: no profile is called {name!r}{did_you_mean(name, map(str, profiles))}")
    return file, name, chosen


def _profiles_dir(given: str | None) -> Path:
    if named := given or os.environ.get("DBT_PROFILES_DIR"):
        return Path(named)
    return Path() if Path("profiles.yml").exists() else Path.home() / ".dbt"


def _by_name(values: object) -> dict[str, Any] | None:
    """Return a mapping with its YAML keys as text, since YAML reads some names as numbers; None for other values."""
    return {str(name): value for name, value in values.items()} if isinstance(values, dict) else None


class _Renderer:
    """Renders the values of a file; errors name the file and the YAML key, never the value, which may be a secret."""

    def __init__(self, variables: Mapping[str, Any], file: Path) -> None:
        self._file = file
        self._jinja = BoundedJinja(variables)

    def text(self, value: object, *keys: str) -> str | None:
        """Render a text or a number as text; None stays None. `keys` is the path to it, for the error."""
        if isinstance(value, (dict, list)):
            raise ProfileError(f"{self._file}: {'.'.join(keys)}: must be a text")
        return None if value is None else str(self.all(value, *keys))

    def all(self, value: Any, *keys: str) -> Any:
        """Render every text within a value; `keys` is the path to it, for the error."""
        if isinstance(value, dict):
            return {key: self.all(each, *keys, str(key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self.all(each, *keys, str(at)) for at, each in enumerate(value)]
        if not isinstance(value, str) or ("{{" not in value and "{%" not in value):
            return value
        try:
            return self._jinja.render(value)
        except Unfit as unfit:
            raise ProfileError(f"{self._file}: {'.'.join(keys)}: {unfit}") from unfit.__cause__
