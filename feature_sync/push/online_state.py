"""Reads what the online store holds of a view before a push, and checks that the push may go there."""

from __future__ import annotations

from collections.abc import Sequence

from feature_sync.clock import Clock
from feature_sync.definitions import FeatureView
from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import OnlineView, ServerState
from feature_sync.online.codec import RowSchema
from feature_sync.online.marks import SlotMark
from feature_sync.push.breaking import check_served
from feature_sync.push.context import PushContext
from feature_sync.push.plan import OnlineState
from feature_sync.push.streamed import check_stream


def read_online_state(view: FeatureView, schema: RowSchema, context: PushContext, server: ServerState) -> OnlineState:
    """Read the online store before a push, after checking that it keeps what it holds.

    Args:
        view: The view to be pushed.
        schema: The schema of its rows.
        context: How to push.
        server: What the server reported.

    Raises:
        BreakingChange: A feature service that is served would lose what it reads.
        OnlineStoreError: It may evict keys, holds rows that were pushed at the other kind of clock, or does not go
            with the stream of the view.
    """
    options, online = context.options, context.online
    if server.may_evict and not options.allow_eviction:
        raise OnlineStoreError(
            f"Redis may evict keys ({server.eviction_policy}), which no push would notice in "
            "time; set noeviction, or accept it with --allow-eviction"
        )
    check_stream(view, server, context.clock)
    held = online.view(view.reference)
    if not options.full_refresh:
        _check_clock(held, context.clock)
    if not options.allow_breaking:
        check_served(online, view.reference, schema)
    record = held.stream_record()
    return OnlineState(
        store=online.store_id(create=not options.dry_run),
        server=server,
        mark=held.mark(),
        topic=None if record is None else record.snapshot.topic,
        slots=_slot_marks(held, schema),
    )


def _slot_marks(view: OnlineView, schema: RowSchema) -> Sequence[SlotMark | None] | None:
    """Read the marks of a cluster's slots; none can be trusted if the schema of the rows is lost with its slot."""
    marks = view.slot_marks()
    if marks is not None and schema.id not in view.schemas():
        return [None] * len(marks)
    return marks


def _check_clock(view: OnlineView, clock: Clock) -> None:
    """Raise if rows of a fixed clock, which never expire, would mix with rows of the real one."""
    for schema in view.schemas(strict=True).values():
        if (schema.as_of is not None) != clock.is_fixed:
            before = "the real clock" if schema.as_of is None else f"the fixed clock {schema.as_of:%Y-%m-%d %H:%M:%S}Z"
            raise OnlineStoreError(
                f"{view.reference} was pushed at {before}; add --full-refresh to push at the other kind of clock"
            )
