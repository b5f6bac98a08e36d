"""Weighs the times of a table by names and counts, and chooses the one at which a row was complete."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from feature_sync.adopting.counting import TimeCounts
from feature_sync.adopting.grain import Grain
from feature_sync.adopting.names import NO_TIME, end_rank, happened_rank
from feature_sync.adopting.table import Table
from feature_sync.adopting.times import TimeGuess, without_time
from feature_sync.errors import RequestError

_ZONES = timedelta(days=1)
"""How far ahead of the clock a local time may lie that is read as UTC."""
_FEW_TIES = 0.9
"""The least part of the rows that a time tells apart where a few happen to be of one moment."""


class _Rank(NamedTuple):
    """What speaks against a time, the weightiest first: the lowest is the likeliest.

    To `repeat` is to be the same in several rows of one entity, so that it does not tell which of them is newer.
    """

    is_guess: bool
    is_mostly_null: bool
    repeats_mostly: bool
    is_written: bool
    repeats_often: bool
    name: int
    start: int
    has_nulls: bool
    repeats: bool
    is_date: bool
    earliness: timedelta

    @property
    def evidence(self) -> tuple[object, ...]:
        """All that counts where names say nothing."""
        return self[: self._fields.index("name")]


def likely_times(grain: Grain) -> list[TimeGuess]:
    """List the times that nothing rules out, the likeliest first."""
    found = [guess for guess in grain.times if guess.is_certain or doubt(guess, grain) is None]
    return sorted(found, key=lambda guess: _rank(guess, grain))


def doubt(guess: TimeGuess, grain: Grain) -> str | None:
    """Say why what was counted rules out that rows were complete at a time; None if nothing does."""
    counts, counted = grain.counts, grain.counts_of(guess)
    if counts is None or counted is None:
        return None
    if grain.repeats and counted.moments <= counts.entities and counted.moments < counted.timed:
        return f"{guess.column.name} is the same in all rows of a {grain.keys.spoken}"
    if counted.last is not None and counted.last > counts.now + _ZONES:
        return f"{guess.column.name} goes on until {counted.last:%Y-%m-%d}, which is to come"
    return None


def best_time(table: Table, grain: Grain) -> TimeGuess:
    """Choose the event time.

    Raises:
        RequestError: There is none, or several of which nothing tells the likeliest.
    """
    if not grain.times:
        raise RequestError(f"{table.relation.location}: {without_time(table)}")
    doubts = [each for guess in grain.times if (each := doubt(guess, grain))]
    if not (likely := likely_times(grain)):
        raise _which(table, grain, f" ({'; '.join(doubts)})")
    best, *others = likely
    rank = _rank(best, grain)
    if rank.name == NO_TIME and any(_rank(each, grain).evidence == rank.evidence for each in others):
        raise _which(table, grain, "")
    return replace(best, reason=f"the time of writing, for {doubts[0]}") if best.is_written and doubts else best


def _rank(guess: TimeGuess, grain: Grain) -> _Rank:
    rows = grain.counts.rows if grain.counts is not None else 0
    counted = grain.counts_of(guess) or TimeCounts(timed=rows, moments=rows)
    return _Rank(
        is_guess=not guess.is_certain,
        is_mostly_null=counted.timed < rows / 2,
        repeats_mostly=counted.moments < counted.timed / 2,
        is_written=guess.is_written,
        repeats_often=counted.moments < counted.timed * _FEW_TIES,
        name=guess.written_order if guess.is_written else happened_rank(guess.column.name),
        start=end_rank(guess.column.name),
        has_nulls=counted.timed < rows,
        repeats=counted.moments < counted.timed,
        is_date=guess.column.is_date,
        earliness=grain.counts.now - counted.last if grain.counts and counted.last else timedelta(0),
    )


def _which(table: Table, grain: Grain, why: str) -> RequestError:
    names = ", ".join(guess.column.name for guess in grain.times)
    return RequestError(
        f"{table.relation.location}: which of its times says when a row was complete{why}? Name it with --event-time "
        f"COLUMN, of {names}; if a row describes something else than {grain.keys.spoken}, say --entity NAME=COLUMN"
    )
