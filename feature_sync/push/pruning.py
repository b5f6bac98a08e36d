"""Finds the views that Redis holds and the project no longer defines, and removes them on request."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from feature_sync.errors import OnlineStoreError
from feature_sync.online.marks import Mark
from feature_sync.push.context import PushContext
from feature_sync.push.report import Pushed
from feature_sync.push.state import StateStore, warehouse_id
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.push.state_schema import PushTables


def unreferenced_views(context: PushContext, defined: Collection[str]) -> list[str]:
    """List the references of views that were pushed and are not in `defined`, sorted."""
    return sorted(context.online.references() - set(defined))


def prune(context: PushContext, references: Collection[str]) -> Iterator[Pushed]:
    """Remove views from Redis, with their state in the warehouse; yields what was done, view by view.

    Raises:
        LeaseHeld: Another push of such a view is under way.
        OnlineStoreError: Redis failed, or the view belongs to another warehouse.
        WarehouseError: The warehouse failed.
    """
    for reference in references:
        options, view = context.options, context.online.view(reference)
        with (
            view.hold(duration=options.lease, wait=options.wait, stopped=lambda: False) as writer,
            context.open_places() as places,
        ):
            tables, runner = PushTables(options.state_schema), QueryRunner(places.state)
            states = StateStore(runner, tables, view.name, context.online.store_id())
            mark = view.mark()
            if mark is not None and not options.take_over:
                _check_ours(reference, mark, places.rows.address, warehouse_id(runner, tables), states)
            writer.check_lease()
            # The state first: should the view come back after a removal that was cut off, a push without a state
            # sends all rows. The reference last: by it the next prune finds what is left. (Only a mark of an older
            # version, without the id of its warehouse, then needs --take-over.)
            with places.state.transaction():
                states.forget()
            if view.stream_record() is not None:
                writer.beside_stream().close_stream()  # so that no stream brings a row back
            deleted = sum(writer.delete(keys) for keys in view.row_keys())
            writer.forget()
        yield Pushed(feature_view=reference, deleted=deleted, is_pruned=True)


def _check_ours(reference: str, mark: Mark, address: str, name: str, states: StateStore) -> None:
    """Raise unless a mark belongs to this warehouse, by address and id; without an id, by the push.

    Args:
        reference: The reference of the view.
        mark: The mark in Redis.
        address: The address of this warehouse.
        name: The id of this warehouse.
        states: Its state of the view.

    Raises:
        OnlineStoreError: It belongs to another warehouse.
    """
    is_named = mark.warehouse_id == name if mark.warehouse_id else mark.push in states.read().pushes
    if not is_named or not mark.warehouse.startswith(f"{address} "):
        raise OnlineStoreError(
            f"{reference} in Redis was pushed from {mark.warehouse}, another warehouse than this at {address}; "
            "remove it anyway with --take-over"
        )
