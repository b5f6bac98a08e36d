"""Feature views: dbt models whose rows say what was known about an entity, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from feature_sync.definitions.relation import Relation
from feature_sync.definitions.stream import Stream
from feature_sync.errors import Findings, Location, RequestError, UnknownName
from feature_sync.findings import Finding

_TIMES = ("event_timestamp", "created_timestamp", "known_at", "valid_to", "is_deleted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """What a feature describes, and the columns that identify one, in the order in which the project lists them."""

    name: str
    join_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A column that models may consume; its default is the value if no row answers."""

    name: str
    default: Any = None


class History(StrEnum):
    """How a feature view keeps the past."""

    EVENTS = "events"
    """A row for each moment at which something became known."""
    SNAPSHOT = "snapshot"
    """A dbt snapshot: each row is valid from one moment until another."""
    TIMELESS = "timeless"
    """Rows that never change: one for each entity, which answers any moment."""
    LATEST_ONLY = "latest only"
    """One row for each entity, overwritten: fit for serving, not for training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureView:
    """One dbt model whose rows say what was known about an entity, and when.

    Names of columns are those of `relation.columns`. `ttl` and `lag` are as in the project's YAML; a `ttl`
    of None lets a row of any age answer. `deprecation_date` is dbt's own. `is_unique`: the warehouse enforces that no
    XX
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
    deprecation_date: datetime | None = None
    is_unique: bool = False
    is_indexed: bool = False
    stream: Stream | None = None

    def __repr__(self) -> str:
        return f"FeatureView({self.reference!r}, {len(self.features)} features of {', '.join(self.join_keys)})"

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
        """The columns with times, and snapshots' `dbt_is_deleted`: they are never features."""
        columns = (getattr(self, name) for name in _TIMES)
        return tuple(dict.fromkeys(column for column in columns if column is not None))

    def is_identified_by(self, key: Iterable[str]) -> bool:
        """True if no two rows share join keys and event timestamp where none share `key`, columns of this definition.

        Only in UTC: in a zone with summer time, two different local times may mean the same moment.
        """
        return {*self.join_keys, self.event_timestamp}.issuperset(key) and self.timezone.upper() == "UTC"

    def is_found_by(self, index: Sequence[str]) -> bool:
        """True if an index of these columns starts with the join keys, in any order, and then the event timestamp."""
        keys = len(self.join_keys)
        return set(index[:keys]) == set(self.join_keys) and [*index[keys : keys + 1]] == [self.event_timestamp]

    def feature(self, name: str) -> Feature:
        """Return a feature by its name.

        Raises:
            RequestError: It is a label, or a column that the view leaves out.
            UnknownName: The view has no such feature.
        """
        for feature in self.features:
            if feature.name == name:
                return feature
        if mark := self.relation.mark_of(name):
            raise RequestError(
                f"{self.relation.location}: {name!r} of {self.reference} is not a feature: it says {mark}"
            )
        raise UnknownName(f"feature of {self.reference}", name, (each.name for each in self.features))

    def with_types(self, types: Mapping[str, str]) -> FeatureView:
        """Fill in the types that the warehouse reports, and check the definition against them.

        Raises:
            DefinitionError: The table lacks a column that the definition uses.
        """
        return self.with_column_types(types).checked()

    def with_column_types(self, types: Mapping[str, str]) -> FeatureView:
        """Fill in the types that the warehouse reports, unchecked; columns take this definition's spelling."""
        return replace(self, relation=self.relation.with_types(types)).with_own_spelling()

    def with_own_spelling(self) -> FeatureView:
        """Rename the relation's columns to this definition's spelling if only case differs: warehouses ignore case."""
        names = (name for _, name in self._columns_in_use(self.relation.location))
        return replace(self, relation=self.relation.with_spelling(names))

    def without_missing_columns(self) -> FeatureView:
        """Leave out entities, features and times whose columns the table lacks, so that the rest can be checked."""
        known = self.relation.columns
        unknown: dict[str, Any] = dict.fromkeys(name for name in _TIMES if getattr(self, name) not in known)
        return replace(
            self,
            entities=tuple(each for each in self.entities if all(key in known for key in each.join_keys)),
            features=tuple(each for each in self.features if each.name in known),
            **unknown,
        )

    def checked(self) -> FeatureView:
        """Return the view itself if its known columns and types fit; unknown ones are not checked.

        Raises:
            DefinitionError: A column is missing, or the event timestamp is a date and no lag is set.
        """
        findings = Findings()
        findings.note(*self.mistakes())
        findings.raise_errors()
        return self

    def mistakes(self) -> Iterator[Finding]:
        """Yield every mistake for which `checked` raises."""
        settings = self.relation.location.at("config.meta.feature_view")
        if self.relation.columns_are_complete:
            known = ", ".join(self.relation.columns)
            for at, name in self._columns_in_use(settings):
                if name not in self.relation.columns:
                    yield at.mistake(f"{self.relation.name} has no column {name!r}; it has {known}")
        if self.event_timestamp is not None and self.lag is None:
            column = self.relation.columns.get(self.event_timestamp)
            if column is not None and (column.data_type or "").strip().lower() == "date":
                yield settings.mistake(
                    f"lag is missing: {self.event_timestamp!r} is a date, which means its midnight; a row that sums "
                    "the day is complete a day later (lag: 1d), one that describes its start takes lag: 0d"
                )

    def _columns_in_use(self, settings: Location) -> Iterator[tuple[Location, str]]:
        """Yield the columns that the definition uses, each with the location of the YAML key that names it."""
        for entity in self.entities:
            for name in entity.join_keys:
                yield settings.at(f"entities.{entity.name}"), name
        for feature in self.features:
            yield settings.at(f"features.{feature.name}"), feature.name
        is_snapshot = self.history is History.SNAPSHOT
        times = {
            settings.at("valid_from") if is_snapshot else self.relation.location.at("config.event_time"): (
                self.event_timestamp
            ),
            settings.at("created_timestamp"): self.created_timestamp,
            settings.at("known_at"): self.known_at,
            settings.at("valid_to"): self.valid_to,
            self.relation.location.at("config.hard_deletes"): self.is_deleted,
        }
        yield from ((at, name) for at, name in times.items() if name is not None)
