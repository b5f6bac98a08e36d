"""Describes one feature view or feature service: settings, columns, tests, consumers and lineage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.node import parts_of
from feature_sync.definitions import FeatureService, FeatureView, History, Registry, deprecation, format_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDescription:
    """One column.

    `role` is key, time or feature for a view, and the view for a service; `data_type` is the warehouse's, None if it is
    unknown.
    """

    name: str
    role: str
    data_type: str | None
    description: str
    default: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The description of one feature view or feature service.

    `kind` is `feature_view` or `feature_service`, `settings` maps names to text. `tests` and `used_by` hold the names
    of tests and of feature services, `upstream` the unique ids of ancestors.
    """

    name: str
    kind: str
    definition: FeatureView | FeatureService
    description: str
    settings: dict[str, str]
    columns: tuple[ColumnDescription, ...]
    tests: tuple[str, ...] = ()
    used_by: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()


def describe_view(view: FeatureView, manifest: Manifest, registry: Registry) -> Description:
    """Describe a feature view.

    Args:
        view: The feature view.
        manifest: Its node, tests and consumers.
        registry: The services that use it.
    """
    unique_id = view.relation.unique_id
    settings = {
        "entities": ", ".join(f"{entity.name} ({', '.join(entity.join_keys)})" for entity in view.entities),
        "history": str(view.history),
        "event timestamp": view.event_timestamp,
        "valid to": view.valid_to,
        "known at": view.known_at,
        "created timestamp": view.created_timestamp,
        "lag": format_duration(view.lag) if view.lag else None,
        "ttl": format_duration(view.ttl) if view.ttl else _no_ttl(view),
        "time zone": view.timezone if view.event_timestamp else None,
        "online": "yes" if view.online else "no",
        "stream": f"{view.stream.topic}, messages in {view.stream.format}" if view.stream else None,
        "deprecation": deprecation(view, registry.feature_views.values(), today=datetime.now(UTC)),
        "relation": view.relation.name,
        "file": view.relation.location.file,
    }
    children = manifest.children.get(unique_id, [])
    return Description(
        name=view.reference,
        kind="feature_view",
        definition=view,
        description=view.relation.description,
        settings={name: text for name, text in settings.items() if text is not None},
        columns=_columns(view),
        tests=tuple(sorted(_test_name(each) for each in children if each.startswith(("test.", "unit_test.")))),
        used_by=tuple(service.name for service in registry.consumers(view)),
        upstream=_upstream(unique_id, manifest),
    )


def describe_service(service: FeatureService, manifest: Manifest) -> Description:
    """Describe a feature service: its features under their output names."""
    columns: list[ColumnDescription] = []
    for each in service.selections:
        described = {column.name: column for column in _columns(each.view)}
        for feature in each.features:
            column = described[feature]
            columns.append(
                ColumnDescription(
                    name=service.output_name(each, feature),
                    role=each.view.reference
                    if each.alias == each.view.name
                    else f"{each.view.reference} as {each.alias}",
                    data_type=column.data_type,
                    description=column.description,
                    default=column.default,
                )
            )
    location = service.location
    settings = {"join keys": ", ".join(service.join_keys), "owner": service.owner or "none"}
    settings["file"] = location.file if location else ""
    return Description(
        name=service.name,
        kind="feature_service",
        definition=service,
        description=service.description,
        settings=settings,
        columns=tuple(columns),
        upstream=_upstream(location.node, manifest) if location else (),
    )


def _no_ttl(view: FeatureView) -> str | None:
    return "none: a row of any age answers" if view.history in (History.EVENTS, History.SNAPSHOT) else None


def _columns(view: FeatureView) -> tuple[ColumnDescription, ...]:
    defaults = {feature.name: feature.default for feature in view.features}
    roles = {
        **dict.fromkeys(view.join_keys, "key"),
        **dict.fromkeys(view.times, "time"),
        **dict.fromkeys(defaults, "feature"),
    }
    columns: list[ColumnDescription] = []
    for name, role in roles.items():
        column = view.relation.columns.get(name)
        columns.append(
            ColumnDescription(
                name=name,
                role=role,
                data_type=column.data_type if column else None,
                description=column.description if column else "",
                default=defaults.get(name),
            )
        )
    return tuple(columns)


def _test_name(unique_id: str) -> str:
    kind, _, name = parts_of(unique_id)
    return name.partition(".")[0] if kind == "test" else f"{name.rpartition('.')[2]} (unit test)"


def _upstream(unique_id: str, manifest: Manifest) -> tuple[str, ...]:
    """Return the unique ids of all ancestors, the nearest first."""
    found: dict[str, None] = {}
    waiting = list(manifest.parents.get(unique_id, []))
    while waiting:
        each = waiting.pop(0)
        if each not in found:
            found[each] = None
            waiting += manifest.parents.get(each, [])
    return tuple(found)
