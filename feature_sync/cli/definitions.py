"""Prints feature views, entities and feature services, as tables or JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.text import Text

from feature_sync.cli.documents import of_description, of_registry
from feature_sync.cli.tables import cell_text, console, print_json, print_table
from feature_sync.definitions import FeatureView, Registry, format_duration
from feature_sync.printable import printable

if TYPE_CHECKING:
    from feature_sync.dbt.description import Description


def print_registry(registry: Registry, *, as_json: bool) -> None:
    """Print all feature views, entities and feature services."""
    views, services = registry.feature_views.values(), registry.feature_services.values()
    if as_json:
        print_json(of_registry(registry))
        return
    rows = [
        (
            _name(each),
            _entities(each),
            each.history,
            _ttl(each),
            "yes" if each.online else "no",
            _names(each.features),
        )
        for each in views
    ]
    print_table(("feature view", "entities", "history", "ttl", "online", "features"), rows)
    entities = [(name, ", ".join(each.reference for each in used_by)) for name, used_by in registry.entities.items()]
    print_table(("entity", "described by"), entities)
    print_table(
        ("feature service", "join keys", "features"),
        [(each.name, ", ".join(each.join_keys), ", ".join(each.feature_names)) for each in services],
    )


def print_description(description: Description, *, as_json: bool) -> None:
    """Print one feature view or feature service, with its columns, tests and lineage."""
    if as_json:
        print_json(of_description(description))
        return
    page = console()
    page.print(Text(printable(f"{description.kind.replace('_', ' ')} {description.name}"), style="bold"))
    if description.description:
        page.print(cell_text(tuple(description.description.strip().splitlines())))
    print_table(("", ""), list(description.settings.items()), headed=False)
    role = "role" if description.kind == "feature_view" else "from"
    rows = [
        (
            each.name,
            each.role,
            each.data_type or "",
            "" if each.default is None else str(each.default),
            tuple(each.description.splitlines()),
        )
        for each in description.columns
    ]
    print_table(("column", role, "type", "default", "description"), rows)
    lists = {"tests": description.tests, "used by": description.used_by, "upstream": description.upstream}
    print_table(("", ""), [(name, tuple(each)) for name, each in lists.items() if each], headed=False)


def _entities(view: FeatureView) -> str:
    return ", ".join(f"{entity.name} ({', '.join(entity.join_keys)})" for entity in view.entities)


def _name(view: FeatureView) -> str:
    date = view.deprecation_date
    return view.reference if date is None else f"{view.reference} (deprecated from {date.date().isoformat()})"


def _ttl(view: FeatureView) -> str:
    return "" if view.ttl is None else format_duration(view.ttl)


def _names(features: Iterable[Any]) -> str:
    return ", ".join(feature.name for feature in features)
