"""The request to compare a project with another state of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from feature_sync.clock import read_as_of
from feature_sync.dbt.manifest import read_manifest
from feature_sync.dbt.registry import read_registry
from feature_sync.dbt.selection import selection_text
from feature_sync.errors import DefinitionError, ProjectError, RequestError
from feature_sync.plan import Plan, make_plan
from feature_sync.plan.estimates import with_estimates
from feature_sync.plan.planner import Definitions
from feature_sync.store.connections import Connections
from feature_sync.store.project import FeatureProject, listed

_MANIFEST = "manifest.json"


class PlanRequest(TypedDict, total=False):
    """How to plan.

    `select` and `exclude` are dbt selections, such as `tag:churn`, of the views to plan; a view that is gone has none.
    Without `use_warehouse`, nothing is estimated.
    """

    select: Iterable[str]
    exclude: Iterable[str]
    use_warehouse: bool


def plan_changes(
    project: FeatureProject, connections: Connections, state: str | os.PathLike[str], request: PlanRequest
) -> Plan:
    """Compare a project with another state of it.

    Args:
        project: The project.
        connections: Opens the warehouse for estimates.
        state: The folder of the other state's manifest.json.
        request: Selections and options.

    Raises:
        DefinitionError: A definition of the project is wrong.
        ProjectError: A manifest is missing, cannot be read, or is of another warehouse, or a definition in it is wrong.
        RequestError: dbt refuses the selection, or it selects no feature view.
    """
    new, old = Definitions(project.manifest, project.registry), _other(Path(state))
    adapters = old.manifest.metadata.adapter_type, new.manifest.metadata.adapter_type
    if None not in adapters and adapters[0] != adapters[1]:
        raise ProjectError(
            f"{old.manifest.path} was written for {adapters[0]}, but the project's manifest for {adapters[1]}: "
            "their SQL cannot be compared; compile both with targets of one warehouse"
        )
    selected = _selected(project, listed(request.get("select", ())), listed(request.get("exclude", ())))
    plan = make_plan(old, new, dialect=project.dialect, selected=selected)
    if not request.get("use_warehouse", True):
        return plan
    views = with_estimates(
        plan.feature_views,
        project.registry.feature_views,
        open_warehouse=connections.open_warehouse,
        key_prefix=project.key_prefix,
        clock=project.clock(read_as_of(None)),
    )
    return replace(plan, feature_views=views)


def _other(state: Path) -> Definitions:
    path = state if state.name == _MANIFEST else state / _MANIFEST
    if not path.exists():
        raise ProjectError(
            f"{path} is missing; --state names a folder with the {_MANIFEST} of another state, such as production's "
            "target folder, or that of the main branch after dbt compile"
        )
    manifest = read_manifest(path)
    try:
        registry = read_registry(
            manifest, project=manifest.metadata.project_name or "", catalog=path.with_name("catalog.json")
        )
    except DefinitionError as wrong:
        raise ProjectError(f"{path} has a definition that cannot be read: {wrong}") from wrong
    return Definitions(manifest, registry)


def _selected(project: FeatureProject, select: list[str], exclude: list[str]) -> set[str] | None:
    if not select and not exclude:
        return None
    known = {view.relation.unique_id for view in project.registry.feature_views.values()}
    found = project.selected_ids(select, exclude) & known
    if not found:
        raise RequestError(f"{selection_text(select, exclude)} selects no feature view")
    return found
