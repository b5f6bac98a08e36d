"""Estimates the lag with which rows truly became available, from vectors that were served."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def best_lag(observations: Iterable[tuple[int, bool]], *, defined: int) -> int:
    """Return the lag, in microseconds, that contradicts the fewest observations: the defined one if none is better.

    An observation is a vector for which training answers with a row of this age. If serving had that row, its lag is at
    most that age. If serving had another answer, the row was not there yet: its lag is longer. Pushes come at
    intervals, so that no single lag need agree with all.

    Args:
        observations: The age of the row of training when the vector was served, in microseconds, and whether serving
            had that row.
        defined: The lag of the definition; no row is younger.
    """
    ordered = sorted(observations)
    candidates = [defined, *(age for age, was_served in ordered if was_served)]
    if ordered and not ordered[-1][1]:
        candidates.append(ordered[-1][0] + 1)
    agreeing = _agreements(ordered, sorted({*candidates}))
    return min(agreeing, key=lambda lag: (-agreeing[lag], lag))


def _agreements(ordered: Sequence[tuple[int, bool]], candidates: Sequence[int]) -> dict[int, int]:
    """Count for each candidate the observations that agree with it: older rows served, younger ones not."""
    agreeing, at = sum(was_served for _, was_served in ordered), 0
    counts: dict[int, int] = {}
    for lag in candidates:
        while at < len(ordered) and ordered[at][0] < lag:
            agreeing += -1 if ordered[at][1] else 1
            at += 1
        counts[lag] = agreeing
    return counts
