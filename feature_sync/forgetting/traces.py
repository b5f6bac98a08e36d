"""Traces of an entity as values: where its values are, how many, and what removes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from feature_sync.definitions import FeatureView, Registry
from feature_sync.errors import RequestError, UnknownName


class Place(StrEnum):
    """The kind of place that holds values of an entity."""

    REDIS = "redis"
    JOURNAL = "journal"
    """What names the keys that a stream wrote or deleted last, until a push has seen them."""
    MODEL = "model"
    PUSH_TABLE = "push table"
    FILE = "file"
    UPSTREAM = "upstream"
    """What a model is built of. It is not searched: which column identifies the entity there, only its owner knows."""
    MESSAGES = "messages"
    """The topic of a stream, or its dead letters. They are not searched either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One place.

    Args:
        place: The kind of place.
        name: The Redis key, relation or file.
        feature_view: The reference of the view; None for a file.
        rows: How many rows or keys are there; None if the place is not searched.
        cure: What removes them.
    """

    place: Place
    name: str
    feature_view: str | None
    rows: int | None
    cure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Where the values of one entity are.

    Args:
        entity: The name of the entity.
        keys: Its keys, by the names that its first view has for them; texts as they were asked.
        traces: The places.
        problems: What could not be searched, and why.
    """

    entity: str
    keys: dict[str, str]
    traces: tuple[Trace, ...]
    problems: tuple[str, ...] = ()

    def rows_in(self, *places: Place) -> int:
        """Return how many rows or keys are in places of these kinds."""
        return sum(each.rows or 0 for each in self.traces if each.place in places)

    @property
    def is_forgotten(self) -> bool:
        """True if all could be searched and nothing is left; not searched: what models are built of, messages."""
        return not self.problems and not any(each.rows for each in self.traces)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedEntity:
    """The entity that is searched for.

    Args:
        name: The name of the entity.
        views: The views that describe it.
        texts: The values of its keys, in the order of its join keys.
    """

    name: str
    views: tuple[FeatureView, ...]
    texts: tuple[str, ...]

    def columns(self, view: FeatureView) -> tuple[str, ...]:
        """Return the entity's join keys in one of its views."""
        return next(each.join_keys for each in view.entities if each.name == self.name)

    @property
    def keys(self) -> dict[str, str]:
        """The values by the join keys of the first view."""
        return dict(zip(self.columns(self.views[0]), self.texts, strict=True))


def asked_entity(registry: Registry, name: str, written: Sequence[str]) -> AskedEntity:
    """Read the keys of an entity: bare values in the order of its join keys, or `KEY=VALUE`.

    A bare value has no equals sign: a key with a typing error would else be searched for as a value, and not be found.

    Raises:
        RequestError: A key is missing, given twice or unknown.
        UnknownName: No view describes such an entity.
    """
    views = registry.entities.get(name)
    if not views:
        raise UnknownName("entity", name, registry.entities)
    asked = AskedEntity(name=name, views=tuple(views), texts=())
    columns = [asked.columns(view) for view in views]
    spoken = [{each[at] for each in columns} for at in range(len(columns[0]))]
    texts: dict[int, str] = {}
    for place, text in enumerate(written):
        key, equals, value = text.partition("=")
        at = next((at for at, names in enumerate(spoken) if equals and key in names), None)
        if at is None and equals:
            raise UnknownName(f"key of {name}", key, sorted(set().union(*spoken)))
        at, value = (place, text) if at is None else (at, value)
        if at in texts or at >= len(spoken):
            raise _wrong(asked, columns[0], written)
        texts[at] = value
    if len(texts) != len(spoken):
        raise _wrong(asked, columns[0], written)
    return AskedEntity(name=name, views=tuple(views), texts=tuple(texts[at] for at in range(len(spoken))))


def _wrong(asked: AskedEntity, columns: Sequence[str], written: Sequence[str]) -> RequestError:
    example = " ".join(f"{column}=..." for column in columns)
    return RequestError(
        f"one {asked.name} is identified by {', '.join(columns)}, each once, not by {len(written)} values; write "
        f"feature-sync forget {asked.name} {example}"
    )
