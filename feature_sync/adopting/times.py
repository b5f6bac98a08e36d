"""Guesses which column says when a row was complete, and which when it was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feature_sync.adopting.counting import Counts, TimeCounts
from feature_sync.adopting.names import NO_TIME, happened_rank, words, written_rank
from feature_sync.adopting.table import Table, TableColumn
from feature_sync.errors import RequestError

_MOST_COUNTED = 3
_UPDATED_FIRST = (2, 3, 1, 0)
"""Of times of writing, which is the best event time: the last change, then the creation, then the loading."""
_LONG = {"week": "7d", "month": "31d", "quarter": "92d", "year": "366d"}
_DATES = ("date", "day", "on", *_LONG)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeGuess:
    """A column of time, and why it is the one; certain where the project's own word says so."""

    column: TableColumn
    reason: str
    is_certain: bool = False


def event_times(table: Table) -> list[TimeGuess]:
    """List the columns that may say when a row was complete, the likeliest first: by the project's word, then names."""
    if table.keeps_validity:
        return []
    if table.configured_time is not None:
        return [TimeGuess(column=table.configured_time, reason="as configured")]
    found = [column for column in table.facts() if _may_be_time(column) and written_rank(column.name) is None]
    found.sort(key=lambda column: (happened_rank(column.name), column.is_date))
    if found:
        return [TimeGuess(column=each, reason=_reason(each, found)) for each in found]
    written = [column for column in table.facts() if _may_be_time(column)]
    written.sort(key=lambda column: _UPDATED_FIRST.index(written_rank(column.name) or 0))
    return [TimeGuess(column=each, reason="there is only the time of writing") for each in written]


def to_count(guesses: Sequence[TimeGuess]) -> list[TableColumn]:
    """Choose the columns that are worth counting."""
    return [guess.column for guess in guesses[:_MOST_COUNTED] if guess.column.is_time]


def best_time(table: Table, guesses: Sequence[TimeGuess], counts: Counts | None) -> TimeGuess:
    """Choose the event time: by name, then by whether it is there in all rows, then by whether it tells them apart.

    Raises:
        RequestError: There is none, or several of which nothing tells the likeliest.
    """
    if not guesses:
        raise RequestError(f"{table.relation.location}: {_without_time(table)}")
    times = counts.times if counts is not None else {}
    rows = counts.rows if counts is not None else 0

    def rank(guess: TimeGuess) -> tuple[bool, bool, int, bool, bool]:
        counted = times.get(guess.column.name) or TimeCounts(timed=rows, moments=rows)
        mostly_null = counted.timed < rows / 2
        name_rank = happened_rank(guess.column.name)
        return not guess.is_certain, mostly_null, name_rank, counted.timed < rows, counted.moments < counted.timed

    best, *others = sorted(guesses, key=rank)
    if happened_rank(best.column.name) == NO_TIME and any(rank(each) == rank(best) for each in others):
        names = ", ".join(guess.column.name for guess in guesses)
        raise RequestError(
            f"{table.relation.location}: which of its times says when a row was complete? Name it with "
            f"--event-time COLUMN, of {names}"
        )
    return best


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


def _without_time(table: Table) -> str:
    unfit = [
        f"{column.name} ({column.data_type})"
        for column in table.facts()
        if column.data_type and not column.is_time and happened_rank(column.name) < NO_TIME
    ]
    if unfit:
        return f"no column of it is a time; {', '.join(unfit)} is named like one: cast it in the model"
    columns = ", ".join(f"{column.name} {column.data_type or ''}".rstrip() for column in table.facts())
    return f"no column of it is a time: {columns}; add one to the model that says when a row was complete"
