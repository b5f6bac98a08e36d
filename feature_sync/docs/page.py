"""The page itself: entities, then feature services, then each feature view with its features."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from feature_sync.dbt.manifest import Manifest, Node
from feature_sync.definitions import FeatureService, FeatureView, History, Registry, format_duration
from feature_sync.docs.markdown import code, codes, link, one_line, plain, quoted, table
from feature_sync.docs.notes import NamedTest, Notes, Owner, UpstreamSource, read_notes, read_owner

_DIGITS = re.compile(r"(\d+)")
_HISTORIES = {
    History.EVENTS: "a row for each moment at which something became known",
    History.SNAPSHOT: "a dbt snapshot: each row is valid from one moment until another",
    History.TIMELESS: "timeless: one row for each, which answers any moment",
    History.LATEST_ONLY: "latest only: one row for each, overwritten; served, but not for training",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that the page tells. `own_words` takes out of a description what is no description."""

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
                _view_link(view) + self._standing(view),
                codes(entity.join_keys),
                _age_limit(view) or "any age",
                _owner_link(self.notes[view.reference].owner),
                first_sentence(self.own_words(view.relation.description)),
            ]
            for view in views
            for entity in view.entities
            if entity.name == name
        ]
        head = ("feature view", "join keys", "TTL", "owner", "what it tells")
        return f"### {plain(name)}\n\n{table(head, rows)}"

    def _standing(self, view: FeatureView) -> str:
        """Tell a version's place among the others."""
        standing = ["latest"] if view.version is not None and view.latest_version else []
        if date := self.notes[view.reference].deprecated_from:
            standing.append(f"deprecated from {plain(date)}")
        return f" ({', '.join(standing)})" if standing else ""

    def _services(self) -> list[str]:
        services = self.registry.feature_services.values()
        return [self._service(each) for each in services] or ["None yet: a dbt exposure of `type: ml` makes one."]

    def _service(self, service: FeatureService) -> str:
        facts = {
            "Owner": _owner_link(self._service_owner(service)),
            "Join keys": codes(service.join_keys),
        }
        rows = [
            [
                _view_link(each.view) + (f" as {code(each.alias)}" if each.alias != each.view.name else ""),
                codes(each.spine_keys),
                codes(service.output_name(each, feature) for feature in each.features),
            ]
            for each in service.selections
        ]
        text = self.own_words(service.description)
        parts = [quoted(text), _list(facts), table(("feature view", "found by", "features"), rows)]
        return _section(_service_link(service), parts)

    def _service_owner(self, service: FeatureService) -> Owner | None:
        node = self.manifest.node(service.location.node) if service.location else None
        return read_owner((node or Node()).owner)

    def _view(self, view: FeatureView) -> str:
        notes = self.notes[view.reference]
        beside = {each.name for each in view.features}
        facts = {
            "Entity" if len(view.entities) == 1 else "Entities": ", ".join(
                f"{plain(entity.name)} ({codes(entity.join_keys)})" for entity in view.entities
            ),
            **_time_facts(view),
            "Online": "" if view.online else "no: never pushed to Redis, for training only",
            "Owner": _owner_link(notes.owner),
            "Used by": ", ".join(self._use(service, view) for service in self.registry.consumers(view)),
            "Freshness": "; ".join(map(_source_line, notes.sources)),
            "Data tests": _tests(
                (each for each in notes.tests if not each.is_unit_test and each.column not in beside), columns=True
            ),
            "Unit tests": _tests(each for each in notes.tests if each.is_unit_test),
        }
        parts = [quoted(self.own_words(view.relation.description)), _list(facts), self._features(view, notes)]
        return _section(_view_link(view) + self._standing(view), parts)

    def _use(self, service: FeatureService, view: FeatureView) -> str:
        used = {name for each in service.selections if each.view.reference == view.reference for name in each.features}
        owner = self._service_owner(service)
        by = f" of {plain(owner.name)}" if owner else ""
        return f"{_service_link(service)}{by} ({len(used)} of {len(view.features)} features)"

    def _features(self, view: FeatureView, notes: Notes) -> str:
        rows = []
        for feature in view.features:
            column = view.relation.columns.get(feature.name)
            rows.append(
                [
                    code(feature.name),
                    code(notes.types.get(feature.name, "")),
                    "" if feature.default is None else code(_default(feature.default)),
                    self.own_words(column.description if column else ""),
                    _tests(each for each in notes.tests if each.column == feature.name),
                ]
            )
        return table(("feature", "type", "default", "description", "tests"), rows)


