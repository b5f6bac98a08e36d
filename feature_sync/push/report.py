"""What a push is asked to do, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypedDict

from feature_sync.reports import Report, columns_of

_BYTES_PER_ENTRY = 80
"""What Redis and Valkey add to key and value: about 80 bytes for a key that expires, measured on Valkey 9."""

Progress = Callable[[str, int], None]
"""Called with a view's reference and the number of rows that it has written so far."""


class PushKeywords(TypedDict, total=False):
    """The fields of `PushOptions` that a caller chooses, as keyword arguments."""

    full_refresh: bool
    allow_removals: bool
    take_over: bool
    allow_eviction: bool
    wait: bool
    dry_run: bool
    lease: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """How to push.

    Args:
        full_refresh: Send every row, not only what changed.
        allow_removals: Let a push remove more than 30% of a view's entities.
        take_over: Adopt keys that another warehouse or table pushed.
        allow_eviction: Push to a Redis that may evict keys.
        wait: Wait for another push of the same view, in place of failing.
        dry_run: Report what a push would do; write nothing.
        lease: How long Redis waits for a pusher that shows no sign of life.
        state_schema: Schema of the states and staging tables in the warehouse.
    """

    full_refresh: bool = False
    allow_removals: bool = False
    take_over: bool = False
    allow_eviction: bool = False
    wait: bool = False
    dry_run: bool = False
    lease: timedelta = timedelta(seconds=30)
    state_schema: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What became of one feature view, or in a dry run, what would.

    `held_back` says why nothing was written, `failed` what went wrong. `full` says why every row was sent; None where
    only changes were. `kept` counts the rows that Redis held already. `sent_bytes` are those of the keys and values
    written, `scan_bytes` those that the warehouse would read, where it says so beforehand. `push` is the id of the
    push. `phase_seconds` holds the duration of each phase: stage, send and commit.
    """

    feature_view: str
    written: int = 0
    deleted: int = 0
    kept: int = 0
    sent_bytes: int = 0
    scan_bytes: int | None = None
    held_back: str | None = None
    failed: str | None = None
    full: str | None = None
    push: str | None = None
    is_dry_run: bool = False
    is_pruned: bool = False
    phase_seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def duration_seconds(self) -> float:
        """How long all phases took."""
        return round(sum(self.phase_seconds.values()), 3)

    @property
    def memory_bytes(self) -> int:
        """About how much memory Redis needs for what was written."""
        return self.sent_bytes + self.written * _BYTES_PER_ENTRY


class PushReport(Report[Pushed]):
    """What became of each feature view of a push, in the order in which they ended."""

    __slots__ = ()
    columns = columns_of(Pushed, without=("push", "is_dry_run", "is_pruned", "phase_seconds"))
