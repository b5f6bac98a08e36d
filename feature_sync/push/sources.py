"""What a push stages from: the view itself or, where the state is kept elsewhere, a copy of its newest rows there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NamedTuple

from feature_sync.clock import Clock
from feature_sync.definitions import Feature, FeatureView, Period, Relation
from feature_sync.errors import OutputError, RequestError, UnfitValue, WarehouseConflict, WarehouseError
from feature_sync.online.streams import Snapshot
from feature_sync.push.digests import estimated_depth
from feature_sync.push.streamed import read_snapshot
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.push.copies import begin_without_end
from feature_sync.sql.push.latest import latest_rows
from feature_sync.sql.view_query import ViewQuery
from feature_sync.value_types import SCALARS, ValueType
from feature_sync.warehouses.places import Places

_ROWS_PER_BATCH = 50_000
_KEPT_AS_THEY_ARE = {"bool", "bytes", "float32", "float64", "int64", "string"}
"""The types of values in wire form."""
_TYPES_OF_KEYS = {bool: "boolean", int: "bigint", str: "text"}
"""The types of join keys in wire form, by their types in Python."""


class Source(NamedTuple):
    """What a push stages from, in one snapshot.

    Args:
        query: The rows, where the state is.
        seen: What they have seen of the view's stream; None if it has none.
    """

    query: ViewQuery
    seen: Snapshot | None


@contextmanager
def opened_source(places: Places, query: ViewQuery, clock: Clock, *, writes: bool) -> Iterator[Source]:
    """Open what a push stages from, in a transaction of the place of the state.

    Args:
        places: Where rows and state are.
        query: The view, where its rows are.
        clock: The moment of the push.
        writes: Commit what is written inside; else only temporary tables are.

    Raises:
        HeldBack: The view streams, and does not say what its rows have seen.
        RequestError: The place of the state cannot hold the values.
        WarehouseError: A warehouse failed.
    """
    view, state = query.view, places.state
    within = state.transaction if writes else state.snapshot
    if places.are_one:
        with within([view.relation.name]):
            yield Source(query, read_snapshot(QueryRunner(state), view, clock))
        return
    state.rest()  # nobody waits for it while the other engine works
    try:
        with places.rows.snapshot([view.relation.name]):
            seen = read_snapshot(QueryRunner(places.rows), view, clock)  # before the rows
            copy = _copied(places, query, clock)
    finally:
        places.rows.rest()
    try:
        with within():
            yield Source(copy, seen)
    finally:
        with suppress(WarehouseError):  # which would hide why the push failed; the copy ends with the connection
            state.unload(copy.view.relation.name)


def _copied(places: Places, query: ViewQuery, clock: Clock) -> ViewQuery:
    """Copy the newest rows, in the form in which they are sent, into a temporary table; returns the view of them."""
    from feature_sync.push.spool import spooled  # with pyarrow, which only copies need

    reader, runner = QueryRunner(places.rows), QueryRunner(places.state)
    names = [*query.key_types, *query.feature_types]
    if len({each.casefold() for each in names}) < len(names):
        raise _unfit(query, places, "names of columns differ only in case")
    text = reader.text(latest_rows(query, now=clock.now, depth=estimated_depth(reader, query)))
    try:
        with spooled(lambda: reader.warehouse.arrow(text, batch_size=_ROWS_PER_BATCH), times=_times_of(query)) as rows:
            name = runner.warehouse.load(f"pushed_{secrets.token_hex(8)}", rows, {})
    except RequestError as refused:
        raise _unfit(query, places, str(refused)) from refused
    except (UnfitValue, WarehouseConflict):
        raise
    except (OutputError, WarehouseError) as refused:
        raise WarehouseError(
            f"{query.view.reference} cannot be copied to {places.state.address}, where its state is: {refused}"
        ) from refused
    if query.has_times:
        with places.state.transaction():
            runner.run(begin_without_end(name, query.event_timestamp_name))
    relation = replace(query.view.relation, name=name, columns={}, columns_are_complete=False, is_table=True)
    relation = relation.with_types(runner.types_of(relation))
    copy = ViewQuery(_view_of(query, relation), dialect=runner.dialect, asked=Period(clock.now, clock.now))
    for name, kind in {**copy.key_types, **copy.feature_types}.items():
        if not _is_kept_as_it_is(kind):
            raise _unfit(query, places, f"{name} would be kept as {kind}")
    return copy


def as_copied(query: ViewQuery, *, dialect: Dialect) -> ViewQuery:
    """Return a view as `opened_source` copies it, without features; for queries over the keys and times of its pushes.

    Args:
        query: The view, where its rows are.
        dialect: The dialect of the place of the state.
    """
    keys = {key: _TYPES_OF_KEYS[SCALARS[kind.kind].wire] for key, kind in query.key_types.items()}
    times = dict.fromkeys(_times_of(query), "timestamp")
    types = {**dict.fromkeys(query.feature_types, "text"), **keys, **times}
    relation = replace(query.view.relation, columns={}).with_types(types)
    return ViewQuery(replace(_view_of(query, relation), features=()), dialect=dialect)


def _times_of(query: ViewQuery) -> set[str]:
    return {query.event_timestamp_name, query.valid_until_name}


def _view_of(query: ViewQuery, relation: Relation) -> FeatureView:
    """Return the view of copied rows: one for each entity, of which the definition's own times are all that is left."""
    view = query.view
    return replace(
        view,
        relation=relation,
        features=tuple(Feature(name=each.name) for each in view.features),
        event_timestamp=query.event_timestamp_name if query.has_times else None,
        valid_to=query.valid_until_name if query.has_end else None,
        created_timestamp=None,
        known_at=None,
        valid_to_current=None,
        is_deleted=None,
        timezone="UTC",
        is_unique=True,
        is_indexed=False,
    )


def _is_kept_as_it_is(kind: ValueType) -> bool:
    if kind.element is not None:
        return _is_kept_as_it_is(kind.element)
    if kind.kind == "struct":
        return all(_is_kept_as_it_is(each) for _, each in kind.fields)
    return kind.kind in _KEPT_AS_THEY_ARE


def _unfit(query: ViewQuery, places: Places, why: str) -> RequestError:
    return RequestError(
        f"{query.view.reference} cannot keep its state at {places.state.address}: {why}; keep it in DuckDB, which "
        "holds every type, or leave the feature out"
    )
