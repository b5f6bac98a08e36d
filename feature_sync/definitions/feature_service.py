"""Feature services: the named sets of features that models consume."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from feature_sync.definitions.feature_view import FeatureView
from feature_sync.errors import Location, RequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The features that a service takes from one view, and the spine's columns that identify the entity.

    `spine_keys` stands in the order of `view.join_keys`.
    """

    view: FeatureView
    alias: str
    features: tuple[str, ...]
    spine_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureService:
    """The named set of features that one ML model consumes: a dbt exposure of `type: ml`."""

    name: str
    selections: tuple[Selection, ...]
    full_names: bool = False
    description: str = ""
    owner: str = ""
    location: Location | None = None

    def output_name(self, selection: Selection, feature: str) -> str:
        """Name a feature as training sets and feature vectors show it."""
        return f"{selection.alias}__{feature}" if self.full_names else feature

    @property
    def feature_names(self) -> tuple[str, ...]:
        """All output names, in declared order."""
        return tuple(self.output_name(each, feature) for each in self.selections for feature in each.features)

    @property
    def join_keys(self) -> tuple[str, ...]:
        """The keys that a request for one feature vector must name."""
        return tuple(dict.fromkeys(key for each in self.selections for key in each.spine_keys))

    def with_views(self, change: Callable[[FeatureView], FeatureView]) -> FeatureService:
        """Know more of each view; a view that stands here in several roles is changed once."""
        views = {each.view.reference: each.view for each in self.selections}
        changed = {reference: change(view) for reference, view in views.items()}
        selections = tuple(replace(each, view=changed[each.view.reference]) for each in self.selections)
        return replace(self, selections=selections)

    def checked(self) -> FeatureService:
        """Check that no two features carry the same name.

        Raises:
            DefinitionError: Two do, in a service that the project defines.
            RequestError: Two do, in a selection that was typed.
        """
        owners: dict[str, str] = {}
        for each in self.selections:
            for feature in each.features:
                name = self.output_name(each, feature)
                if (other := owners.setdefault(name.casefold(), each.alias)) != each.alias:
                    message = (
                        f"{other} and {each.alias} both have a feature {name!r}; "
                        "set full_names: true in the feature service, or leave one out"
                    )
                    raise self.location.error(message) if self.location else RequestError(message)
        return self


def selection_of(view: FeatureView, features: Iterable[str] | None = None) -> Selection:
    """Select features of a view (all, unless named) under its own name and join keys."""
    names = tuple(features) if features is not None else tuple(each.name for each in view.features)
    for name in names:
        view.feature(name)
    return Selection(view=view, alias=view.name, features=names, spine_keys=view.join_keys)


def service_of(selections: Iterable[Selection], *, name: str) -> FeatureService:
    """Make a service that the project does not define, to explore with."""
    return FeatureService(name=name, selections=tuple(selections)).checked()
