"""Guesses which column says when a row was complete, and which when it was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feature_sync.adopting.counting import TimeCounts
from feature_sync.adopting.names import (
    NO_TIME,
    end_rank,
    happened_rank,
    is_elsewhen,
    words,
    written_rank,
)
from feature_sync.adopting.table import Table, TableColumn

_MOST_COUNTED = 6
_MOST_WRITTEN = 2
_UPDATED_FIRST = (2, 3, 1, 0)
_LONG = {"week": "7d", "month": "31d", "quarter": "92d", "year": "366d"}
_DATES = ("date", "day", "on", *_LONG)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeGuess:
    """A column of time, and why it is the one; certain where the project's own word says so."""

    column: TableColumn
    reason: str
    is_certain: bool = False

    @property
    def is_written(self) -> bool:
        """Whether it says when a row was written, by its name."""
        return written_rank(self.column.name) is not None

    @property
    def written_order(self) -> int:
        """The place among times of writing: the last change says most, then the creation, then the loading."""
        return _UPDATED_FIRST.index(written_rank(self.column.name) or 0)


def event_times(table: Table) -> list[TimeGuess]:
    """List the columns that may say when a row was complete, the likeliest first; times of writing come last."""
    if table.keeps_validity:
        return []
    if table.configured_time is not None:
        return [TimeGuess(column=table.configured_time, reason="as configured", is_certain=True)]
    times = [column for column in table.facts() if _may_be_time(column)]
    found = [column for column in times if written_rank(column.name) is None and not is_elsewhen(column.name)]
    found.sort(key=lambda column: (happened_rank(column.name), end_rank(column.name), column.is_date))
    why = "the time of writing, for no other tells its rows apart" if found else "there is only the time of writing"
    written = [TimeGuess(column=each, reason=why) for each in times if written_rank(each.name) is not None]
    written.sort(key=lambda guess: guess.written_order)
    return [*(TimeGuess(column=each, reason=_reason(each, found)) for each in found), *written]


def to_count(guesses: Sequence[TimeGuess]) -> list[TimeGuess]:
    """Keep the times that are worth counting, the certain ones first."""
    sure_first = sorted(guesses, key=lambda guess: not guess.is_certain)
    written = [guess for guess in sure_first if guess.is_written]
    return [*[guess for guess in sure_first if not guess.is_written][:_MOST_COUNTED], *written[:_MOST_WRITTEN]]


def created_timestamp(table: Table, event_time: TableColumn | None) -> TimeGuess | None:
    """Guess which column says when a row was written, if another than the event time does."""
    found = [
        column
        for column in table.facts()
        if column != event_time and _may_be_time(column) and written_rank(column.name) is not None
    ]
    found.sort(key=lambda column: written_rank(column.name) or 0)
    return TimeGuess(column=found[0], reason="when the row was written; breaks ties") if found else None


def guess_lag(column: TableColumn, counts: TimeCounts | None) -> tuple[str, str] | None:
    """Guess how long after its event time a row of a day, or longer, is complete, and say why; None for a moment."""
    parts = words(column.name)
    if column.is_date:
        what = "is a date"
    elif counts is not None and counts.are_midnights:
        what = "holds midnights, it seems"
    elif column.data_type is None and parts and parts[-1] in _DATES:
        what = "is a date, by its name"
    else:
        return None
    ends = not {"end", "ended", "ending"}.isdisjoint(parts)
    lag = next((long for word, long in _LONG.items() if word in parts and not ends), "1d")
    period = next((word for word in _LONG if word in parts and not ends), "day")
    return lag, f"{column.name} {what}: a row that sums the {period} is complete when it is over; 0d if it does not"


def _may_be_time(column: TableColumn) -> bool:
    looks_like_one = happened_rank(column.name) < NO_TIME or written_rank(column.name) is not None
    return column.is_time or (column.data_type is None and looks_like_one)


def _reason(column: TableColumn, found: Sequence[TableColumn]) -> str:
    if happened_rank(column.name) < NO_TIME:
        return "its name says when it happened"
    return "the only time in it" if len(found) == 1 else "a time"


def without_time(table: Table) -> str:
    """Say that no column says when a row was complete, and what to do."""
    if uncast := uncast_times(table):
        return f"no column of it is a time; {', '.join(uncast)} is named like one: cast it in the model"
    if times := [column.name for column in table.facts() if column.is_time]:
        names = ", ".join(times)
        return f"none of its times, by their names, says when a row was complete; name it with --event-time, of {names}"
    columns = ", ".join(f"{column.name} {column.data_type or ''}".rstrip() for column in table.facts())
    return f"no column of it is a time: {columns}; add one to the model that says when a row was complete"


def uncast_times(table: Table) -> list[str]:
    """List the columns that are named like times and hold text or numbers, with their types."""
    return [f"{column.name} ({column.data_type})" for column in table.facts() if column.is_uncast_time]
