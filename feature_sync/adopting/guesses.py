"""Guesses about one model, with the counts: the input of all rules."""

from __future__ import annotations

from dataclasses import dataclass

from feature_sync.adopting import words
from feature_sync.adopting.counts import Counts, TimeCounts
from feature_sync.adopting.evidence import Table, TableColumn
from feature_sync.yaml_lines import Line

_LAST_CHANGE_FIRST = (words.UPDATED, words.CREATED, words.INSERTED, words.LOADED)
_FEWEST_ROWS = 2
"""The fewest rows that can show whether keys repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyGuess:
    """The columns that identify an entity, and why.

    `is_of_rows`: they identify a single row, by declaration, name or counts. `times`: time columns that are declared
    unique together with them.
    """

    columns: tuple[TableColumn, ...]
    reason: str
    is_of_rows: bool = False
    times: tuple[TableColumn, ...] = ()

    @property
    def names(self) -> str:
        """The names of the columns, joined by "and" for messages."""
        return " and ".join(column.name for column in self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeGuess:
    """A time column, and why it was chosen; certain if the user or the project names it."""

    column: TableColumn
    reason: str
    is_certain: bool = False

    @property
    def written_order(self) -> int:
        """The rank among times of writing: the last change first, then creation, insertion and loading."""
        return _LAST_CHANGE_FIRST.index(words.written_rank(self.column.name) or words.LOADED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guesses:
    """A model's keys, candidate times, chosen event time, and counts (None if the warehouse was not queried).

    `event_time` is None if the model keeps validity, or if it is overwritten.
    """

    table: Table
    keys: KeyGuess
    entities: tuple[Line, ...]
    times: tuple[TimeGuess, ...]
    counts: Counts | None
    event_time: TimeGuess | None = None

    @property
    def starts_at(self) -> TableColumn | None:
        """The column of the event time, or of the start of validity; None if the model is overwritten."""
        if self.table.validity is not None:
            return self.table.validity[0]
        return None if self.event_time is None else self.event_time.column

    @property
    def is_overwritten(self) -> bool:
        """True if the model keeps one row for each entity and no history."""
        return self.event_time is None and not self.table.keeps_validity

    @property
    def has_enough_rows(self) -> bool:
        """True if enough rows were counted to show whether keys repeat."""
        return self.counts is not None and self.counts.rows >= _FEWEST_ROWS

    @property
    def repeats(self) -> bool:
        """True if an entity has several rows."""
        return self.counts is not None and self.counts.rows > self.counts.entities

    @property
    def in_numbers(self) -> str:
        """The numbers of rows and entities, as text."""
        if self.counts is None:
            return "not counted"
        return f"{self.counts.rows:,} rows of {self.counts.entities:,} {self.keys.names}"

    def counts_of(self, guess: TimeGuess | None) -> TimeCounts | None:
        """Return the counts of a time; None if it was not counted."""
        return None if guess is None or self.counts is None else self.counts.times.get(guess.column.name)
