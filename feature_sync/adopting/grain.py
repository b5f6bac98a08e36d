"""What the rows of a table are: what identifies them, how often that comes back, and which times they have."""

from __future__ import annotations

from dataclasses import dataclass

from feature_sync.adopting.counting import Counts, TimeCounts
from feature_sync.adopting.keys import KeyGuess
from feature_sync.adopting.times import TimeGuess

_FEWEST_TELLING = 2
"""The fewest rows that can tell whether keys repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grain:
    """The keys of a table, what the warehouse counted (None where it was not asked), and the times beside the keys."""

    keys: KeyGuess
    counts: Counts | None
    times: tuple[TimeGuess, ...]

    @property
    def are_counts_telling(self) -> bool:
        """Whether there are rows enough to tell whether keys repeat."""
        return self.counts is not None and self.counts.rows >= _FEWEST_TELLING

    @property
    def repeats(self) -> bool:
        """Whether an entity has several rows."""
        return self.counts is not None and self.counts.rows > self.counts.entities

    @property
    def in_numbers(self) -> str:
        """How many rows there are of how many entities."""
        if self.counts is None:
            return "not counted"
        return f"{self.counts.rows:,} rows of {self.counts.entities:,} {self.keys.spoken}"

    def counts_of(self, guess: TimeGuess | None) -> TimeCounts | None:
        """What was counted of a time."""
        return None if guess is None or self.counts is None else self.counts.times.get(guess.column.name)
