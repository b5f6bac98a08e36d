"""Whether changes would do: only if Redis and the warehouse tell the same story of what Redis holds."""

from __future__ import annotations

from dataclasses import dataclass

from feature_sync.errors import OnlineStoreError
from feature_sync.online.marks import DONE, Mark
from feature_sync.push.report import PushOptions
from feature_sync.push_state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFacts:
    """What Redis tells before a push: its id, its run, its mark for the view, and whether this run has evicted keys."""

    store: str
    run_id: str
    mark: Mark | None
    evicted_keys: int
    may_evict: bool

    def has_evicted(self, mark: Mark) -> bool:
        """Tell whether keys may be gone since a mark; of an earlier run nobody knows."""
        return self.evicted_keys != mark.evicted_keys or (self.may_evict and self.run_id != mark.run_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a push is about: the view, where its rows come from, and the fingerprint of all that decides about them.

    `place` is an address, which another warehouse may have tomorrow; `warehouse_id` is kept in the warehouse itself,
    empty before its first push.
    """

    reference: str
    place: str
    warehouse_id: str
    definition: str
    options: PushOptions


def why_full(facts: RedisFacts, state: State, expected: Expected) -> str | None:
    """Say why changes would not do; None where they do.

    Raises:
        OnlineStoreError: The keys in Redis are another warehouse's.
    """
    mark, known = facts.mark, state.committed
    if mark is not None and (foreign := _why_foreign(mark, state, expected)) is not None:
        if not expected.options.take_over:
            raise OnlineStoreError(f"{expected.reference} in Redis was pushed from {foreign}")
        return "taken over from another warehouse"
    reasons = {
        "--full-refresh": expected.options.full_refresh,
        "first push": mark is None and known is None,
        "Redis has lost what was pushed before": mark is None,
        "the warehouse has no record of what Redis holds": known is None,
        "its definition has changed": known is not None and known.definition != expected.definition,
        "Redis has evicted keys, or may have": mark is not None and facts.has_evicted(mark),
        "Redis or the warehouse was restored, or a full push did not end": not _is_followed(mark, state),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _why_foreign(mark: Mark, state: State, expected: Expected) -> str | None:
    """Say why a mark is of another warehouse, and what to do; None where it is of this one.

    A mark without an id, of an older version, is of the warehouse that remembers its push.
    """
    if mark.warehouse != expected.place:
        return (
            f"{mark.warehouse}, not from {expected.place}; use another key prefix, or adopt its keys with --take-over"
        )
    cure = "use another key prefix; or if this one has taken its place, adopt its keys with --take-over"
    if mark.warehouse_id and mark.warehouse_id != expected.warehouse_id:
        return (
            f"another warehouse at the same address, {mark.warehouse}: its id was {mark.warehouse_id}, this one's is "
            f"{expected.warehouse_id or 'not chosen yet'} ({expected.options.schema} may be new); {cure}"
        )
    if not mark.warehouse_id and mark.push not in state.pushes:
        return f"{mark.warehouse} by an older version, in a push that this warehouse has no record of; {cure}"
    return None


def _is_followed(mark: Mark | None, state: State) -> bool:
    """Tell whether Redis holds what was committed, but for keys that an unfinished push has on its list."""
    known, unfinished = state.committed, state.unfinished
    if mark is None or known is None or (unfinished is not None and unfinished.is_full):
        return False
    if (mark.push, mark.status) == (known.push, DONE):
        return True
    return unfinished is not None and mark.push in unfinished.pushes
