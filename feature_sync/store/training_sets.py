"""The requests for training sets by a project's names."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial

from feature_sync.clock import read_as_of
from feature_sync.dbt.logic import logic_of
from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.run_results import UniquenessTests
from feature_sync.definitions import FeatureService, Relation, Spine
from feature_sync.store.connections import Connections
from feature_sync.store.lineage import extract_with_lineage
from feature_sync.store.project import FeatureProject
from feature_sync.training import Rows, SpineKeywords, SpineOptions, SpineSource, TrainingSet, read_spine
from feature_sync.training.latest import at_present, latest_spine


def ask_training_set(
    project: FeatureProject,
    connections: Connections,
    service: FeatureService,
    spine: tuple[SpineSource | None, str | None],
    *,
    strategy: str | None,
    options: SpineKeywords,
) -> TrainingSet:
    """Return the training set that answers a spine, or a query that selects one, with a feature service.

    Args:
        project: The project of the service.
        connections: Opens the warehouse when the training set is run.
        service: The features.
        spine: A spine, or a query in the warehouse's own SQL; the other is None.
        strategy: How to join; None for the best of each view.
        options: The fields of `SpineOptions`.

    Raises:
        FeatureSyncError: A name is unknown, or an option makes no sense.
        TypeError: The options have a key that `SpineOptions` lacks.
    """
    chosen = SpineOptions(**options)
    asked, rows = read_spine(*spine, chosen, manifest=project.manifest)
    training_set = _training_set(project, connections, service, asked, rows)
    return replace(training_set, strategy=strategy, is_ordered=chosen.ordered)


def ask_latest(
    project: FeatureProject,
    connections: Connections,
    service: FeatureService,
    entities: SpineSource | None,
    *,
    of: str | None,
    as_of: str | datetime | None,
) -> TrainingSet:
    """Return the training set that answers entities, all at one moment.

    Args:
        project: The project of the service.
        connections: Opens the warehouse when the training set is run.
        service: The features.
        entities: The entities; None for all that views have.
        of: The view whose entities are asked.
        as_of: The moment; None for the present one, or the project's `feature_sync_as_of`.

    Raises:
        FeatureSyncError: A name is unknown, or no view has every key.
    """
    if as_of is None:
        service = service.with_views(at_present)
    asked, rows = latest_spine(
        service,
        entities,
        of=of,
        moment=project.clock(read_as_of(as_of)).now,
        manifest=project.manifest,
        dialect=project.dialect,
    )
    return _training_set(project, connections, service, asked, rows)


def _training_set(
    project: FeatureProject,
    connections: Connections,
    service: FeatureService,
    asked: Spine,
    rows: Rows | None,
) -> TrainingSet:
    return TrainingSet(
        service=service,
        spine=asked,
        rows=rows,
        dialect=project.dialect,
        open_warehouse=connections.open_warehouse,
        is_proven_unique=UniquenessTests(project.dbt.run_results, project.manifest).prove,
        reference_to=partial(_reference_to, project.manifest),
        invocation_id=project.manifest.metadata.invocation_id,
        logic_of=partial(_logic_of, project.manifest),
        observed=partial(extract_with_lineage, project),
    )


def _logic_of(manifest: Manifest, service: FeatureService) -> str:
    return logic_of(service, manifest)


def _reference_to(manifest: Manifest, relation: Relation) -> str:
    return manifest.reference(relation.unique_id)
