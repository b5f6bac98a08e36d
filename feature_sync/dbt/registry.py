"""Reads the registry from a manifest: the manifest is the only registry."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from feature_sync.dbt.catalog import read_catalog
from feature_sync.dbt.feature_services import read_feature_service
from feature_sync.dbt.feature_views import is_feature_view, read_feature_view
from feature_sync.dbt.manifest import Manifest
from feature_sync.definitions import FeatureService, FeatureView, Registry
from feature_sync.errors import Findings
from feature_sync.findings import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Result of reading a manifest: valid definitions, errors and warnings, and the number of all definitions.

    Services lack the features that they select from views with errors. `wrong_views` are those views, as far as they
    could be read.
    """

    registry: Registry
    wrong_views: tuple[FeatureView, ...]
    findings: tuple[Finding, ...]
    feature_views: int
    feature_services: int


def read_registry(manifest: Manifest, *, project: str, catalog: Path) -> Registry:
    """Read all feature views and feature services.

    Args:
        manifest: The manifest.
        project: The name of the project.
        catalog: The path of `catalog.json`, which may be missing.

    Raises:
        DefinitionError: The first mistake, with its file, node and YAML key, and the rest as its `others`.
        ProjectError: The catalog cannot be read.
    """
    reading = read_definitions(manifest, project=project, catalog=catalog)
    Findings(reading.findings).raise_errors()
    return reading.registry


def read_definitions(manifest: Manifest, *, project: str, catalog: Path) -> Reading:
    """Read all valid feature views and feature services, and find all mistakes in the others.

    Args:
        manifest: The manifest.
        project: The name of the project.
        catalog: The path of `catalog.json`, which may be missing.

    Raises:
        ProjectError: The catalog cannot be read.
    """
    reader = _Reader(manifest)
    views = reader.views(catalog)
    services = reader.services(views)
    return Reading(
        registry=Registry(
            project=project,
            feature_views=dict(sorted(views.items())),
            feature_services=dict(sorted(services.items())),
        ),
        wrong_views=tuple(reader.wrong_views),
        findings=tuple(reader.findings),
        feature_views=reader.seen["feature views"],
        feature_services=reader.seen["feature services"],
    )


class _Reader:
    """Reads the nodes of a manifest, and collects mistakes and warnings."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self.findings = Findings()
        self.wrong_views: list[FeatureView] = []
        self._wrong_references: list[str] = []
        self.seen = Counter[str]()

    def views(self, catalog: Path) -> dict[str, FeatureView]:
        """Read the feature views, by reference."""
        views: dict[str, FeatureView] = {}
        types: dict[str, dict[str, str]] | None = None
        adapter = self._manifest.metadata.adapter_type
        for node in filter(is_feature_view, self._manifest.nodes_that_mention("feature_view")):
            self.seen["feature views"] += 1
            if types is None and not node.has_contract:
                types = read_catalog(catalog, self._manifest)
            known = (types or {}).get(node.unique_id or "", {})
            findings = Findings()
            view = read_feature_view(node, known, findings, adapter=adapter)
            self.findings.note(*findings)
            if view is None or findings.errors:
                self._wrong_references.append(node.reference)
                self.wrong_views += [] if view is None else [view]
            elif other := views.get(view.reference):
                message = f"{other.relation.location.node} is also a feature view called {view.reference}"
                self.findings.note(node.location.mistake(message))
            else:
                views[view.reference] = view
        return views

    def services(self, views: dict[str, FeatureView]) -> dict[str, FeatureService]:
        """Read the feature services, by name."""
        services: dict[str, FeatureService] = {}
        for node in self._manifest.exposures():
            if isinstance(node.meta.get("feature_service"), dict):
                self.seen["feature services"] += 1
                service = read_feature_service(node, views, self.findings, wrong_views=self._wrong_references)
                if service is not None:
                    services[service.name] = service
        return services
