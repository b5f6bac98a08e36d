"""What a push is asked to do, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

_BYTES_PER_ENTRY = 80
"""What Redis and Valkey add to key and value: about 80 bytes for a key that expires, measured on Valkey 9."""

Progress = Callable[[str, int], None]
"""Called with a view's reference and the number of rows that it has written so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """How to push.

    `full_refresh` sends every row. `allow_removals` lets a push remove a large share of a view. `take_over` adopts keys
    that another warehouse pushed. `allow_eviction` accepts a Redis that may evict keys. `wait` waits for another pusher
    of the same view. `dry_run` only tells what a push would do. `lease` is how long Redis waits for a pusher that gives
    no sign of life. `schema` is where state and staging stand in the warehouse.
    """

    full_refresh: bool = False
    allow_removals: bool = False
    take_over: bool = False
    allow_eviction: bool = False
    wait: bool = False
    dry_run: bool = False
    lease: timedelta = timedelta(seconds=30)
    schema: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What became of one feature view, or in a dry run, what would.

    `held_back` says why nothing was written, `failed` what went wrong. `full` says why every row was sent; None where
    only changes were. `kept` counts the rows that Redis held already. `bytes` are those of the keys and values written.
    `bytes_to_scan` are those that the warehouse would read, where it says so beforehand. `push` is the id
    of the push. `seconds` holds the duration of each phase: stage, send and commit.
    """

    feature_view: str
    written: int = 0
    deleted: int = 0
    kept: int = 0
    bytes: int = 0
    bytes_to_scan: int | None = None
    held_back: str | None = None
    failed: str | None = None
    full: str | None = None
    push: str | None = None
    is_dry_run: bool = False
    is_pruned: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def memory(self) -> int:
        """About how much memory Redis needs for what was written, in bytes."""
        return self.bytes + self.written * _BYTES_PER_ENTRY
