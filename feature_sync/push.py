"""The push: writes the newest row of every entity to the online store, each to expire when its TTL ends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from feature_sync.clock import Clock
from feature_sync.dbt.run_results import Gate
from feature_sync.definitions import FeatureView
from feature_sync.errors import OnlineStoreError
from feature_sync.online.codec import MICROSECOND, Schema, encode_row, from_microseconds
from feature_sync.online.keys import row_key, view_prefix
from feature_sync.online.redis import OnlineStore, Row
from feature_sync.sql.columns import every_column
from feature_sync.sql.latest import latest_rows, newest_event
from feature_sync.sql.render import render
from feature_sync.sql.view_query import ViewQuery, check_entity_types
from feature_sync.warehouses.base import Warehouse

_ROWS_PER_BATCH = 5_000
_MICROSECONDS = 1_000

Progress = Callable[[str, int], None]
"""Called with a view's reference and the number of rows that it has written so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What became of one feature view: `held_back` says why nothing, or nothing useful, was written."""

    feature_view: str
    written: int = 0
    seconds: float = 0.0
    held_back: str | None = None


class Pusher:
    """Pushes feature views from one warehouse to one online store."""

    def __init__(
        self,
        warehouse: Warehouse,
        online: OnlineStore,
        *,
        prefix: str,
        clock: Clock,
        gate: Gate,
        full_refresh: bool = False,
    ) -> None:
        self._warehouse = warehouse
        self._online = online
        self._prefix = prefix
        self._clock = clock
        self._gate = gate
        self._full_refresh = full_refresh

    def push(self, views: Collection[FeatureView], progress: Progress) -> Iterator[Pushed]:
        """Push one view after the other; a view that is held back does not stop the others.

        Raises:
            DefinitionError: A view does not fit its table.
            OnlineStoreError: Redis failed, or holds rows that were pushed at the other kind of clock.
            WarehouseError: The warehouse failed.
        """
        held_back = {view.reference: self._gate.reason_to_hold(view) for view in views}
        queries = {view.reference: self._query(view) for view in views if held_back[view.reference] is None}
        check_entity_types(queries.values())
        for reference, reason in held_back.items():
            if reason is not None:
                yield Pushed(feature_view=reference, held_back=reason)
            else:
                yield self._push_view(queries[reference], progress)

    def _push_view(self, query: ViewQuery, progress: Progress) -> Pushed:
        started = perf_counter()
        view = query.view
        prefix = view_prefix(self._prefix, view.reference)
        self._check_clock(view, prefix)
        if self._full_refresh:
            self._online.delete_view(prefix)
        schema = self._schema(query)
        self._online.write_schema(prefix, schema)
        written = 0
        text = render(latest_rows(query, now=self._clock.now), dialect=self._warehouse.dialect)
        for batch in self._warehouse.rows(text, batch_size=_ROWS_PER_BATCH):
            self._online.write(self._encode(batch, query, schema, prefix))
            written += len(batch)
            progress(view.reference, written)
        held_back = None if written else self._why_empty(query)
        return Pushed(
            feature_view=view.reference, written=written, seconds=perf_counter() - started, held_back=held_back
        )

    def _query(self, view: FeatureView) -> ViewQuery:
        dialect = self._warehouse.dialect
        if not view.relation.columns_are_complete:
            view = view.with_types(
                self._warehouse.describe(render(every_column(view.relation, dialect=dialect), dialect=dialect))
            )
        return ViewQuery(view, adapter=dialect)

    def _schema(self, query: ViewQuery) -> Schema:
        view = query.view
        return Schema(
            keys=tuple(query.key_types.items()),
            features=tuple(query.feature_types.items()),
            defaults={feature.name: feature.default for feature in view.features if feature.default is not None},
            ttl=view.ttl,
            as_of=self._clock.now if self._clock.is_fixed else None,
        )

    def _check_clock(self, view: FeatureView, prefix: str) -> None:
        """Refuse to mix rows of a fixed clock, which never expire, with rows of the real one."""
        if self._full_refresh:
            return
        for schema in self._online.schemas(prefix).values():
            if (schema.as_of is not None) != self._clock.is_fixed:
                before = (
                    "the real clock" if schema.as_of is None else f"the fixed clock {schema.as_of:%Y-%m-%d %H:%M:%S}Z"
                )
                raise OnlineStoreError(
                    f"{view.reference} was pushed at {before}; add --full-refresh to push at the other kind of clock"
                )

    def _encode(self, batch: list[tuple[Any, ...]], query: ViewQuery, schema: Schema, prefix: str) -> list[Row]:
        kinds = tuple(query.key_types.values())
        keys = len(kinds)
        schema_id = schema.id
        rows: list[Row] = []
        for row in batch:
            event_timestamp, valid_until, *values = row[keys:]
            key = row_key(prefix, row[:keys], kinds)
            value = encode_row([schema_id, event_timestamp, *values])
            rows.append((key, value, self._expires_at(query.view, event_timestamp, valid_until)))
        return rows

    def _expires_at(self, view: FeatureView, event_timestamp: int | None, valid_until: int | None) -> int | None:
        """The millisecond, rounded up, at which a row stops answering; never at a fixed clock."""
        if self._clock.is_fixed or event_timestamp is None:
            return None
        ends = [] if view.ttl is None else [event_timestamp + view.ttl // MICROSECOND]
        if valid_until is not None:
            ends.append(valid_until + (view.lag // MICROSECOND if view.lag else 0))
        return -(-min(ends) // _MICROSECONDS) if ends else None

    def _why_empty(self, query: ViewQuery) -> str:
        """Explain a push without a row: it is nearly always a clock, or a pipeline that stopped."""
        now = f"{self._clock.now:%Y-%m-%d %H:%M:%S}Z"
        if not query.has_times:
            return "the table holds no row with a key"
        text = render(newest_event(query), dialect=self._warehouse.dialect)
        newest = next(iter(self._warehouse.rows(text, batch_size=1)))[0][0]
        if newest is None:
            return "the table holds no row with a key and an event timestamp"
        return f"no row answers at {now}; the newest is of {from_microseconds(newest):%Y-%m-%d %H:%M:%S}Z"
