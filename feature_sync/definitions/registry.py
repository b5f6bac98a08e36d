"""The registry: all definitions of one dbt project, by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from html import escape

from feature_sync.definitions.feature_service import FeatureService, Selection, selection_of, service_of
from feature_sync.definitions.feature_view import FeatureView
from feature_sync.errors import RequestError, UnknownName
from feature_sync.findings import Finding
from feature_sync.reports import html_table

_FEATURE = re.compile(r"(?P<view>[^\[\]:]+)(\[(?P<keys>[^\[\]]*)\])?:(?P<feature>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """All definitions of one dbt project: feature views by reference, feature services by name."""

    project: str
    feature_views: Mapping[str, FeatureView]
    feature_services: Mapping[str, FeatureService]

    def __repr__(self) -> str:
        views, services = len(self.feature_views), len(self.feature_services)
        return f"Registry({self.project!r}, {views} feature views, {services} feature services)"

    def _repr_html_(self) -> str:
        services = [
            (name, tuple(each.view.reference for each in service.selections), len(service.feature_names))
            for name, service in self.feature_services.items()
        ]
        views = [
            (name, tuple(each.name for each in view.entities), tuple(each.name for each in view.features))
            for name, view in self.feature_views.items()
        ]
        return (
            f"<p>{escape(repr(self))}</p>{html_table(('feature service', 'feature views', 'features'), services)}"
            f"{html_table(('feature view', 'entities', 'features'), views)}"
        )

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The warnings of all feature services."""
        return tuple(warning for service in self.feature_services.values() for warning in service.warnings)

    @property
    def entities(self) -> dict[str, list[FeatureView]]:
        """The entities by name, each with the views that describe it."""
        views: dict[str, list[FeatureView]] = {}
        for view in self.feature_views.values():
            for entity in view.entities:
                views.setdefault(entity.name, []).append(view)
        return dict(sorted(views.items()))

    def feature_view(self, name: str) -> FeatureView:
        """Return a feature view by its reference; a name without a version means the latest.

        Raises:
            UnknownName: The project defines no such view.
        """
        if view := self.feature_views.get(name):
            return view
        for view in self.feature_views.values():
            if view.name == name and view.latest_version:
                return view
        raise UnknownName("feature view", name, self.feature_views)

    def consumers(self, view: FeatureView) -> list[FeatureService]:
        """Return the services that use a view."""
        return [
            service
            for service in self.feature_services.values()
            if any(each.view.reference == view.reference for each in service.selections)
        ]

    def service_or_view(self, name: str) -> FeatureService:
        """Return a feature service by name, or an ad-hoc service of all features of a view.

        Raises:
            UnknownName: The project defines neither.
        """
        if service := self.feature_services.get(name):
            return service
        names = {view.name for view in self.feature_views.values()} | set(self.feature_views)
        if name not in names:
            raise UnknownName("feature service or feature view", name, {*self.feature_services, *names})
        return service_of([selection_of(self.feature_view(name))], name=name)


def split_features(text: str) -> list[str]:
    """Split a list of features at its commas, except those in brackets, which separate one view's keys."""
    return [each.strip() for each in re.split(r",(?![^\[\]]*\])", text) if each.strip()]


def parse_features(names: Iterable[str], registry: Registry) -> list[Selection]:
    """Parse `view:feature` names into one selection for each view and its spine keys, in order of appearance.

    `view[entity=column]:feature` sets the spine's column that identifies the entity, as `keys` does in a feature
    service; for an entity of several join keys, name each: `view[join_key=column,other_key=column]`.

    Raises:
        RequestError: A name has another form.
        UnknownName: The project defines no such view, feature, entity or join key.
    """
    chosen: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name in names:
        written = _FEATURE.fullmatch(name.strip())
        if written is None:
            raise RequestError(
                f"{name!r} is not a feature; write view:feature, or view[entity=column]:feature if the spine has "
                "another name for its join key"
            )
        view = registry.feature_view(written["view"])
        keys = _spine_keys(view, written["keys"])
        chosen.setdefault((view.reference, keys), []).append(written["feature"])
    return [
        replace(selection_of(registry.feature_view(view), features), spine_keys=keys)
        for (view, keys), features in chosen.items()
    ]


def _spine_keys(view: FeatureView, written: str | None) -> tuple[str, ...]:
    """Parse `entity=column,...` into the spine's columns for the view's join keys, in their order."""
    columns = {each.name: each.join_keys[0] for each in view.entities if len(each.join_keys) == 1}
    columns |= {key: key for key in view.join_keys}
    renamed: dict[str, str] = {}
    for pair in written.split(",") if written is not None else []:
        name, equals, column = (part.strip() for part in pair.partition("="))
        if not (name and equals and column):
            raise RequestError(f"{pair.strip()!r} is not a key of {view.reference}; write entity=column")
        if name not in columns:
            raise UnknownName(f"entity or join key of {view.reference}", name, columns)
        if columns[name] in renamed:
            raise RequestError(f"the key {name} of {view.reference} is given twice")
        renamed[columns[name]] = column
    return tuple(renamed.get(key, key) for key in view.join_keys)
