"""The pins of a project's services: for models that are trained now, and compared with those of earlier ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from feature_sync.dbt.description import Description
from feature_sync.dbt.logic import logic_of
from feature_sync.definitions import FeatureService
from feature_sync.errors import Location, RequestError
from feature_sync.findings import Finding
from feature_sync.query_runner import QueryRunner
from feature_sync.service_schema import Pin, ServiceSchema, read_pin
from feature_sync.service_schema.pin import PinSource, pin_of
from feature_sync.sql.service_schema import service_schema
from feature_sync.sql.view_query import ViewQuery
from feature_sync.store.connections import Connections
from feature_sync.store.project import FeatureProject

_UNDECLARED = "unknown: its types are not declared; feature-sync describe {name} --pin asks the warehouse"


def pin_service(project: FeatureProject, connections: Connections, name: str) -> Pin:
    """Return the pin of a service; the warehouse is asked for types that the project does not declare.

    Args:
        project: The project.
        connections: Opens the warehouse.
        name: Name of a feature service or view.

    Raises:
        FeatureSyncError: The name is unknown, a definition is wrong, or the warehouse failed.
    """
    service = project.service(name)
    schema = _declared_schema(project, service)
    if schema is None:
        with connections.open_warehouse() as warehouse:
            runner = QueryRunner(warehouse)
            schema = service_schema(
                service, {each.view.reference: runner.query_of(each.view) for each in service.selections}
            )
    return pin_of(service.name, schema, logic_of(service, project.manifest))


def described(project: FeatureProject, name: str) -> Description:
    """Describe a feature view or a feature service, a service with its two ids; connects to nothing.

    Args:
        project: The project.
        name: Name of a feature service or view.

    Raises:
        FeatureSyncError: The name is unknown, or a definition is wrong.
    """
    description, service = project.describe(name), project.registry.feature_services.get(name)
    if service is None:
        return description
    schema = _declared_schema(project, service)
    ids = {
        "shape": _UNDECLARED.format(name=name) if schema is None else schema.shape,
        "logic": logic_of(service, project.manifest),
    }
    return replace(description, settings={**description.settings, **ids})


def pin_findings(project: FeatureProject, connections: Connections, pins: Collection[PinSource]) -> Iterator[Finding]:
    """Compare pins with the project's services: another shape is an error, another logic a warning.

    Args:
        project: The project.
        connections: Opens the warehouse.
        pins: The pins of models.

    Raises:
        FeatureSyncError: A pin cannot be read, a definition is wrong, or the warehouse failed.
    """
    for pin in map(read_pin, pins):
        service = project.registry.feature_services.get(pin.service)
        if service is None:
            raise RequestError(f"the pin is of the feature service {pin.service!r}, which the project does not define")
        now, at = pin_service(project, connections, pin.service), service.location or Location("", pin.service)
        if differences := pin.differences(now):
            yield at.mistake(f"it no longer has the shape that a model was trained on: {'; '.join(differences)}")
        elif pin.logic != now.logic:
            yield at.warning(
                f"it is computed by other SQL than a model was trained on (logic {pin.logic}, now {now.logic})"
            )


def _declared_schema(project: FeatureProject, service: FeatureService) -> ServiceSchema | None:
    """Return the schema of a service by the types that the project declares; None if it does not declare all."""
    if not all(each.view.relation.columns_are_complete for each in service.selections):
        return None
    views = {each.view.reference: each.view for each in service.selections}
    queries = {reference: ViewQuery(view, dialect=project.dialect) for reference, view in views.items()}
    return service_schema(service, queries)
