"""Finds the views that Redis holds and the project no longer defines, and removes them when told to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

from feature_sync.errors import OnlineStoreError
from feature_sync.online.keys import view_prefix
from feature_sync.online.marks import Mark
from feature_sync.online.redis import mark_key, schema_key, views_key
from feature_sync.push.report import Pushed
from feature_sync.push.view_push import PushContext
from feature_sync.push_state import StateStore, warehouse_id
from feature_sync.sql.pushes import PushTables
from feature_sync.statements import Statements


def left_behind(context: PushContext, defined: Collection[str]) -> list[str]:
    """The references of views that were pushed, and are not among those that are defined."""
    return sorted(context.online.views(context.prefix) - set(defined))


def prune(context: PushContext, references: Collection[str]) -> Iterator[Pushed]:
    """Remove views from Redis, with their state in the warehouse.

    Raises:
        LeaseHeld: Somebody is pushing such a view.
        OnlineStoreError: Redis failed, or the view is another warehouse's.
        WarehouseError: The warehouse failed.
    """
    for reference in references:
        prefix = view_prefix(context.prefix, reference)
        options = context.options
        with (
            context.online.lease(prefix, duration=options.lease, wait=options.wait, stopped=lambda: False) as lease,
            context.open_warehouse() as warehouse,
        ):
            tables, statements = PushTables(options.schema), Statements(warehouse)
            store = context.online.store_id(context.prefix)
            states = StateStore(statements, tables, prefix.removesuffix(":"), store)
            mark = context.online.mark(prefix)
            if mark is not None and not options.take_over:
                _check_ours(reference, mark, warehouse.place, warehouse_id(statements, tables), states)
            writer = context.online.writer(lease, context.online.facts("server")["run_id"])
            with context.online.translating():
                deleted = sum(writer.delete(keys) for keys in context.online.keys(prefix))
                writer.change(partial(_forget, views=views_key(context.prefix), reference=reference, prefix=prefix))
            with warehouse.transaction():
                states.forget()
        yield Pushed(feature_view=reference, deleted=deleted, is_pruned=True)


def _check_ours(reference: str, mark: Mark, place: str, name: str, states: StateStore) -> None:
    """Check that a mark is of this warehouse, by its address and its id; an older version's, by the push.

    Raises:
        OnlineStoreError: It is another's.
    """
    is_named = mark.warehouse_id == name if mark.warehouse_id else mark.push in states.read().pushes
    if not is_named or not mark.warehouse.startswith(f"{place} "):
        raise OnlineStoreError(
            f"{reference} in Redis was pushed from {mark.warehouse}, another warehouse than this at {place}; "
            "remove it all the same with --take-over"
        )


def _forget(pipeline: Any, *, views: str, reference: str, prefix: str) -> None:
    pipeline.delete(schema_key(prefix), mark_key(prefix))
    pipeline.srem(views, reference)
