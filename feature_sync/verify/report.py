"""The results of a verification: counts and examples of differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from feature_sync.reports import Report, columns_of

Progress = Callable[[str, int], None]
"""Called with a view's reference and the number of rows compared so far."""


class Kind(StrEnum):
    """How one entity's row in Redis compares with the warehouse's answer."""

    DIFFERENT = "different"
    """Both have a row, but not the same."""
    MISSING = "missing"
    """Only the warehouse has a row."""
    EXTRA = "extra"
    """Redis has a key for which the warehouse has no row that answers."""
    EXPIRED = "expired"
    """The row's TTL has ended: Redis has removed it, or readers ignore it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An example of a difference, at one Redis key.

    `about` says what differs; `feature` is the feature that it concerns, None if it concerns the whole row. `warehouse`
    and `redis` are the two values, None if they are redacted or if no values are compared.
    """

    kind: Kind
    key: str
    feature: str | None = None
    about: str
    warehouse: Any = None
    redis: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureCounts:
    """In how many rows a feature matches, and in how many it does not."""

    matching: int = 0
    different: int = 0
    missing: int = 0
    extra: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The result of verifying one feature view at the moment `as_of`.

    `problems` concern the view as a whole; `notes` explain the counts. `overdue` counts the `expired` rows that should
    have been removed earlier: these are differences too. Of the `different` rows, `event_timestamps` counts those whose
    event timestamps differ, `expiries` those that expire in Redis at the wrong time. With a `sample` (a number of
    entities), extra rows were not searched for. `ahead` counts the keys where the stream of the view wrote, or deleted,
    last, by a message that the warehouse had not seen at the last push: no differences, and in none of the counts.
    """

    feature_view: str
    as_of: datetime
    is_equal: bool
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sample: int | None = None
    matching: int = 0
    different: int = 0
    missing: int = 0
    extra: int = 0
    expired: int = 0
    overdue: int = 0
    ahead: int = 0
    event_timestamps: int = 0
    expiries: int = 0
    features: Mapping[str, FeatureCounts] = field(default_factory=dict)
    examples: tuple[Difference, ...] = ()
    are_values_redacted: bool = False
    duration_seconds: float = 0


class VerifyReport(Report[Verified]):
    """The result of verifying each feature view."""

    __slots__ = ()
    columns = columns_of(Verified, without=("features", "examples", "are_values_redacted", "duration_seconds"))

    @property
    def is_equal(self) -> bool:
        """True if Redis equals the warehouse in every view."""
        return all(each.is_equal for each in self)
