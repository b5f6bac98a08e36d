"""Guesses the column that says when a row was complete: lists candidates by name, then ranks them by counts.

A time *repeats* if it is the same in several rows of one entity; then it does not show which of them is newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias

from feature_sync.adopting import words
from feature_sync.adopting.counts import TimeCounts
from feature_sync.adopting.evidence import Table, TableColumn
from feature_sync.adopting.guesses import Guesses, KeyGuess, TimeGuess
from feature_sync.errors import RequestError

_MOST_COUNTED = 6
_MOST_WRITTEN = 2
_ZONES = timedelta(days=1)
"""How far ahead of the clock a local time may be when it is read as UTC."""
_FEW_TIES = 0.9
"""The share of the rows that an event time must distinguish at least; a few may share a moment by chance."""
_Rank: TypeAlias = tuple[tuple[bool, ...], int, tuple[Any, ...]]
"""Evidence, name and the rest: the lowest rank is the likeliest time."""


def candidate_times(table: Table, asked: str | None) -> list[TimeGuess]:
    """List the columns that may be the event time, likeliest first and times of writing last.

    Args:
        table: The evidence.
        asked: The column that the user names; None to guess.

    Raises:
        RequestError: The column that the user or the project names is missing, or is not a time.
    """
    if asked:
        return [TimeGuess(column=_asked_time(table, asked), reason="as asked", is_certain=True)]
    if table.keeps_validity:
        return []
    if table.configured_time is not None:
        return [TimeGuess(column=table.configured_time, reason="as configured", is_certain=True)]
    times = [column for column in table.data_columns if column.may_be_time]
    found = [column for column in times if not (column.is_named_as_written or words.is_planned_or_birth(column.name))]
    found.sort(key=lambda column: (words.happened_rank(column.name), words.end_rank(column.name), column.is_of("date")))
    why = "the time of writing, since no other distinguishes its rows" if found else "the only times are of writing"
    written = [TimeGuess(column=each, reason=why) for each in times if each.is_named_as_written]
    written.sort(key=lambda guess: guess.written_order)
    return [*(TimeGuess(column=each, reason=_reason(each, found)) for each in found), *written]


def times_beside(keys: KeyGuess, candidates: Sequence[TimeGuess]) -> tuple[TimeGuess, ...]:
    """Return the candidates to count, without keys; those declared unique together with the keys come first."""
    reason = f"with {keys.names} in {keys.reason}"
    times = [
        TimeGuess(column=each.column, reason=reason, is_certain=True) if each.column in keys.times else each
        for each in candidates
        if each.column not in keys.columns
    ]
    times.sort(key=lambda guess: not guess.is_certain)
    written = [guess for guess in times if guess.column.is_named_as_written]
    others = [guess for guess in times if not guess.column.is_named_as_written]
    return (*others[:_MOST_COUNTED], *written[:_MOST_WRITTEN])


def choose_time(guesses: Guesses, *, is_asked: bool) -> TimeGuess | None:
    """Choose the event time; None if the model keeps validity, or has one row for each entity and no history.

    Args:
        guesses: The guesses so far, without an event time.
        is_asked: The user names the event time.

    Raises:
        RequestError: No column is likely, or several are equally likely.
    """
    is_single = not (guesses.repeats or is_asked or _keeps_history(guesses))
    if guesses.table.keeps_validity or is_single:
        return None
    try:
        return _best_time(guesses)
    except RequestError as unknown:
        if not guesses.repeats or guesses.times:
            raise
        raise RequestError(f"{unknown}; {guesses.in_numbers}: name a key that is unique with --entity") from unknown


def likely_times(guesses: Guesses) -> list[TimeGuess]:
    """Return the times that no count rules out, likeliest first."""
    found = [guess for guess in guesses.times if guess.is_certain or doubt(guess, guesses) is None]
    return sorted(found, key=lambda guess: _rank(guess, guesses))


def doubt(guess: TimeGuess, guesses: Guesses) -> str | None:
    """Return why the counts rule out a time as event time; None if they do not."""
    counts, counted = guesses.counts, guesses.counts_of(guess)
    if counts is None or counted is None:
        return None
    if guesses.repeats and counted.moments <= counts.entities and counted.moments < counted.timed:
        return f"{guess.column.name} is the same in all rows of a {guesses.keys.names}"
    if counted.last is not None and counted.last > counts.now + _ZONES:
        return f"{guess.column.name} goes on until {counted.last:%Y-%m-%d}, which is in the future"
    return None


def _rank(guess: TimeGuess, guesses: Guesses) -> _Rank:
    """Return the rank of a time, lowest for the likeliest: strong evidence first, then the name, then weak evidence."""
    rows = guesses.counts.rows if guesses.counts is not None else 0
    counted = guesses.counts_of(guess) or TimeCounts(timed=rows, moments=rows)
    name, is_written = guess.column.name, guess.column.is_named_as_written
    evidence = (
        not guess.is_certain,
        counted.timed < rows / 2,  # mostly null
        counted.moments < counted.timed / 2,  # mostly repeats
        is_written,
        counted.moments < counted.timed * _FEW_TIES,  # often repeats
    )
    rest = (
        words.end_rank(name),
        counted.timed < rows,  # has nulls
        counted.moments < counted.timed,  # repeats at all
        guess.column.is_of("date"),
        guesses.counts.now - counted.last if guesses.counts and counted.last else timedelta(0),  # the last wins
    )
    return evidence, guess.written_order if is_written else words.happened_rank(name), rest


def _best_time(guesses: Guesses) -> TimeGuess:
    if not guesses.times:
        raise guesses.table.error(_why_no_time(guesses.table))
    doubts = [each for guess in guesses.times if (each := doubt(guess, guesses))]
    if not (likely := likely_times(guesses)):
        raise _ambiguous(guesses, f" ({'; '.join(doubts)})")
    best, *others = likely
    evidence, name, _ = _rank(best, guesses)
    if name == words.NO_TIME and any(_rank(each, guesses)[0] == evidence for each in others):
        raise _ambiguous(guesses)
    is_written = best.column.is_named_as_written
    return replace(best, reason=f"the time of writing, since {doubts[0]}") if is_written and doubts else best


def _keeps_history(guesses: Guesses) -> bool:
    """True if rows are kept rather than overwritten, although no key repeats."""
    configured = guesses.table.configured_time
    if guesses.keys.times or (configured is not None and configured.is_of("date")):
        return True  # a date needs a lag, which latest_only does not allow
    return bool(likely_times(guesses)) and not (guesses.has_enough_rows or guesses.keys.is_of_rows)


def _asked_time(table: Table, name: str) -> TableColumn:
    if table.keeps_validity:
        raise table.error("its rows hold from one moment until another, as a snapshot's do; leave out --event-time")
    column, configured = table.column(name), table.configured_time
    if configured is not None and configured != column:
        raise table.error(
            f"config.event_time is {configured.name!r} already; change it there, or leave out --event-time"
        )
    if column.data_type is not None and not column.is_time:
        raise table.error(f"{column.name} is {column.data_type}, which is not a time; cast it in the model")
    return column


def _reason(column: TableColumn, found: Sequence[TableColumn]) -> str:
    if column.is_named_as_event:
        return "its name says when it happened"
    return "the only time in it" if len(found) == 1 else "a time"


def _ambiguous(guesses: Guesses, why: str = "") -> RequestError:
    names = ", ".join(guess.column.name for guess in guesses.times)
    return guesses.table.error(
        f"which of its times says when a row was complete{why}? Name it with --event-time COLUMN, of {names}; "
        f"if a row describes something else than {guesses.keys.names}, pass --entity NAME=COLUMN"
    )


def _why_no_time(table: Table) -> str:
    if table.uncast_times:
        return f"no column of it is a time; {table.uncast_times} is named like one: cast it in the model"
    if times := [column.name for column in table.data_columns if column.is_time]:
        names = ", ".join(times)
        return f"none of its times, by their names, says when a row was complete; name it with --event-time, of {names}"
    columns = ", ".join(f"{column.name} {column.data_type or ''}".rstrip() for column in table.data_columns)
    return f"no column of it is a time: {columns}; add one to the model that says when a row was complete"
