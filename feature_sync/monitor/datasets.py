"""Names of datasets, as the OpenLineage integration of dbt names them, so that both draw one graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from feature_sync.definitions import Target


class Dataset(NamedTuple):
    """A dataset.

    Args:
        namespace: The source of data, such as `postgres://localhost:5432`.
        name: Its name there.
        fields: The names and types of its columns, as far as they are known; None is an unknown type.
    """

    namespace: str
    name: str
    fields: Mapping[str, str | None] = {}


def of_relation(target: Target, parts: Sequence[str], fields: Mapping[str, str | None]) -> Dataset:
    """Name a relation of the warehouse.

    Args:
        target: The target; dbt's integration takes the namespace from the same fields.
        parts: Database, schema and name, without quotes.
        fields: Its columns.
    """
    return Dataset(_namespace(target.adapter, target.settings), ".".join(parts), fields)


def of_online_view(where: str, key: str, fields: Mapping[str, str | None]) -> Dataset:
    """Name a view in Redis: `redis://host:port`, and `database.prefix:view`; the naming convention has no rule for it.

    Args:
        where: The URL of Redis without login and options.
        key: What the keys of the view begin with, such as `shop:orders`.
        fields: Its features.
    """
    parts = urlsplit(where)
    if parts.scheme == "unix":
        return Dataset(where, f"0.{key}", fields)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return Dataset(f"redis://{host}:{parts.port or 6379}", f"{parts.path.strip('/') or 0}.{key}", fields)


def of_file(path: str, fields: Mapping[str, str | None]) -> Dataset:
    """Name a file, or an object in a store such as `s3://bucket/name`."""
    parts = urlsplit(path)
    if parts.scheme and parts.netloc:
        return Dataset(f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/"), fields)
    return Dataset("file", str(Path(path).absolute()), fields)


def _namespace(adapter: str, settings: Mapping[str, Any]) -> str:
    if adapter == "duckdb":
        return f"duckdb://{settings.get('path', ':memory:')}"
    if adapter == "postgres":
        return f"postgres://{settings.get('host')}:{settings.get('port', 5432)}"
    return adapter
