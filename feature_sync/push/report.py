"""The options of a push, and its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypedDict

from feature_sync.online.rows import BYTES_PER_ENTRY
from feature_sync.reports import Report, columns_of

Progress = Callable[[str, int], None]
"""Called with a view's reference and the number of rows that it has written so far."""


class PushKeywords(TypedDict, total=False):
    """The fields of `PushOptions` that a caller chooses, as keyword arguments."""

    full_refresh: bool
    allow_removals: bool
    allow_breaking: bool
    take_over: bool
    allow_eviction: bool
    wait: bool
    dry_run: bool
    lease: timedelta
    replicas_acknowledge: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """How to push.

    Args:
        full_refresh: Send every row, not only what changed.
        allow_removals: Let a push remove more than 30% of a view's entities.
        allow_breaking: Push what breaks a feature service that Redis serves.
        take_over: Adopt keys that another warehouse or table pushed.
        allow_eviction: Push to a Redis that may evict keys.
        wait: Wait for another push of the same view, instead of failing.
        dry_run: Report what a push would do; write nothing.
        lease: How long Redis waits for a push that no longer renews its lease.
        replicas_acknowledge: How many replicas of each primary must have a push before it is committed; None for one
            where there is one, behind Sentinel and in a cluster.
        state_schema: Schema of the states and staging tables in the warehouse.
    """

    full_refresh: bool = False
    allow_removals: bool = False
    allow_breaking: bool = False
    take_over: bool = False
    allow_eviction: bool = False
    wait: bool = False
    dry_run: bool = False
    lease: timedelta = timedelta(seconds=30)
    replicas_acknowledge: int | None = None
    state_schema: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did with one feature view, or in a dry run, would do.

    Args:
        feature_view: The reference of the view.
        written: How many rows were written.
        deleted: How many rows were deleted.
        kept: How many rows Redis held already.
        sent_bytes: The bytes of the keys and values written.
        scan_bytes: How many bytes the warehouse would read; None if it does not report that beforehand.
        held_back: Why nothing was written; None if the view was not held back.
        failed: What went wrong; None if nothing did.
        full: Why every row was sent; None if only changes were.
        push: The id of the push.
        is_dry_run: True if nothing was written because the push was a dry run.
        is_pruned: True if the view was removed.
        shard_bytes: In a dry run on a cluster, an estimate of the memory that each primary needs for what would be
            written, by its address.
        phase_seconds: The duration of each phase: stage, send and commit.
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
    shard_bytes: Mapping[str, int] = field(default_factory=dict)
    phase_seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def duration_seconds(self) -> float:
        """The duration of all phases."""
        return round(sum(self.phase_seconds.values()), 3)

    @property
    def memory_bytes(self) -> int:
        """An estimate of the memory that Redis needs for what was written."""
        return self.sent_bytes + self.written * BYTES_PER_ENTRY


class PushReport(Report[Pushed]):
    """What a push did with each feature view, in the order in which they ended."""

    __slots__ = ()
    columns = columns_of(Pushed, without=("push", "is_dry_run", "is_pruned", "phase_seconds", "shard_bytes"))
