"""Feature services: the named sets of features that models consume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from html import escape

from feature_sync.definitions.feature_view import FeatureView
from feature_sync.errors import FeatureSyncError, Location, RequestError
from feature_sync.findings import Finding
from feature_sync.reports import html_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The features that a service selects from one view, and the spine's columns that identify the entity.

    `spine_keys` has the order of `view.join_keys`.
    """

    view: FeatureView
    alias: str
    features: tuple[str, ...]
    spine_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureService:
    """The named set of features that one ML model consumes: a dbt exposure of `type: ml`.

    `warnings` are what its users should know: a version is not pinned, or is deprecated.
    """

    name: str
    selections: tuple[Selection, ...]
    full_names: bool = False
    description: str = ""
    owner: str = ""
    location: Location | None = None
    warnings: tuple[Finding, ...] = ()

    def __repr__(self) -> str:
        return f"FeatureService({self.name!r}, {len(self.feature_names)} features of {len(self.selections)} views)"

    def _repr_html_(self) -> str:
        rows = [
            (
                each.view.reference,
                tuple(self.output_name(each, name) for name in each.features),
                ", ".join(each.spine_keys),
            )
            for each in self.selections
        ]
        return f"<p>{escape(repr(self))}</p>{html_table(('feature view', 'features', 'keys'), rows)}"

    def output_name(self, selection: Selection, feature: str) -> str:
        """Return the name of a feature in training sets and feature vectors."""
        return f"{selection.alias}__{feature}" if self.full_names else feature

    @property
    def feature_names(self) -> tuple[str, ...]:
        """All output names, in declared order."""
        return tuple(self.output_name(each, feature) for each in self.selections for feature in each.features)

    @property
    def join_keys(self) -> tuple[str, ...]:
        """The spine columns of all join keys: what a request for one feature vector must name."""
        return tuple(dict.fromkeys(key for each in self.selections for key in each.spine_keys))

    def with_views(self, change: Callable[[FeatureView], FeatureView]) -> FeatureService:
        """Return a copy with each view changed; a view with several aliases is changed once."""
        views = {each.view.reference: each.view for each in self.selections}
        changed = {reference: change(view) for reference, view in views.items()}
        selections = tuple(replace(each, view=changed[each.view.reference]) for each in self.selections)
        return replace(self, selections=selections)

    def checked(self) -> FeatureService:
        """Return the service itself if all aliases and all output names are unique; case is ignored for the latter.

        Raises:
            DefinitionError: Two are the same, in a service that the project defines.
            RequestError: Two are the same, in a selection from the command line.
        """
        aliases = [each.alias for each in self.selections]
        for alias in aliases:
            if aliases.count(alias) > 1:
                raise self._error(
                    f"two entries are called {alias!r}; give one of them another alias: another_name: {{view: {alias}, "
                    "features: [...]}"
                )
        owners: dict[str, str] = {}
        for each in self.selections:
            for feature in each.features:
                name = self.output_name(each, feature)
                other = owners.get(name.casefold())
                if other == each.alias:
                    raise self._error(f"{each.alias} lists the feature {name!r} twice")
                if other is not None:
                    raise self._error(
                        f"{other} and {each.alias} both have a feature {name!r}; "
                        "set full_names: true in the feature service, or leave one out"
                    )
                owners[name.casefold()] = each.alias
        return self

    def _error(self, message: str) -> FeatureSyncError:
        return self.location.error(message) if self.location else RequestError(message)


def with_unique_aliases(selections: Iterable[Selection]) -> tuple[Selection, ...]:
    """Append the version to aliases that several versions of a view share, as dbt does to the names of their tables."""
    listed = tuple(selections)
    named = Counter(each.alias for each in listed)
    return tuple(
        replace(each, alias=f"{each.alias}_v{each.view.version}")
        if named[each.alias] > 1 and each.view.version is not None
        else each
        for each in listed
    )


def selection_of(view: FeatureView, features: Iterable[str] | None = None) -> Selection:
    """Select features of a view (all by default) under its own name and join keys.

    Raises:
        RequestError: A name is a label, or a column that the view leaves out.
        UnknownName: The view has no such feature.
    """
    names = tuple(features) if features is not None else tuple(each.name for each in view.features)
    for name in names:
        view.feature(name)
    return Selection(view=view, alias=view.name, features=names, spine_keys=view.join_keys)


def service_of(selections: Iterable[Selection], *, name: str) -> FeatureService:
    """Return an ad-hoc service, which the project does not define.

    Raises:
        RequestError: Two features have the same output name, or two selections the same alias.
    """
    return FeatureService(name=name, selections=with_unique_aliases(selections)).checked()
