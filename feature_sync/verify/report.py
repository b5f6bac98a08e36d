"""What a verification found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from feature_sync.reports import Report, columns_of

Progress = Callable[[str, int], None]
"""Called with a view's reference and the number of rows that were compared so far."""


class Kind(StrEnum):
    """How one entity's row in Redis stands to the warehouse's answer."""

    DIFFERENT = "different"
    """Both have a row, but not the same."""
    MISSING = "missing"
    """The warehouse has a row, Redis has none."""
    EXTRA = "extra"
    """Redis has something where the warehouse has no row that answers."""
    EXPIRED = "expired"
    """A row whose TTL has ended: Redis has it no more, or no reader takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An example: the key of a row in Redis, and what is not as it should be there.

    That is a `feature`, or what `about` says. Where values are redacted, or there is none, both sides are None.
    """

    kind: Kind
    key: str
    feature: str | None = None
    about: str
    warehouse: Any = None
    redis: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureCounts:
    """In how many rows a feature is as it should be, and in how many it is not."""

    matching: int = 0
    different: int = 0
    missing: int = 0
    extra: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What the verification of one feature view found, for the moment `as_of`.

    `problems` say what is wrong with the view as a whole, `notes` what a reader of the counts should know. `overdue`
    counts those of the `expired` that should have been gone before: they are differences too. Of the different rows,
    `event_timestamps` differ in that, and `expiries` in the moment at which Redis lets them expire. In a `sample`
    nobody looked for extra rows.
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
    event_timestamps: int = 0
    expiries: int = 0
    features: Mapping[str, FeatureCounts] = field(default_factory=dict)
    examples: tuple[Difference, ...] = ()
    are_values_redacted: bool = False
    duration_seconds: float = 0


class VerifyReport(Report[Verified]):
    """What the verification of each feature view found."""

    __slots__ = ()
    columns = columns_of(Verified, without=("features", "examples", "are_values_redacted", "duration_seconds"))

    @property
    def is_equal(self) -> bool:
        """True if Redis equals the warehouse in every view."""
        return all(each.is_equal for each in self)
