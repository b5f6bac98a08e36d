"""Reads `profiles.yml` as dbt does, without importing dbt: Jinja in a sandbox, then the target that is asked for."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from feature_sync.dbt.project import Project, read_yaml
from feature_sync.definitions import Target
from feature_sync.errors import ProfileError, did_you_mean

_MISSING = object()


def read_target(
    project: Project, *, profiles_dir: str | None = None, profile: str | None = None, target: str | None = None
) -> Target:
    """Read the target of a project's profile. The arguments fall back on dbt's environment variables.

    Raises:
        ProfileError: The profile or target does not exist, or needs an environment variable that is not set.
        ProjectError: `profiles.yml` is missing or is no YAML.
    """
    file = _profiles_dir(profiles_dir) / "profiles.yml"
    content = read_yaml(file, "say where it is with --profiles-dir or DBT_PROFILES_DIR")
    render = _renderer(project.variables, file)
    name = profile or os.environ.get("DBT_PROFILE") or (project.profile and str(render(project.profile)))
    if not name:
        raise ProfileError(f"{project.directory / 'dbt_project.yml'}: profile is missing")
    names = [each for each in content if each != "config"]
    if not isinstance(content.get(name), dict):
        raise ProfileError(f"{file}: no profile is called {name!r}{did_you_mean(name, names)}")
    outputs = content[name].get("outputs")
    if not isinstance(outputs, dict):
        raise ProfileError(f"{file}: {name}: outputs is missing")
    chosen = target or os.environ.get("DBT_TARGET") or str(render(content[name].get("target") or "default"))
    if not isinstance(outputs.get(chosen), dict):
        raise ProfileError(f"{file}: {name}: no target is called {chosen!r}{did_you_mean(chosen, outputs)}")
    settings = {str(key): _render_all(value, render) for key, value in outputs[chosen].items()}
    return Target(
        profile=name,
        name=chosen,
        adapter=str(settings.get("type")),
        settings=settings,
        project_dir=str(project.directory),
    )


def _profiles_dir(given: str | None) -> Path:
    if named := given or os.environ.get("DBT_PROFILES_DIR"):
        return Path(named)
    return Path() if Path("profiles.yml").exists() else Path.home() / ".dbt"


def _render_all(value: Any, render: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _render_all(each, render) for key, each in value.items()}
    if isinstance(value, list):
        return [_render_all(each, render) for each in value]
    return render(value)


def _renderer(variables: Mapping[str, Any], file: Path) -> Callable[[Any], Any]:
    """Make the function that renders one value; as in dbt, `as_number` and its kin turn text into values."""
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    def env_var(name: str, default: object = _MISSING) -> object:
        value = os.environ.get(name, default)
        if value is _MISSING:
            raise ProfileError(f"{file}: the environment variable {name} is not set")
        return value

    def var(name: str, default: object = _MISSING) -> object:
        value = variables.get(name, default)
        if value is _MISSING:
            raise ProfileError(f"{file}: the var {name!r} is not set")
        return value

    converted: list[Any] = []  # errors below never quote a value: it may be a secret

    def converter(convert: Callable[[str], Any]) -> Callable[[object], str]:
        def remember(value: object) -> str:
            converted.append(convert(str(value)))
            return str(value)

        return remember

    environment = SandboxedEnvironment(undefined=StrictUndefined)
    environment.globals.update(env_var=env_var, var=var)
    environment.filters.update(
        as_number=converter(_as_number),
        as_bool=converter(_as_bool),
        as_native=converter(_as_native),
        as_text=str,
    )

    def render(value: Any) -> Any:
        if not isinstance(value, str) or ("{{" not in value and "{%" not in value):
            return value
        converted.clear()
        try:
            text = environment.from_string(value).render()
        except (TemplateError, ValueError) as broken:
            raise ProfileError(f"{file}: {value}: {broken}") from broken
        return converted[-1] if converted else text

    return render


def _as_number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError("the value is no number") from None


def _as_native(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _as_bool(text: str) -> bool:
    if text.strip().lower() not in ("true", "false"):
        raise ValueError("the value is neither true nor false")
    return text.strip().lower() == "true"
