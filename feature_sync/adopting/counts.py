"""Counts of a model's rows, entities and times: the evidence of the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from feature_sync.value_types import EPOCH

_NONE = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeCounts:
    """Counts of one time column.

    `timed`: rows in which it is not null. `moments`: its distinct values within each entity, summed. `first` and
    `last`: its extremes.
    """

    timed: int
    moments: int
    first: datetime | None = None
    last: datetime | None = None

    @property
    def span(self) -> timedelta:
        """The time between the first and the last."""
        return self.last - self.first if self.first and self.last else _NONE

    @property
    def are_midnights(self) -> bool:
        """True if the first and the last are different midnights, as where days are stored as timestamps."""
        return self.span > _NONE and all(
            end is not None and (end - EPOCH) % timedelta(days=1) == _NONE for end in (self.first, self.last)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts of the rows that have a key, of the entities they belong to, and of their times by column."""

    rows: int
    entities: int
    now: datetime
    times: Mapping[str, TimeCounts]
