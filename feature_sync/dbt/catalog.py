"""Reads dbt's `catalog.json`: the types that the warehouse reported for the columns of each relation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from feature_sync.dbt.artifacts import decode_artifact
from feature_sync.dbt.manifest import Manifest, Metadata


class CatalogNode(msgspec.Struct):
    """The columns of one relation, as the warehouse reported them."""

    columns: dict[str, dict[str, Any]] | None = None


class CatalogFile(msgspec.Struct):
    """The content of `catalog.json`, which `dbt docs generate` writes."""

    metadata: Metadata | None = None
    nodes: dict[str, CatalogNode] | None = None


def read_catalog(path: Path, manifest: Manifest) -> dict[str, dict[str, str]]:
    """Return the types of columns by unique id and name; empty if the catalog is missing or older than the manifest.

    Raises:
        ProjectError: The file is truncated, or of another shape.
    """
    if not path.exists():
        return {}
    content = decode_artifact(path, CatalogFile, cure="run dbt docs generate again, or delete it")
    generated_at = (content.metadata and content.metadata.generated_at) or ""
    if generated_at < (manifest.metadata.generated_at or ""):
        return {}
    return {
        unique_id: {name: str(column.get("type")) for name, column in (node.columns or {}).items()}
        for unique_id, node in (content.nodes or {}).items()
    }
