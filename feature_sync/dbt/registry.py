"""Reads the whole registry from a manifest: the manifest is the registry, there is no second one."""

from __future__ import annotations

from pathlib import Path

from feature_sync.dbt.feature_services import read_feature_service
from feature_sync.dbt.feature_views import is_feature_view, read_feature_view
from feature_sync.dbt.manifest import Manifest, read_catalog
from feature_sync.definitions import FeatureView, Registry


def read_registry(manifest: Manifest, *, project: str, catalog: Path) -> Registry:
    """Read all feature views and feature services.

    Raises:
        DefinitionError: A definition is wrong; the error names its file, node and YAML key.
    """
    warnings: list[str] = []
    views: dict[str, FeatureView] = {}
    types: dict[str, dict[str, str]] | None = None
    for node in manifest.nodes_that_mention("feature_view"):
        if not is_feature_view(node):
            continue
        if types is None and not node.has_contract:
            types = read_catalog(catalog, manifest)
        view = read_feature_view(
            node, (types or {}).get(node.unique_id or "", {}), adapter=manifest.metadata.adapter_type
        )
        if other := views.get(view.reference):
            raise node.location.error(f"{other.relation.location.node} is also a feature view called {view.reference}")
        views[view.reference] = view
    services = {
        node.name or "": read_feature_service(node, views, warnings)
        for node in manifest.exposures()
        if isinstance(node.meta.get("feature_service"), dict)
    }
    return Registry(
        project=project,
        feature_views=dict(sorted(views.items())),
        feature_services=dict(sorted(services.items())),
        warnings=tuple(warnings),
    )
