"""A card, compiled for reading: from entities to the keys of one MGET, and from its replies to feature vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from feature_sync.errors import OnlineStoreError, RequestError, did_you_mean
from feature_sync.serving.card import Card
from feature_sync.serving.entities import Entities
from feature_sync.serving.layouts import Row
from feature_sync.serving.row_reads import RowReads
from feature_sync.serving.sampling import EntityHash
from feature_sync.serving.status import Status
from feature_sync.serving.vectors import FeatureVector, FeatureVectors
from feature_sync.serving.view_rows import BadRow, Judge, ViewRows


class ServiceRows:
    """Reads the rows of one service; immutable, so that threads share it."""

    def __init__(
        self, card: Card, revision: bytes | None, *, lenient: bool = False, faults: Mapping[bytes, str] | None = None
    ) -> None:
        """Compile a card.

        Args:
            card: The card.
            revision: The revision in Redis when the card was read; None if it is not watched.
            lenient: Answer null for what cannot be read, instead of raising.
            faults: Schema ids whose rows cannot be read, and why.
        """
        self.faults = faults or {}
        self.card = card
        self.revision = revision
        self.schema = card.schema
        self.views = tuple(ViewRows(each, lenient=lenient, faults=self.faults) for each in card.selections)
        self.lenient = lenient
        self.is_judged_by_redis = all(each.as_of is None for each in card.selections)
        self.no_judges: tuple[None, ...] = (None,) * len(self.views)
        self.keys = tuple(name for name, _ in card.keys)
        self.key_set = set(self.keys)
        self.entity_hash = EntityHash(card)
        self.positions = {name: at for at, name in enumerate(self.schema.names)}
        forms = [form for view in self.views for form in view.forms]
        self.converts = tuple(form.convert for form in forms)
        self.is_plain = not any(self.converts)
        self.owners = tuple(
            (at, place) for at, view in enumerate(self.views) for place in range(2, 2 + len(view.forms))
        )
        """For each feature the position of its selection, and of its value in that selection's rows."""

    @classmethod
    def of(cls, card: Card, revision: bytes | None, lenient: bool) -> Self:  # noqa: FBT001 - a pickled copy's
        """Compile a card anew, from `arguments`."""
        return cls(card, revision, lenient=lenient)

    @property
    def arguments(self) -> tuple[Card, bytes | None, bool]:
        """What a copy is compiled from."""
        return self.card, self.revision, self.lenient

    def check_keys(self, entity: Mapping[str, Any]) -> None:
        """Check that an entity names the keys of the service and no others.

        Raises:
            RequestError: A key is missing or unknown.
        """
        if entity.keys() == self.key_set:
            return
        for key in entity:
            if key not in self.key_set:
                raise RequestError(f"{self.card.service} has no key {key!r}{did_you_mean(str(key), self.keys)}")
        missing = ", ".join(f"{key}=..." for key in self.keys if key not in entity)
        raise RequestError(f"{self.card.service} needs {missing}")

    def row_keys(self, entity: Mapping[str, Any]) -> list[bytes] | None:
        """Write the row keys of one entity, one for each selection; None if any of its keys is null.

        Raises:
            RequestError: A key is missing, unknown or of the wrong type.
        """
        if entity.keys() != self.key_set:
            self.check_keys(entity)
        keys = [view.key(entity) for view in self.views]
        return None if None in keys else keys  # type: ignore[return-value]

    def row_reads(self, columns: Sequence[Sequence[bytes]], *, early: bool) -> RowReads | None:
        """Return what reads the rows of many entities in a cluster; None if the key prefix has braces, too.

        Args:
            columns: The row keys by selection.
            early: Decode rows as they come.
        """
        begins = [each.selection.rows.encode() for each in self.views]
        if any(begin.find(b"{") != len(begin) - 1 for begin in begins):
            return None
        return RowReads(columns, begins, [view.plain_rows if early else None for view in self.views])

    def vector(
        self, entity: Mapping[str, Any], contents: Sequence[bytes | None], judges: Sequence[Judge | None]
    ) -> FeatureVector:
        """Read the vector of one entity.

        Args:
            entity: The keys, as given.
            contents: What Redis holds at its row keys.
            judges: For each selection, who judges age.

        Raises:
            OnlineStoreError: A row cannot be read, or lacks a feature.
            UnknownLayouts: A row has a schema id that the card does not list.
        """
        rows: list[Row] = []
        for view, content, judge in zip(self.views, contents, judges, strict=True):
            try:
                rows.append(view.row(content, judge))
            except BadRow as bad:
                raise _unreadable(view, entity, bad) from bad
        return FeatureVector(self, entity, rows)

    def vectors(
        self,
        entities: Entities,
        contents: Sequence[Sequence[bytes | None]],
        judges: Sequence[Judge | None],
        invalid: Sequence[set[int]],
    ) -> FeatureVectors:
        """Read the vectors of many entities.

        Args:
            entities: The keys, as given.
            contents: For each selection, what Redis holds at the row keys of all entities.
            judges: For each selection, who judges age.
            invalid: For each selection, the positions of entities whose keys could not be read.

        Raises:
            OnlineStoreError: A row cannot be read, or lacks a feature.
            UnknownLayouts: Rows have schema ids that the card does not list.
        """
        rows: list[list[Row]] = []
        for view, content, judge in zip(self.views, contents, judges, strict=True):
            try:
                rows.append(view.rows(content, judge))
            except BadRow as bad:
                raise _unreadable(view, entities[bad.at], bad) from bad
        return self.assembled(entities, rows, invalid)

    def assembled(self, entities: Entities, rows: Sequence[list[Row]], invalid: Sequence[set[int]]) -> FeatureVectors:
        """Put rows that are decoded together; see `vectors`."""
        for view, found, wrong in zip(self.views, rows, invalid, strict=True):
            for at in wrong:
                found[at] = (Status.INVALID, None, *(None for _ in view.features))
        return FeatureVectors(self, entities, rows)


def _unreadable(view: ViewRows, entity: Mapping[str, Any], bad: BadRow) -> OnlineStoreError:
    key = (view.key(entity) or b"").decode(errors="backslashreplace")
    return OnlineStoreError(
        f"{view.selection.view}: the row {key} in Redis cannot be read ({bad.reason}); "
        "push again: feature-sync push --full-refresh"
    )
