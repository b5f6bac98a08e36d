"""The plan of a push: nothing, changes, or all rows, and why. It is pure: what Redis and the warehouse say goes in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import ServerState
from feature_sync.online.marks import DONE, Mark
from feature_sync.push.report import PushOptions
from feature_sync.push.state import State


class Action(StrEnum):
    """What a push does."""

    SKIP = "skip"
    SEND_CHANGES = "send changes"
    SEND_ALL = "send all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a push does, and why."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineState:
    """What the online store says before a push: its id, its server, and its mark for the view."""

    store: str
    server: ServerState
    mark: Mark | None

    def has_evicted(self, mark: Mark) -> bool:
        """True if keys may be gone since a mark; nobody knows of an earlier run of the server."""
        server = self.server
        return server.evicted_keys != mark.evicted_keys or (server.may_evict and server.run_id != mark.run_id)


class Candidates(NamedTuple):
    """The rows that could answer at the moment of a push: how many, and the sum of their hashes as text."""

    rows: int
    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a push is about: the view, where its rows come from, and the fingerprint of all that decides about them.

    `address` is one which another warehouse may have tomorrow; `warehouse_id` is kept in the warehouse itself,
    empty before its first push.
    """

    reference: str
    address: str
    warehouse_id: str
    definition: str
    options: PushOptions


def plan_push(online: OnlineState, state: State, expected: Expected, candidates: Candidates | None) -> Plan:
    """Decide what a push does: changes do only if Redis and the warehouse tell the same story of what Redis holds.

    Args:
        online: What the online store says.
        state: What the warehouse remembers of earlier pushes.
        expected: What the push is about.
        candidates: The rows that could answer now; None where they are not counted, and so nothing can be skipped.

    Raises:
        OnlineStoreError: The keys in Redis are another warehouse's.
    """
    check_owner(online, state, expected)
    known = state.committed
    reason = _why_all(online, state, expected)
    if reason is not None or known is None:
        return Plan(action=Action.SEND_ALL, reason=reason or "first push")
    if state.unfinished is None and candidates == Candidates(known.candidates, known.digest):
        return Plan(action=Action.SKIP, reason="the rows that could answer are those of the last push")
    return Plan(action=Action.SEND_CHANGES, reason="Redis holds the rows of the last push")


def check_owner(online: OnlineState, state: State, expected: Expected) -> None:
    """Check that what Redis holds is of this warehouse, or is to be taken over; costs nothing.

    Raises:
        OnlineStoreError: It is another warehouse's.
    """
    foreign = None if online.mark is None else _why_foreign(online.mark, state, expected)
    if foreign is not None and not expected.options.take_over:
        raise OnlineStoreError(f"{expected.reference} in Redis was pushed from {foreign}")


def _why_all(online: OnlineState, state: State, expected: Expected) -> str | None:
    """Say why changes would not do; None where they do."""
    mark, known = online.mark, state.committed
    reasons = {
        "taken over from another warehouse": mark is not None and _why_foreign(mark, state, expected) is not None,
        "--full-refresh": expected.options.full_refresh,
        "first push": mark is None and known is None,
        "Redis has lost what was pushed before": mark is None,
        "the warehouse has no record of what Redis holds": known is None,
        "its definition has changed": known is not None and known.definition != expected.definition,
        "Redis has evicted keys, or may have": mark is not None and online.has_evicted(mark),
        "Redis or the warehouse was restored, or a full push did not end": not _is_followed(mark, state),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _why_foreign(mark: Mark, state: State, expected: Expected) -> str | None:
    """Say why a mark is of another warehouse, and what to do; None where it is of this one.

    A mark without an id, of an older version, is of the warehouse that remembers its push.
    """
    if mark.warehouse != expected.address:
        return (
            f"{mark.warehouse}, not from {expected.address}; use another key prefix, or adopt its keys with --take-over"
        )
    cure = "use another key prefix; or if this one has taken its place, adopt its keys with --take-over"
    if mark.warehouse_id and mark.warehouse_id != expected.warehouse_id:
        return (
            f"another warehouse at the same address, {mark.warehouse}: its id was {mark.warehouse_id}, this one's is "
            f"{expected.warehouse_id or 'not chosen yet'} ({expected.options.state_schema} may be new); {cure}"
        )
    if not mark.warehouse_id and mark.push not in state.pushes:
        return f"{mark.warehouse} by an older version, in a push that this warehouse has no record of; {cure}"
    return None


def _is_followed(mark: Mark | None, state: State) -> bool:
    """True if Redis holds what was committed, except for keys that an unfinished push has on its list."""
    known, unfinished = state.committed, state.unfinished
    if mark is None or known is None or (unfinished is not None and unfinished.is_full):
        return False
    if (mark.push, mark.status) == (known.push, DONE):
        return True
    return unfinished is not None and mark.push in unfinished.pushes
