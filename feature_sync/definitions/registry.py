"""The registry: all that one dbt project defines, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from feature_sync.definitions.feature_service import FeatureService, Selection, selection_of, service_of
from feature_sync.definitions.feature_view import FeatureView
from feature_sync.errors import DefinitionWarning, RequestError, UnknownName


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """All that one dbt project defines, by name."""

    project: str
    feature_views: Mapping[str, FeatureView]
    feature_services: Mapping[str, FeatureService]

    @property
    def warnings(self) -> tuple[DefinitionWarning, ...]:
        """What the users of the feature services should know, each service's."""
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
        """Find a feature view by its reference; a name without a version means the latest.

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
        """The services that use a view."""
        return [
            service
            for service in self.feature_services.values()
            if any(each.view.reference == view.reference for each in service.selections)
        ]

    def service_or_view(self, name: str) -> FeatureService:
        """Find a feature service, or read a feature view as the service of all its features.

        Raises:
            UnknownName: The project defines neither.
        """
        if service := self.feature_services.get(name):
            return service
        names = {view.name for view in self.feature_views.values()} | set(self.feature_views)
        if name not in names:
            raise UnknownName("feature service or feature view", name, {*self.feature_services, *names})
        return service_of([selection_of(self.feature_view(name))], name=name)


def parse_features(names: Iterable[str], registry: Registry) -> list[Selection]:
    """Read `view:feature` names into one selection for each view, in the order in which they come.

    Raises:
        RequestError: A name is not written as `view:feature`.
        UnknownName: The project defines no such view or feature.
    """
    chosen: dict[str, list[str]] = {}
    for name in names:
        view, colon, feature = name.strip().partition(":")
        if not colon or not view or not feature:
            raise RequestError(f"{name!r} is no feature; write view:feature")
        chosen.setdefault(registry.feature_view(view).reference, []).append(feature)
    return [selection_of(registry.feature_view(view), features) for view, features in chosen.items()]
