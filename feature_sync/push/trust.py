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
    """What a push is about: the view, where its rows come from, and the fingerprint of all that decides about them."""

    reference: str
    place: str
    definition: str
    options: PushOptions


def why_full(facts: RedisFacts, state: State, expected: Expected) -> str | None:
    """Say why changes would not do; None where they do.

    Raises:
        OnlineStoreError: The keys in Redis are another warehouse's.
    """
    mark, known = facts.mark, state.committed
    if mark is not None and mark.warehouse != expected.place:
        if not expected.options.take_over:
            raise OnlineStoreError(
                f"{expected.reference} in Redis was pushed from {mark.warehouse}, not from {expected.place}; "
                "use another key prefix, or adopt its keys with --take-over"
            )
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


def _is_followed(mark: Mark | None, state: State) -> bool:
    """Tell whether Redis holds what was committed, but for keys that an unfinished push has on its list."""
    known, unfinished = state.committed, state.unfinished
    if mark is None or known is None or (unfinished is not None and unfinished.is_full):
        return False
    if (mark.push, mark.status) == (known.push, DONE):
        return True
    return unfinished is not None and mark.push in unfinished.pushes
