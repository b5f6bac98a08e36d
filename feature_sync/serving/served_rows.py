"""Served vectors as Arrow tables: one for each schema of a service, with the keys, the values and their statuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from feature_sync.errors import RequestError
from feature_sync.online.keys import is_null_key, wire_key
from feature_sync.serving.card import Card, types_of
from feature_sync.serving.columns import arrow_array, arrow_schema, arrow_type, table_of
from feature_sync.serving.status import Status
from feature_sync.value_types import ValueType

if TYPE_CHECKING:
    import pyarrow

    from feature_sync.serving.vectors import FeatureVector

_PRESENT = Status.PRESENT


class Served(NamedTuple):
    """A vector that was served.

    Args:
        moment: Microseconds since 1970 UTC.
        entity: The keys, as given.
        vector: The values.
    """

    moment: int
    entity: Mapping[str, Any]
    vector: FeatureVector


class ServedSchema:
    """The columns of the vectors that were served by one card."""

    def __init__(self, card: Card) -> None:
        """Read a card.

        Args:
            card: The card.
        """
        schema = card.schema
        self.service, self.shape, self.logic = card.service, schema.shape, card.logic
        self.id = self.service, self.shape, self.logic
        self._features = schema
        self._key_types = types_of(card.keys)
        self._canonical_keys = schema.keys
        self._taken = {name.casefold() for name in (*schema.names, *(name for name, _ in schema.keys))}

    def table(self, served: Sequence[Served]) -> pyarrow.Table:
        """Make a table of vectors: `served_at`, `service`, `shape`, `logic`, the keys, the features, `statuses`.

        The keys and features have their canonical types. `statuses` is JSON: the status of each feature whose value is
        not `present`. If a key or a feature has one of these names, that of the log's own column begins with `_`.

        Raises:
            RequestError: A value does not fit its Arrow type.
        """
        import pyarrow

        count, text = len(served), pyarrow.string()
        own = {
            "served_at": pyarrow.array([each.moment for each in served], pyarrow.timestamp("us", tz="UTC")),
            "service": pyarrow.array([self.service] * count, text),
            "shape": pyarrow.array([self.shape] * count, text),
            "logic": pyarrow.array([self.logic] * count, text),
        }
        statuses = pyarrow.array([_statuses(each.vector) for each in served], text)
        rows = [each.vector.wire_values() for each in served]
        features = table_of(self._features, [*zip(*rows, strict=True)])
        keys = [
            arrow_array(name, canonical, [_wire(each.entity[name], kind) for each in served])
            for (name, kind), (_, canonical) in zip(self._key_types, self._canonical_keys, strict=True)
        ]
        fields = [
            *((self._own_name(name), array.type) for name, array in own.items()),
            *((name, arrow_type(kind)) for name, kind in self._canonical_keys),
            *arrow_schema(self._features),
            (self._own_name("statuses"), text),
        ]
        described = pyarrow.schema(fields, metadata={"service": self.service, "shape": self.shape, "logic": self.logic})
        return pyarrow.Table.from_arrays([*own.values(), *keys, *features.columns, statuses], schema=described)

    def _own_name(self, name: str) -> str:
        while name in self._taken:
            name = f"_{name}"
        return name


def served_tables(
    served: Sequence[Served], size: int
) -> Iterator[tuple[Sequence[Served], pyarrow.Table | RequestError]]:
    """Make tables of at most so many vectors, each of one schema, with the vectors that each holds.

    Vectors that do not fit their schema come one by one, with the error.
    """
    groups: dict[tuple[str, str, str], tuple[ServedSchema, list[Served]]] = {}
    schemas: dict[int, ServedSchema] = {}  # by id(): the vectors keep their cards alive
    for each in served:
        card = each.vector.card
        schema = schemas.get(id(card)) or schemas.setdefault(id(card), ServedSchema(card))
        groups.setdefault(schema.id, (schema, []))[1].append(each)
    for schema, group in groups.values():
        for at in range(0, len(group), size):
            yield from _fitting(schema, group[at : at + size])


def _fitting(
    schema: ServedSchema, served: Sequence[Served]
) -> Iterator[tuple[Sequence[Served], pyarrow.Table | RequestError]]:
    try:
        yield served, schema.table(served)
    except RequestError as unfit:
        if len(served) == 1:
            yield served, unfit
            return
        half = len(served) // 2
        yield from _fitting(schema, served[:half])
        yield from _fitting(schema, served[half:])


def _wire(value: Any, kind: ValueType) -> Any:
    """Return a key in wire form; null for what is no key of this type, for which `on_error="null"` answers."""
    if is_null_key(value):
        return None
    try:
        return wire_key(value, kind)
    except ValueError:
        return None


def _statuses(vector: FeatureVector) -> str:
    unusual = {name: status for name, status in vector.statuses.items() if status is not _PRESENT}
    return msgspec.json.encode(unusual).decode() if unusual else "{}"
