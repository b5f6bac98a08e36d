"""What the project defines: entities, feature views, feature services and the registry that holds them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from feature_sync.errors import Location, RequestError, UnknownName

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d+)\s*([smhdw])")


def parse_duration(text: str) -> timedelta:
    """Read a duration such as `90m`: a whole number and one of the units s, m, h, d, w.

    Raises:
        ValueError: The text is anything else.

    >>> parse_duration("90m")
    datetime.timedelta(seconds=5400)
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write a whole number and a unit (s, m, h, d or w), such as 30d")
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError as overflow:
        raise ValueError(f"{text!r} is longer than any history") from overflow


def format_duration(duration: timedelta) -> str:
    """Write a duration in the largest unit that divides it.

    >>> format_duration(timedelta(hours=48))
    '2d'
    """
    seconds = duration // timedelta(seconds=1)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """What a feature describes, and the columns that identify one, in the order in which the project lists them."""

    name: str
    join_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as the project declares it.

    `data_type` is in the warehouse's own words, None until it is known. `stored_as` is the exact spelling in the
    warehouse; None means that the warehouse folds `name` as it folds every unquoted name.
    """

    name: str
    data_type: str | None = None
    stored_as: str | None = None
    description: str = ""
    is_label: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A column that models may consume; its default answers where no row does."""

    name: str
    default: Any = None


class History(StrEnum):
    """How a feature view keeps the past."""

    EVENTS = "events"
    """A row for each moment at which something became known."""
    SNAPSHOT = "snapshot"
    """A dbt snapshot: each row is valid from one moment until another."""
    TIMELESS = "timeless"
    """Facts that never change: one row for each entity, which answers any moment."""
    LATEST_ONLY = "latest only"
    """One row for each entity, overwritten: fit for serving, not for training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table or view that dbt builds: `name` is quoted as the warehouse wants it, as dbt wrote it."""

    name: str
    unique_id: str
    location: Location
    columns: Mapping[str, Column]
    description: str = ""
    columns_are_complete: bool = False
    event_time: str | None = None

    def with_types(self, types: Mapping[str, str]) -> Relation:
        """Fill in the columns and types that the warehouse reports for this relation.

        A declared name finds the warehouse's by exact spelling first, then whatever its case, since
        warehouses fold unquoted names in different ways.
        """
        found: dict[str, Column] = {}
        declared_by_fold = {name.casefold(): column for name, column in self.columns.items()}
        for name, data_type in types.items():
            declared = self.columns.get(name) or declared_by_fold.get(name.casefold())
            column = declared or Column(name=name)
            found[column.name] = replace(column, data_type=data_type, stored_as=name)
        return replace(self, columns=found, columns_are_complete=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureView:
    """One dbt model whose rows say what was known about an entity, and when.

    Names of columns are those of `relation.columns`. `ttl` and `lag` are as in the project's YAML; a `ttl`
    of None lets a row of any age answer. `is_unique`: the warehouse enforces that no two rows share join keys and event
    timestamp. `is_indexed`: an index leads from join keys to event timestamps.
    """

    name: str
    version: str | None = None
    relation: Relation
    entities: tuple[Entity, ...]
    features: tuple[Feature, ...]
    history: History = History.EVENTS
    event_timestamp: str | None = None
    created_timestamp: str | None = None
    known_at: str | None = None
    valid_to: str | None = None
    valid_to_current: str | None = None
    is_deleted: str | None = None
    lag: timedelta | None = None
    ttl: timedelta | None = None
    timezone: str = "UTC"
    online: bool = True
    latest_version: bool = True
    is_unique: bool = False
    is_indexed: bool = False

    @property
    def reference(self) -> str:
        """The name with its version, as services and Redis keys write it."""
        return self.name if self.version is None else f"{self.name}.v{self.version}"

    @property
    def join_keys(self) -> tuple[str, ...]:
        """All join columns: entities by name, the columns of each as listed."""
        return tuple(key for entity in sorted(self.entities, key=lambda each: each.name) for key in entity.join_keys)

    @property
    def times(self) -> tuple[str, ...]:
        """The columns that carry a time or a mark of this view's history."""
        columns = (self.event_timestamp, self.created_timestamp, self.known_at, self.valid_to, self.is_deleted)
        return tuple(dict.fromkeys(column for column in columns if column is not None))

    def feature(self, name: str) -> Feature:
        """Find a feature by its name.

        Raises:
            UnknownName: The view has no such feature.
        """
        for feature in self.features:
            if feature.name == name:
                return feature
        raise UnknownName(f"feature of {self.reference}", name, (each.name for each in self.features))

    def with_types(self, types: Mapping[str, str]) -> FeatureView:
        """Fill in the types that the warehouse reports, and check the definition against them.

        Raises:
            DefinitionError: The table lacks a column that the definition uses.
        """
        return replace(self, relation=self.relation.with_types(types)).checked()

    def checked(self) -> FeatureView:
        """Check everything that needs the columns and their types; what is not known yet is not held against it.

        Raises:
            DefinitionError: A column is missing, or a day's rows do not say when they are complete.
        """
        settings = self.relation.location.at("config.meta.feature_view")
        if self.relation.columns_are_complete:
            used = {"entities": self.join_keys, "features": tuple(each.name for each in self.features)}
            used["event time, valid_from and the other times"] = self.times
            for key, names in used.items():
                for name in names:
                    if name not in self.relation.columns:
                        known = ", ".join(self.relation.columns)
                        raise settings.error(f"{key}: {self.relation.name} has no column {name!r}; it has {known}")
        if self.event_timestamp is not None and self.lag is None:
            column = self.relation.columns.get(self.event_timestamp)
            if column is not None and (column.data_type or "").strip().lower() == "date":
                raise settings.error(
                    f"lag is missing: {self.event_timestamp!r} is a date, which means its midnight; a row that sums "
                    "the day is complete a day later (lag: 1d), one that describes its start says lag: 0d"
                )
        return self


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """All that one dbt project defines, by name."""

    project: str
    feature_views: Mapping[str, FeatureView]
    feature_services: Mapping[str, FeatureService]
    warnings: tuple[str, ...] = field(default=())

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


def selection_of(view: FeatureView, features: Iterable[str] | None = None) -> Selection:
    """Select features of a view (all, unless named) under its own name and join keys."""
    names = tuple(features) if features is not None else tuple(each.name for each in view.features)
    for name in names:
        view.feature(name)
    return Selection(view=view, alias=view.name, features=names, spine_keys=view.join_keys)


def service_of(selections: Iterable[Selection], *, name: str) -> FeatureService:
    """Make a service that the project does not define, to explore with."""
    return FeatureService(name=name, selections=tuple(selections)).checked()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How to reach a warehouse: the adapter's name and its fields in `profiles.yml`, rendered."""

    profile: str
    name: str
    adapter: str
    settings: Mapping[str, Any]
    project_dir: str


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
