"""Plans a push: nothing, changes, or all rows, and why. Pure: takes what Redis and the warehouse hold as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import ServerState
from feature_sync.online.marks import DONE, SENDING, Mark, SlotMark
from feature_sync.push.report import PushOptions
from feature_sync.push.state import State


class Action(StrEnum):
    """What a push does."""

    SKIP = "skip"
    SEND_CHANGES = "send changes"
    SEND_ALL = "send all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a push does, and why.

    Args:
        action: What it does.
        reason: Why.
        lost: The hash slots of a cluster whose rows are all sent, while of the others only changes are.
    """

    action: Action
    reason: str
    lost: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineState:
    """The online store before a push.

    Args:
        store: Its id.
        server: What its server reports.
        mark: Its mark for the view.
        topic: The topic of the view's stream.
        slots: The marks of the hash slots of a cluster; None if `mark` stands for all rows.
    """

    store: str
    server: ServerState
    mark: Mark | None
    topic: str | None = None
    slots: Sequence[SlotMark | None] | None = None

    def has_evicted(self, mark: Mark) -> bool:
        """True if keys may have been evicted since a mark."""
        server = self.server  # counts its own run's evictions: those of an earlier run are unknown after a restart
        return server.evicted_keys != mark.evicted_keys or (server.may_evict and server.run_id != mark.run_id)


class Candidates(NamedTuple):
    """The rows that could answer at the moment of a push: their number, and the sum of their hashes as text."""

    rows: int
    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a push would record: the view, the source of its rows, and a fingerprint of all that determines them.

    Args:
        reference: The reference of the view.
        address: The address of the warehouse, and the relation. Another warehouse may get the same address later.
        warehouse_id: The random id kept in the warehouse itself; empty before its first push.
        definition: The fingerprint of the definition, the row hash and the staging tables.
        options: How to push.
        topic: The topic of the view's stream; None if it has none.
    """

    reference: str
    address: str
    warehouse_id: str
    definition: str
    options: PushOptions
    topic: str | None = None


def plan_push(online: OnlineState, state: State, expected: Expected, candidates: Candidates | None) -> Plan:
    """Decide what a push does. Changes suffice only if Redis and the warehouse agree about what Redis holds.

    Args:
        online: The online store before the push.
        state: What the warehouse recorded of earlier pushes.
        expected: What the push would record.
        candidates: The rows that could answer now; None if they were not counted, so that nothing can be skipped.

    Raises:
        OnlineStoreError: The keys in Redis belong to another warehouse.
    """
    check_owner(online, state, expected)
    known = state.committed
    reason = _why_all(online, state, expected)
    if reason is not None or known is None:
        return Plan(action=Action.SEND_ALL, reason=reason or "first push")
    lost = lost_slots(online, state)
    if state.unfinished is None and candidates == Candidates(known.candidates, known.digest):
        return Plan(action=Action.SKIP, reason="the rows that could answer are those of the last push", lost=lost)
    return Plan(action=Action.SEND_CHANGES, reason="Redis holds the rows of the last push", lost=lost)


def lost_slots(online: OnlineState, state: State) -> frozenset[int]:
    """Return the hash slots of a cluster whose marks do not follow what was committed; none elsewhere.

    Such a slot has lost its newest writes, as in a failover, or a push did not finish sending all of its rows.
    """
    if online.slots is None:
        return frozenset()
    followed = _followed(state)
    return frozenset(slot for slot, mark in enumerate(online.slots) if mark not in followed)


def check_owner(online: OnlineState, state: State, expected: Expected) -> None:
    """Raise unless Redis holds rows of this warehouse, or they are to be taken over; runs no query.

    Args:
        online: The online store before the push.
        state: What the warehouse recorded of earlier pushes.
        expected: What the push would record.

    Raises:
        OnlineStoreError: The rows belong to another warehouse.
    """
    foreign = None if online.mark is None else _why_foreign(online.mark, state, expected)
    if foreign is not None and not expected.options.take_over:
        raise OnlineStoreError(f"{expected.reference} in Redis was pushed from {foreign}")


def _why_all(online: OnlineState, state: State, expected: Expected) -> str | None:
    """Return why all rows must be sent; None if changes suffice. The first reason that holds is reported."""
    mark, known = online.mark, state.committed
    reasons = {
        "taken over from another warehouse": mark is not None and _why_foreign(mark, state, expected) is not None,
        "--full-refresh": expected.options.full_refresh,
        "first push": mark is None and known is None,
        "Redis has lost what was pushed before": mark is None,
        "the warehouse has no record of what Redis holds": known is None,
        "its definition has changed": known is not None and known.definition != expected.definition,
        "its stream has ended, or reads another topic": online.topic is not None and online.topic != expected.topic,
        "Redis has evicted keys, or may have": mark is not None and online.has_evicted(mark),
        "Redis or the warehouse was restored, or a full push did not end": not _is_any_followed(online, state),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _why_foreign(mark: Mark, state: State, expected: Expected) -> str | None:
    """Return why a mark belongs to another warehouse, and what to do; None if it belongs to this one.

    A mark without an id, of an older version, belongs to the warehouse that recorded its push.
    """
    if mark.warehouse != expected.address:
        return (
            f"{mark.warehouse}, not from {expected.address}; use another key prefix, or adopt its keys with --take-over"
        )
    cure = "use another key prefix; or if this one replaces it, adopt its keys with --take-over"
    if mark.warehouse_id and mark.warehouse_id != expected.warehouse_id:
        return (
            f"another warehouse at the same address, {mark.warehouse}: its id was {mark.warehouse_id}, this one's is "
            f"{expected.warehouse_id or 'not chosen yet'} ({expected.options.state_schema} may be new); {cure}"
        )
    if not mark.warehouse_id and mark.push not in state.pushes:
        return f"{mark.warehouse} by an older version, in a push that this warehouse has no record of; {cure}"
    return None


def _is_any_followed(online: OnlineState, state: State) -> bool:
    """True if Redis holds what was committed, except for changed keys; on a cluster, if some slot does."""
    if online.slots is not None:
        return len(lost_slots(online, state)) < len(online.slots)
    return online.mark is not None and SlotMark(online.mark.status, online.mark.push) in _followed(state)


def _followed(state: State) -> frozenset[SlotMark]:
    """Return the marks of rows that are as committed, except for keys in the change table of an unfinished push."""
    known, unfinished = state.committed, state.unfinished
    # The table of an unfinished full push does not list the keys that it may have deleted.
    if known is None or (unfinished is not None and unfinished.is_full):
        return frozenset()
    pushes = () if unfinished is None else unfinished.pushes
    return frozenset(
        (SlotMark(DONE, known.push), *(SlotMark(each, push) for push in pushes for each in (SENDING, DONE)))
    )