def read_page(registry: Registry, manifest: Manifest, *, own_words: Callable[[str], str]) -> Page:
    """Gather what the page tells."""
    notes = {reference: read_notes(view, manifest) for reference, view in registry.feature_views.items()}
    return Page(registry=registry, manifest=manifest, notes=notes, own_words=own_words)


def natural_order(view: FeatureView) -> tuple[str, list[tuple[int, str]]]:
    """Sort by name, then version: v2 comes before v10."""
    return view.name, [
        (int(each), "") if each.isdecimal() else (-1, each) for each in _DIGITS.split(view.version or "")
    ]


def first_sentence(text: str) -> str:
    """The first sentence of a description's first paragraph.

    >>> first_sentence("Orders, e.g. of today. Entity: customer.")
    'Orders, e.g. of today.'
    """
    paragraph = one_line(text.strip().partition("\n\n")[0]).lstrip("# ")
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", paragraph, maxsplit=1)[0]


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
    return (
        f"{counts[0]} in {counts[1]}, which {'describes' if len(views) == 1 else 'describe'} {counts[2]}; {counts[3]}. "
        "Each name links to dbt's page of it, "
        "where its columns, SQL and lineage stand.\n\n"
        "A **feature view** is a dbt model whose rows say what was known about an **entity**, and when. The newest row "
        "answers, unless it is older than the **TTL**. A **feature service** is what one model uses."
    )


def _count(number: int, singular: str, plural: str | None = None) -> str:
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def _section(title: str, parts: Iterable[str]) -> str:
    return "\n\n".join([f"### {title}", *(part for part in parts if part)])


def _list(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- **{name}:** {fact}" for name, fact in facts.items() if fact)


def _time_facts(view: FeatureView) -> dict[str, str]:
    history = _HISTORIES[view.history]
    columns = {
        "event timestamp": view.event_timestamp,
        "valid to": view.valid_to,
        "known at": view.known_at,
        "created timestamp": view.created_timestamp,
    }
    named = ", ".join(f"{name} {code(column)}" for name, column in columns.items() if column)
    zone = f", times of {plain(view.timezone)}" if view.event_timestamp and view.timezone.upper() != "UTC" else ""
    limit = _age_limit(view)
    return {
        "History": f"{history}{f' ({named}{zone})' if named else ''}",
        "TTL": f"{limit}: an older row does not answer" if limit else "none: a row of any age answers",
        "Lag": f"{format_duration(view.lag)}: a row is available that long after its time" if view.lag else "",
    }


def _age_limit(view: FeatureView) -> str | None:
    return format_duration(view.ttl) if view.ttl else None


def _view_link(view: FeatureView) -> str:
    return link(view.reference, view.relation.unique_id)


def _service_link(service: FeatureService) -> str:
    return link(service.name, service.location.node) if service.location else plain(service.name)


def _owner_link(owner: Owner | None) -> str:
    if owner is None:
        return ""
    return f"[{plain(owner.name)}](mailto:{quote(owner.email, safe='@+')})" if owner.email else plain(owner.name)


def _source_line(source: UpstreamSource) -> str:
    return f"{link(source.name, source.unique_id)} {source.freshness or 'declares no freshness'}"


def _tests(tests: Iterable[NamedTest], *, columns: bool = False) -> str:
    """Link to tests, with their columns where those are not plain to see."""
    return ", ".join(
        link(f"{each.column} {each.label}" if columns and each.column else each.label, each.unique_id) for each in tests
    )


def _default(default: Any) -> str:
    return default if isinstance(default, str) and default.strip() else json.dumps(default, default=str)
