"""The lookup: reads feature vectors from the online store, each value with its event time and status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from feature_sync.clock import Clock
from feature_sync.definitions import FeatureService, FeatureView, Selection
from feature_sync.errors import RequestError, did_you_mean
from feature_sync.online.codec import Row, Schema, read_row, read_value
from feature_sync.online.keys import row_key, view_prefix, wire_key
from feature_sync.online.redis import OnlineStore
from feature_sync.value_types import ValueType, read_default


class Status(StrEnum):
    """Where a value comes from."""

    PRESENT = "present"
    NULL = "null"
    """The row says null."""
    MISSING = "missing"
    """There is no row: never pushed, removed, or expired by Redis. The default answers."""
    EXPIRED = "expired"
    """There is a row, but it is older than the TTL at the reader's clock. The default answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureValue:
    """One feature of a vector; the event timestamp is that of its row."""

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
        """The values alone, by name: what a model consumes."""
        return {each.name: each.value for each in self.values}


class Reader:
    """Reads vectors for feature services from one online store; caches the schemas that it has met."""

    def __init__(self, online: OnlineStore, *, prefix: str) -> None:
        self._online = online
        self._prefix = prefix
        self._schemas: dict[str, Mapping[bytes, Schema]] = {}

    def read(
        self, service: FeatureService, entity_rows: Sequence[Mapping[str, Any]], *, as_of: Clock
    ) -> list[FeatureVector]:
        """Read one vector for each mapping of keys.

        Raises:
            OnlineStoreError: Redis failed.
            RequestError: A key is missing, unknown or of the wrong type, a view is not online, or `as_of` is too early.
        """
        for keys in entity_rows:
            _check_keys(service, keys)
        vectors: list[list[FeatureValue]] = [[] for _ in entity_rows]
        for selection in service.selections:
            _check_online(selection.view)
            prefix = view_prefix(self._prefix, selection.view.reference)
            schemas = self._schemas_of(prefix)
            moment = _moment(selection.view, _newest(schemas), as_of)
            rows = self._rows(selection, entity_rows, prefix, schemas)
            for at, row in enumerate(rows):
                schema = schemas.get(row.schema_id) if row is not None else None
                if row is not None and schema is None:
                    schemas = self._schemas_of(prefix, again=True)
                    schema = schemas.get(row.schema_id)
                vectors[at] += _values(service, selection, row, schema, _newest(schemas), moment)
        return [
            FeatureVector(keys=dict(keys), values=tuple(vector))
            for keys, vector in zip(entity_rows, vectors, strict=True)
        ]

    def _schemas_of(self, prefix: str, *, again: bool = False) -> Mapping[bytes, Schema]:
        if again or not self._schemas.get(prefix):
            self._schemas[prefix] = self._online.schemas(prefix)
        return self._schemas[prefix]

    def _rows(
        self,
        selection: Selection,
        entity_rows: Sequence[Mapping[str, Any]],
        prefix: str,
        schemas: Mapping[bytes, Schema],
    ) -> list[Row | None]:
        """Read the rows of one view; a null key has none, nor has anybody in a view that was never pushed."""
        newest = _newest(schemas)
        if newest is None:
            return [None] * len(entity_rows)
        kinds = dict(newest.keys)
        keys = [_row_key(selection, keys, kinds, prefix) for keys in entity_rows]
        found = iter(self._online.read([key for key in keys if key is not None]))
        contents = [None if key is None else next(found) for key in keys]
        return [None if content is None else read_row(content) for content in contents]


def _newest(schemas: Mapping[bytes, Schema]) -> Schema | None:
    return next(reversed(list(schemas.values())), None)


def _check_online(view: FeatureView) -> None:
    if not view.online:
        raise RequestError(f"{view.relation.location}: {view.reference} says online: false, so it is never pushed")


def _check_keys(service: FeatureService, keys: Mapping[str, Any]) -> None:
    wanted = service.join_keys
    for key in keys:
        if key not in wanted:
            raise RequestError(f"{service.name} has no key {key!r}{did_you_mean(key, wanted)}")
    if missing := [key for key in wanted if key not in keys]:
        raise RequestError(f"{service.name} needs {', '.join(f'{key}=...' for key in missing)}")


def _row_key(
    selection: Selection, keys: Mapping[str, Any], kinds: Mapping[str, ValueType], prefix: str
) -> bytes | None:
    wire: list[Any] = []
    for join_key, spine_key in zip(selection.view.join_keys, selection.spine_keys, strict=True):
        value = keys[spine_key]
        if value is None:
            return None
        if join_key not in kinds:
            raise RequestError(
                f"{selection.view.reference} was pushed with other keys ({', '.join(kinds)}); push it again"
            )
        try:
            wire.append(wire_key(value, kinds[join_key]))
        except ValueError as wrong:
            raise RequestError(f"{spine_key}: {wrong}; {selection.view.reference} expects {kinds[join_key]}") from wrong
    return row_key(prefix, wire, [kinds[key] for key in selection.view.join_keys])


def _values(
    service: FeatureService,
    selection: Selection,
    row: Row | None,
    schema: Schema | None,
    newest: Schema | None,
    moment: datetime,
) -> Iterable[FeatureValue]:
    """Show the selected features of one row; where no row answers, their defaults."""
    expired = row is not None and schema is not None and _is_expired(row, schema, moment)
    positions = {name: at for at, (name, _) in enumerate(schema.features)} if schema else {}
    for name in selection.features:
        shown = FeatureValue(
            name=service.output_name(selection, name), value=None, status=Status.MISSING, event_timestamp=None
        )
        if row is None or schema is None or expired or name not in positions:
            status = Status.EXPIRED if expired else Status.MISSING
            event_timestamp = row.event_timestamp if row is not None else None
            default = _default(selection.view, name, newest)
            yield replace(shown, value=default, status=status, event_timestamp=event_timestamp)
            continue
        at = positions[name]
        value = read_value(row.values[at], schema.features[at][1])
        status = Status.NULL if value is None else Status.PRESENT
        yield replace(shown, value=value, status=status, event_timestamp=row.event_timestamp)


def _is_expired(row: Row, schema: Schema, moment: datetime) -> bool:
    return schema.ttl is not None and row.event_timestamp is not None and moment - row.event_timestamp > schema.ttl


def _moment(view: FeatureView, schema: Schema | None, clock: Clock) -> datetime:
    """The moment at which a reader judges age: its own clock, or the one that the push was fixed at.

    Raises:
        RequestError: The moment lies before the push; Redis holds no past.
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


def _default(view: FeatureView, name: str, newest: Schema | None) -> Any:
    kinds = dict(newest.features) if newest else {}
    default = view.feature(name).default
    return read_default(kinds[name], default) if name in kinds else default
