"""Clocks for short requests: many rounds that alternate between the contenders, and the median and p99 of each.

Feast's environment imports this too, so it takes the standard library alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

_ROUNDS = 20
_P99 = 0.99
_MILLISECOND = 0.001
_MANY = 100

Timed = Callable[[int], list[float]]
"""Answers so many times, and returns the seconds of each."""


@dataclass(frozen=True)
class Spread:
    """How long requests took, in seconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """Read the spread of some times."""
        ordered = sorted(seconds)
        return cls(ordered[len(ordered) // 2], ordered[int(len(ordered) * _P99)])


def repeated(work: Callable[[], object]) -> Timed:
    """Time some work of this process."""

    def timed(times: int) -> list[float]:
        taken = []
        for _ in range(times):
            started = perf_counter()
            work()
            taken.append(perf_counter() - started)
        return taken

    return timed


def race(contenders: Mapping[str, Timed], *, times: int) -> dict[str, Spread]:
    """Let all contenders answer so many times in all, a few in each round; the first answer of a turn warms up."""
    rounds = min(_ROUNDS, max(1, times))
    each_turn = 1 + max(1, times // rounds)
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, timed in contenders.items():
            taken[name] += timed(each_turn)[1:]
    return {name: Spread.of(seconds) for name, seconds in taken.items()}


def shown(seconds: float) -> str:
    """Write a short time."""
    size, unit = (1e6, "µs") if seconds < _MILLISECOND else (1e3, "ms")
    return f"{seconds * size:,.0f} {unit}" if seconds * size >= _MANY else f"{seconds * size:.3g} {unit}"


def spreads(took: Iterable[Spread]) -> list[str]:
    """Write the p50 and p99 of each."""
    return [shown(each) for spread in took for each in (spread.p50, spread.p99)]
