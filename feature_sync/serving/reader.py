"""Reads feature vectors from the online store, each value with its event timestamp and status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from feature_sync.clock import Clock
from feature_sync.definitions import FeatureService, FeatureView, Selection
from feature_sync.errors import OnlineStoreError, RequestError, did_you_mean
from feature_sync.online.absence import why_unknown
from feature_sync.online.base import OnlineStore, OnlineView
from feature_sync.online.codec import Row, RowSchema, read_row, read_value, split_end
from feature_sync.online.keys import is_null_key, wire_key
from feature_sync.online.validity import last_answer
from feature_sync.value_types import ValueType, from_microseconds, read_default, to_microseconds


class Status(StrEnum):
    """The origin of a value."""

    PRESENT = "present"
    NULL = "null"
    """The row holds null."""
    MISSING = "missing"
    """No row exists: never pushed, removed, or expired by Redis. The default answers."""
    EXPIRED = "expired"
    """A row exists, but at the reader's clock it is older than the TTL, or has ended. The default answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureValue:
    """One feature of a vector; the event timestamp, in UTC, is that of its row."""

    name: str
    value: Any
    status: Status
    event_timestamp: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureVector:
    """The values of one service for one set of keys, in the order of the service."""

    keys: Mapping[str, Any]
    values: tuple[FeatureValue, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the values alone, by name: the input of a model."""
        return {each.name: each.value for each in self.values}


class Reader:
    """Reads vectors for feature services from one online store; caches the row schemas that it has read."""

    def __init__(self, online: OnlineStore) -> None:
        self._online = online
        self._schemas: dict[str, Mapping[bytes, RowSchema]] = {}
        """By the reference of the view and the id of the schema, the newest last; no view has an empty mapping."""

    def read(
        self, service: FeatureService, entity_rows: Iterable[Mapping[str, Any]], *, clock: Clock
    ) -> list[FeatureVector]:
        """Read one vector for each mapping of keys, in order.

        Args:
            service: The features to read.
            entity_rows: Values of all join keys of the service, by name.
            clock: Judges age, unless the push had a fixed clock and this one has not.

        Raises:
            OnlineStoreError: Redis failed, a view was never pushed, or a row cannot be read.
            RequestError: A key is missing, unknown or of the wrong type, a view is not online, or `clock` is too early.
        """
        if isinstance(entity_rows, (str, Mapping)) or not isinstance(entity_rows, Iterable):
            raise RequestError(
                f"entity rows are a list of mappings, such as [{{'id': 7}}], and not {entity_rows!r:.80}"
            )
        entity_rows = list(entity_rows)
        for at, keys in enumerate(entity_rows):
            with _naming_row(at, entity_rows):
                _check_keys(service, keys)
        vectors: list[list[FeatureValue]] = [[] for _ in entity_rows]
        for selection in service.selections:
            _check_online(selection.view)
            schemas = self._schemas_of(selection.view)
            answers = self._answers(selection, entity_rows, schemas)
            newest = _newest(self._schemas[selection.view.reference])
            moment = _moment(selection.view, newest, clock)
            for at, answer in enumerate(answers):
                vectors[at] += _values(service, selection, answer, newest, moment)
        return [
            FeatureVector(keys=dict(keys), values=tuple(vector))
            for keys, vector in zip(entity_rows, vectors, strict=True)
        ]

    def _schemas_of(self, view: FeatureView) -> Mapping[bytes, RowSchema]:
        """Return the cached schemas of a view; reads them first if none are cached.

        Raises:
            OnlineStoreError: Redis has no readable schema of the view.
        """
        known = self._schemas.get(view.reference)
        if not known:
            found = self._online.view(view.reference).schemas()
            known = {schema_id: schema for schema_id, schema in found.items() if schema.id == schema_id}
            if not known:
                raise OnlineStoreError(why_unknown(self._online, view.reference))
            self._schemas[view.reference] = known
        return known

    def _answers(
        self, selection: Selection, entity_rows: Sequence[Mapping[str, Any]], schemas: Mapping[bytes, RowSchema]
    ) -> list[_Answer | None]:
        """Read the rows of one view, one for each entity row; None for a null key or a missing row.

        Raises:
            OnlineStoreError: A row cannot be read.
        """
        view = selection.view
        kinds = dict([*schemas.values()][-1].keys)
        online = self._online.view(view.reference)
        keys: list[bytes | None] = []
        for at, values in enumerate(entity_rows):
            with _naming_row(at, entity_rows):
                keys.append(_row_key(selection, values, kinds, online))
        found = iter(online.read([key for key in keys if key is not None]))
        rows = [None if key is None else _row(view, key, next(found)) for key in keys]
        self._learn(view, [row for row in rows if row is not None])
        pairs = zip(keys, rows, strict=True)
        return [None if key is None or row is None else self._answer(view, key, row) for key, row in pairs]

    def _learn(self, view: FeatureView, rows: Sequence[Row]) -> None:
        """Read the schemas that a push has written since, in one round trip for all rows."""
        known = self._schemas[view.reference]
        if unknown := sorted({row.schema_id for row in rows if _is_newer(row, known)}):
            found = self._online.view(view.reference).schemas_named(unknown)
            known = {**known, **{each: schema for each, schema in found.items() if schema.id == each}}
            self._schemas[view.reference] = dict(sorted(known.items(), key=lambda each: each[1].fence))

    def _answer(self, view: FeatureView, key: bytes, row: Row) -> _Answer:
        """Return a row with the schema that it was written by."""
        schema = self._schemas[view.reference].get(row.schema_id)
        if schema is None:
            raise _unreadable(view, key, f"Redis has no schema {row.schema_id.hex()} that can be read")
        try:
            values, end = split_end(row.values, schema)
            _ = None if end is None else from_microseconds(end)  # raises for an end beyond the year 9999
        except (ArithmeticError, ValueError) as wrong:
            raise _unreadable(view, key, str(wrong)) from wrong
        return _Answer(key=key, schema=schema, event_timestamp=row.event_timestamp, values=values, end=end)


def _is_newer(row: Row, known: Mapping[bytes, RowSchema]) -> bool:
    """True if the known schemas do not fit a row: an unknown id, or an end, which only a fixed clock writes."""
    schema = known.get(row.schema_id)
    return schema is None or (schema.as_of is None and len(row.values) > len(schema.features))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """A row and its schema; `end` is the first microsecond since 1970 in UTC at which it no longer answers."""

    key: bytes
    schema: RowSchema
    event_timestamp: datetime | None
    values: Sequence[Any]
    end: int | None

    def has_expired(self, moment: datetime) -> bool:
        """True if the row is too old at a moment, or has ended."""
        event_timestamp = None if self.event_timestamp is None else to_microseconds(self.event_timestamp)
        last = last_answer(event_timestamp, self.end, self.schema.ttl_microseconds)
        return last is not None and to_microseconds(moment) > last


def _newest(schemas: Mapping[bytes, RowSchema]) -> RowSchema | None:
    return next(reversed(list(schemas.values())), None)


def _check_online(view: FeatureView) -> None:
    if not view.online:
        raise RequestError(f"{view.relation.location}: {view.reference} says online: false, so it is never pushed")


def _check_keys(service: FeatureService, keys: Mapping[str, Any]) -> None:
    wanted = service.join_keys
    if not isinstance(keys, Mapping):
        raise RequestError(f"{service.name} needs a mapping from key to value, not a {type(keys).__name__}")
    for key in keys:
        if key not in wanted:
            raise RequestError(f"{service.name} has no key {key!r}{did_you_mean(str(key), wanted)}")
    if missing := [key for key in wanted if key not in keys]:
        raise RequestError(f"{service.name} needs {', '.join(f'{key}=...' for key in missing)}")


@contextmanager
def _naming_row(at: int, entity_rows: Sequence[Any]) -> Iterator[None]:
    """Name the entity row in an error if there are several."""
    try:
        yield
    except RequestError as wrong:
        if len(entity_rows) == 1:
            raise
        raise RequestError(f"entity_rows[{at}]: {wrong}") from wrong


def _row_key(
    selection: Selection, keys: Mapping[str, Any], kinds: Mapping[str, ValueType], online: OnlineView
) -> bytes | None:
    wire: list[Any] = []
    for join_key, spine_key in zip(selection.view.join_keys, selection.spine_keys, strict=True):
        value = keys[spine_key]
        if is_null_key(value):
            return None
        if join_key not in kinds:
            raise RequestError(
                f"{selection.view.reference} was pushed with other keys ({', '.join(kinds)}); push it again"
            )
        try:
            wire.append(wire_key(value, kinds[join_key]))
        except ValueError as wrong:
            raise RequestError(f"{spine_key}: {wrong}; {selection.view.reference} expects {kinds[join_key]}") from wrong
    write_keys = online.key_writer([kinds[key] for key in selection.view.join_keys])
    return write_keys([[value] for value in wire])[0]


def _row(view: FeatureView, key: bytes, content: bytes | None) -> Row | None:
    try:
        return None if content is None else read_row(content)
    except OnlineStoreError as damaged:
        raise OnlineStoreError(f"{view.reference}: {_text_of(key)}: {damaged}") from damaged


def _unreadable(view: FeatureView, key: bytes, reason: str) -> OnlineStoreError:
    return OnlineStoreError(
        f"{view.reference}: the row {_text_of(key)} in Redis cannot be read ({reason}); push again with --full-refresh"
    )


def _text_of(key: bytes) -> str:
    return key.decode(errors="backslashreplace")


def _values(
    service: FeatureService, selection: Selection, answer: _Answer | None, newest: RowSchema | None, moment: datetime
) -> Iterator[FeatureValue]:
    """Yield the selected features of one row; their defaults if no row answers.

    Raises:
        OnlineStoreError: A value is not of its type.
    """
    expired = answer is not None and answer.has_expired(moment)
    positions = {} if answer is None else {name: at for at, (name, _) in enumerate(answer.schema.features)}
    for name in selection.features:
        missing = FeatureValue(
            name=service.output_name(selection, name), value=None, status=Status.MISSING, event_timestamp=None
        )
        if answer is None or expired or name not in positions:
            status = Status.EXPIRED if expired else Status.MISSING
            event_timestamp = None if answer is None else answer.event_timestamp
            default = _default(selection.view, name, newest)
            yield replace(missing, value=default, status=status, event_timestamp=event_timestamp)
            continue
        at = positions[name]
        try:
            value = read_value(answer.values[at], answer.schema.features[at][1])
        except (ArithmeticError, ValueError) as wrong:
            raise _unreadable(selection.view, answer.key, f"{name}: {str(wrong) or type(wrong).__name__}") from wrong
        status = Status.NULL if value is None else Status.PRESENT
        yield replace(missing, value=value, status=status, event_timestamp=answer.event_timestamp)


def _moment(view: FeatureView, schema: RowSchema | None, clock: Clock) -> datetime:
    """Return the moment at which a reader judges age: its own clock, or the fixed clock of the push.

    Raises:
        RequestError: The reader's clock is before the push, whose earlier rows Redis does not hold.
    """
    if schema is None:
        return clock.now
    if not clock.is_fixed:
        return schema.as_of or clock.now
    pushed_as_of = schema.as_of or datetime.now(UTC)
    if clock.now < pushed_as_of:
        raise RequestError(
            f"{view.reference} was pushed as of {pushed_as_of:%Y-%m-%d %H:%M:%S}Z and cannot answer for an earlier "
            "moment; ask a training set, or push again with --as-of"
        )
    return clock.now


def _default(view: FeatureView, name: str, newest: RowSchema | None) -> Any:
    kinds = dict(newest.features) if newest else {}
    default = view.feature(name).default
    return read_default(kinds[name], default) if name in kinds else default
