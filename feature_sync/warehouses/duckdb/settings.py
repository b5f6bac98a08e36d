"""The fields of dbt-duckdb's profile, and the statements that it runs for them, in its order; uses no driver."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from feature_sync.errors import ProfileError
from feature_sync.warehouses.base import TargetSettings

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?![\\/]$)|\w+\s*=|:memory:")
"""Matches a URL, a scheme such as `md:` or `ducklake:`, or a connection string: anything that is not a file."""
_FILES = (None, "duckdb", "sqlite")
_WORDS = ("type", "provider")
"""Options of a secret that are written without quotes, as words of SQL."""


class Attachment(TargetSettings):
    """An attached database that models may use; `options` are those of ATTACH."""

    path: str
    type: str | None = None
    alias: str | None = None
    secret: str | None = None
    read_only: bool = False
    options: dict[str, Any] | None = None


class DuckDBSettings(TargetSettings):
    """The fields of dbt-duckdb's profile that reading needs; `connection` is one of the caller's own, if not None."""

    connection: Any = None
    path: str = ":memory:"
    config_options: dict[str, Any] | None = None
    extensions: list[str | dict[str, str]] | None = None
    secrets: list[dict[str, Any]] | None = None
    attach: list[Attachment] | None = None
    settings: dict[str, Any] | None = None


def statements(settings: DuckDBSettings, project_dir: Path) -> Iterator[tuple[str, str]]:
    """Yield the key of the profile and the statement, for each that a new connection runs; without extensions.

    The key never contains a value, which may be a secret.

    Raises:
        ProfileError: A value that must be a name is not one.
    """
    for number, secret in enumerate(settings.secrets or []):
        yield f"secrets[{number}]", _secret(secret, number)
    for number, attached in enumerate(settings.attach or []):
        name = attached.alias or (attached.path if names_file(attached.path) else "")
        yield f"attach[{number}]{f' ({name})' if name else ''}", _attach(attached, number, project_dir)
    for name, value in (settings.settings or {}).items():
        yield f"settings.{name}", f"set {_name(name, 'settings')} = {_text(value)}"


def names_file(path: str) -> bool:
    """True if a path is a file's. Any other may hold a password or a token, so that no message quotes it."""
    return not _ELSEWHERE.match(path) and "?" not in path


def without_values(text: str, settings: DuckDBSettings) -> str:
    """Return a message with the profile's values replaced by `...`: DuckDB may quote them, and they may be secrets."""
    values = [*(settings.config_options or {}).values(), *(settings.settings or {}).values()]
    values += [each.path for each in settings.attach or [] if not names_file(each.path)]
    values += [option for each in settings.attach or [] for option in (each.options or {}).values()]
    for value in sorted(map(str, values), key=len, reverse=True):  # the longest first: it may contain others
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "...", text) if value else text
    return text


def extensions(settings: DuckDBSettings) -> Iterator[tuple[str, str]]:
    """Yield the name of each extension, and the statement that installs it.

    Raises:
        ProfileError: A value that must be a name is not one.
    """
    for number, extension in enumerate(settings.extensions or []):
        key = f"extensions[{number}]"
        if isinstance(extension, str):
            yield _name(extension, key), f"install {extension}"
            continue
        name, repository = _name(extension.get("name", ""), key), extension.get("repo", "")
        yield name, f"install {name} from {repository if _NAME.fullmatch(repository) else _text(repository)}"


def _attach(attached: Attachment, number: int, project_dir: Path) -> str:
    """Return dbt-duckdb's ATTACH, but always read-only: we write only to the target's file, and must not block dbt."""
    options = {name.lower(): value for name, value in (attached.options or {}).items()}
    kind, secret = attached.type or options.pop("type", None), attached.secret or options.pop("secret", None)
    options = {name: value for name, value in options.items() if name not in ("type", "secret", "read_only")}
    key = f"attach[{number}]"
    written = [f"type {_name(str(kind), key)}"] if kind else []
    written += [f"secret {_name(str(secret), key)}"] if secret else []
    written.append("read_only")
    for name, value in options.items():
        if value is not None and value is not False:
            written.append(_name(name, key) if value is True else f"{_name(name, key)} {_value(value)}")
    path = attached.path
    if kind in _FILES and names_file(path):
        path = str(Path(project_dir, path))
    alias = f" as {_identifier(attached.alias)}" if attached.alias else ""
    return f"attach if not exists {_text(path)}{alias} ({', '.join(written)})"


def _secret(secret: Mapping[str, Any], number: int) -> str:
    key = f"secrets[{number}]"
    name = _name(str(secret.get("name") or f"_dbt_secret_{number + 1}"), key)
    persistent = " persistent" if secret.get("persistent") else ""
    written = []
    for option, value in secret.items():
        if value is None or option in ("name", "persistent"):
            continue
        word = _name(str(value), f"{key}.{option}") if option in _WORDS else _value(value)
        written.append(f"{_name(option, key)} {word}")
    return f"create or replace{persistent} secret {name} ({', '.join(written)})"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "map {" + ", ".join(f"{_text(name)}: {_text(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return _text(value)


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _name(name: str, key: str) -> str:
    if not _NAME.fullmatch(name):
        raise ProfileError(f"the profile's {key} contains an invalid name; use letters, digits and _")
    return name
