"""Renders the page: entities, then feature services, then each feature view with its features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.node import Node
from feature_sync.definitions import FeatureService, FeatureView, Registry
from feature_sync.docs.markdown import code, codes, plain, quoted, table
from feature_sync.docs.notes import Notes, Owner, read_notes, read_owner
from feature_sync.docs.wording import (
    age_limit,
    default_value,
    first_sentence,
    freshness_line,
    linked_tests,
    natural_order,
    owner_link,
    service_link,
    time_fields,
    view_link,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The content of the page, rendered as Markdown by `str`.

    Args:
        registry: The definitions.
        manifest: The project's manifest.
        notes: The notes of each view, by its reference.
        own_words: Removes from a description the parts that are not one: an older version of this page.
    """

    registry: Registry
    manifest: Manifest
    notes: Mapping[str, Notes]
    own_words: Callable[[str], str]

    def __str__(self) -> str:
        registry = self.registry
        views = sorted(registry.feature_views.values(), key=natural_order)
        parts = [f"# Features of {plain(registry.project)}", _introduction(registry)]
        if views:
            parts += ["## Entities", *(self._entity(name, views) for name in registry.entities)]
            parts += ["## Feature services", *self._services()]
            parts += ["## Feature views", *(self._view(view) for view in views)]
        return "\n\n".join(parts)

    def _entity(self, name: str, views: Iterable[FeatureView]) -> str:
        rows = [
            [
                view_link(view) + self._standing(view),
                codes(entity.join_keys),
                age_limit(view) or "any age",
                owner_link(self.notes[view.reference].owner),
                first_sentence(self.own_words(view.relation.description)),
            ]
            for view in views
            for entity in view.entities
            if entity.name == name
        ]
        head = ("feature view", "join keys", "TTL", "owner", "what it tells")
        return f"### {plain(name)}\n\n{table(head, rows)}"

    def _standing(self, view: FeatureView) -> str:
        """Return whether a version is the latest, and when it is deprecated, in parentheses; empty for neither."""
        standing = ["latest"] if view.version is not None and view.latest_version else []
        if date := self.notes[view.reference].deprecated_from:
            standing.append(f"deprecated from {plain(date)}")
        return f" ({', '.join(standing)})" if standing else ""

    def _services(self) -> list[str]:
        services = self.registry.feature_services.values()
        return [self._service(each) for each in services] or ["None yet: a dbt exposure of `type: ml` makes one."]

    def _service(self, service: FeatureService) -> str:
        fields = {
            "Owner": owner_link(self._service_owner(service)),
            "Join keys": codes(service.join_keys),
        }
        rows = [
            [
                view_link(each.view) + (f" as {code(each.alias)}" if each.alias != each.view.name else ""),
                codes(each.spine_keys),
                codes(service.output_name(each, feature) for feature in each.features),
            ]
            for each in service.selections
        ]
        text = self.own_words(service.description)
        parts = [quoted(text), _list(fields), table(("feature view", "found by", "features"), rows)]
        return _section(service_link(service), parts)

    def _service_owner(self, service: FeatureService) -> Owner | None:
        node = self.manifest.node(service.location.node) if service.location else None
        return read_owner((node or Node()).owner)

    def _view(self, view: FeatureView) -> str:
        notes = self.notes[view.reference]
        beside = {each.name for each in view.features}
        fields = {
            "Entity" if len(view.entities) == 1 else "Entities": ", ".join(
                f"{plain(entity.name)} ({codes(entity.join_keys)})" for entity in view.entities
            ),
            **time_fields(view),
            "Online": "" if view.online else "no: never pushed to Redis, for training only",
            "Owner": owner_link(notes.owner),
            "Used by": ", ".join(self._use(service, view) for service in self.registry.consumers(view)),
            "Freshness": "; ".join(map(freshness_line, notes.sources)),
            "Data tests": linked_tests(
                (each for each in notes.tests if not each.is_unit_test and each.column not in beside), columns=True
            ),
            "Unit tests": linked_tests(each for each in notes.tests if each.is_unit_test),
        }
        parts = [quoted(self.own_words(view.relation.description)), _list(fields), self._features(view, notes)]
        return _section(view_link(view) + self._standing(view), parts)

    def _use(self, service: FeatureService, view: FeatureView) -> str:
        used = {name for each in service.selections if each.view.reference == view.reference for name in each.features}
        owner = self._service_owner(service)
        by = f" of {plain(owner.name)}" if owner else ""
        return f"{service_link(service)}{by} ({len(used)} of {len(view.features)} features)"

    def _features(self, view: FeatureView, notes: Notes) -> str:
        rows = []
        for feature in view.features:
            column = view.relation.columns.get(feature.name)
            rows.append(
                [
                    code(feature.name),
                    code(notes.types.get(feature.name, "")),
                    "" if feature.default is None else code(default_value(feature.default)),
                    self.own_words(column.description if column else ""),
                    linked_tests(each for each in notes.tests if each.column == feature.name),
                ]
            )
        return table(("feature", "type", "default", "description", "tests"), rows)


def read_page(registry: Registry, manifest: Manifest, *, own_words: Callable[[str], str]) -> Page:
    """Gather the content of the page; see `Page`.

    Args:
        registry: The definitions of the page.
        manifest: Owners, tests and lineage of their nodes.
        own_words: Removes from a description the parts that are not one: an older version of this page.
    """
    notes = {reference: read_notes(view, manifest) for reference, view in registry.feature_views.items()}
    return Page(registry=registry, manifest=manifest, notes=notes, own_words=own_words)


def _introduction(registry: Registry) -> str:
    views = registry.feature_views.values()
    if not views:
        return "No feature view yet: a dbt model with `config.meta.feature_view` makes one."
    counts = (
        _count(sum(len(view.features) for view in views), "feature"),
        _count(len(views), "feature view"),
        _count(len(registry.entities), "entity", "entities"),
        _count(len(registry.feature_services), "feature service"),
    )
    describe = "describes" if len(views) == 1 else "describe"
    return (
        f"{counts[0]} in {counts[1]}, which {describe} {counts[2]}; {counts[3]}. Each name links to dbt's page of it, "
        "where its columns, SQL and lineage stand.\n\n"
        "A **feature view** is a dbt model whose rows say what was known about an **entity**, and when. The newest row "
        "answers, unless it is older than the **TTL**. A **feature service** is what one model uses."
    )


def _count(number: int, singular: str, plural: str | None = None) -> str:
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def _section(title: str, parts: Iterable[str]) -> str:
    return "\n\n".join([f"### {title}", *(part for part in parts if part)])


def _list(fields: Mapping[str, str]) -> str:
    return "\n".join(f"- **{name}:** {text}" for name, text in fields.items() if text)
