"""Searches Redis and the warehouse for the values of one entity; reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from feature_sync.definitions import FeatureView
from feature_sync.errors import DefinitionError, RequestError, WarehouseError
from feature_sync.forgetting.traces import AskedEntity, Place, Trace
from feature_sync.online.base import OnlineStore
from feature_sync.online.keys import wire_key
from feature_sync.online.traces import journal_keys_of, keys_of
from feature_sync.push.state import existing_tables
from feature_sync.push.table_names import tables_with_keys
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.push.state_schema import PushTables
from feature_sync.sql.push.traces import pushed_rows_of, rows_of
from feature_sync.sql.view_query import ViewQuery
from feature_sync.value_types import ValueType
from feature_sync.warehouses.places import Places

_SEEN = "dbt build and feature-sync push, once the stream's messages are landed: a push that has seen them forgets them"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchContext:
    """Where to search.

    Args:
        open_places: Connects to where rows and the states of pushes are.
        online: The online store.
        state_schema: The schema of the states and tables of pushes.
        upstream_of: Returns the names of the relations that a view is built of.
    """

    open_places: Callable[[], Places]
    online: OnlineStore
    state_schema: str
    upstream_of: Callable[[FeatureView], Sequence[str]]


def search(asked: AskedEntity, context: SearchContext) -> Iterator[Trace | str]:
    """Yield each place that holds values of an entity, or the reason why one could not be searched.

    Raises:
        OnlineStoreError: Redis failed.
        RequestError: A key is not of the type that the views have.
    """
    yield from _in_redis(asked, context)
    try:
        with context.open_places() as places:
            for view in asked.views:
                yield from _in_warehouse(asked, view, places, context)
    except WarehouseError as unreachable:
        yield str(unreachable)
    own = {view.relation.name for view in asked.views}
    upstream = {name: view.reference for view in reversed(asked.views) for name in context.upstream_of(view)}
    cure = "delete the rows there, then dbt build, then feature-sync push"
    for name in sorted(upstream.keys() - own):
        yield Trace(place=Place.UPSTREAM, name=name, feature_view=upstream[name], rows=None, cure=cure)
    for view in asked.views:
        yield from _messages(view)


def _messages(view: FeatureView) -> Iterator[Trace]:
    """Name where the messages of a view's stream are, and those that could not be rows."""
    stream = view.stream
    if stream is None:
        return
    topics = {
        f"topic {stream.topic}": "let its retention pass, or where it is compacted, send a message without value",
        f"topic {stream.dead_letter_topic}": "let its retention pass: dead letters hold whole messages",
        f"file {stream.dead_letter_file}": "delete the lines of these messages: dead letters hold them whole",
    }
    for name, cure in topics.items():
        if not name.endswith(" None"):
            yield Trace(place=Place.MESSAGES, name=name, feature_view=view.reference, rows=None, cure=cure)


def _in_redis(asked: AskedEntity, context: SearchContext) -> Iterator[Trace | str]:
    """Search the views of the entity, and those of no definition whose keys have the same names."""
    defined = {view.reference: asked.columns(view) for view in asked.views}
    names = asked.columns(asked.views[0])
    for reference in sorted(context.online.references()):
        view = context.online.view(reference)
        newest = next(reversed([*view.schemas().values()]), None)
        columns = defined.get(reference, names)
        types = dict(newest.keys) if newest is not None else {}
        if newest is None and reference in defined:
            yield f"{reference} has no schema in Redis that can be read, so its keys were not searched"
        if not types or not {*columns} <= {*types}:
            continue
        values = dict(zip(columns, _wire(asked, [types[each] for each in columns]), strict=True))
        at = {[*types].index(name): value for name, value in values.items()}
        cure = f"feature-sync push {reference}, once the model has no such row"
        found = {
            Place.REDIS: (keys_of(view, [*types.values()], at), cure),
            Place.JOURNAL: (journal_keys_of(view, [*types.values()], at), _SEEN),
        }
        for place, (keys, cured) in found.items():
            gone = cured if reference in defined else "feature-sync push --prune: the project defines no such view"
            for name in (key.decode(errors="backslashreplace") for key in keys):
                yield Trace(place=place, name=name, feature_view=reference, rows=1, cure=gone)


def _in_warehouse(
    asked: AskedEntity, view: FeatureView, places: Places, context: SearchContext
) -> Iterator[Trace | str]:
    runner = QueryRunner(places.rows)
    try:
        query = runner.query_of(view)
        columns = asked.columns(view)
        values = dict(zip(columns, _wire(asked, [query.key_types[each] for each in columns]), strict=True))
        if rows := runner.fetch(rows_of(query, values))[0][0]:
            cure = (
                "delete the rows in its sources, then dbt build (an incremental model or a snapshot: delete here, too)"
            )
            name = view.relation.name
            yield Trace(place=Place.MODEL, name=name, feature_view=view.reference, rows=rows, cure=cure)
        yield from _in_push_tables(query, values, QueryRunner(places.state), context)
    except (WarehouseError, DefinitionError) as refused:
        yield f"{view.reference}: {refused}"


def _in_push_tables(
    query: ViewQuery, values: dict[str, Any], runner: QueryRunner, context: SearchContext
) -> Iterator[Trace]:
    """Search the tables of all pushes of a view, those to another Redis and those left behind included."""
    tables, reference = PushTables(context.state_schema), query.view.reference
    for name in tables_with_keys(reference, existing_tables(runner, tables)):
        if rows := runner.fetch(pushed_rows_of(query, tables, name, values))[0][0]:
            cure = f"feature-sync push {reference}, once the model has no such row"
            shown = f"{context.state_schema}.{name}"
            yield Trace(place=Place.PUSH_TABLE, name=shown, feature_view=reference, rows=rows, cure=cure)


def _wire(asked: AskedEntity, types: Sequence[ValueType]) -> list[Any]:
    try:
        return [wire_key(text, kind) for text, kind in zip(asked.texts, types, strict=True)]
    except ValueError as wrong:
        raise RequestError(f"{asked.name}: {wrong}") from wrong
