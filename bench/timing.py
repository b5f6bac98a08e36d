"""Fair clocks: rounds that alternate between contenders, medians, limits, and the memory of whole processes.

Feast's environment imports this too, so it takes the standard library alone.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

ROUNDS = 3
PATIENCE = 30
"""Who takes longer than this many seconds runs once."""
NEVER = float("inf")

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class TookTooLong(Exception):
    """A contender did not end within its limit."""


@dataclass(frozen=True)
class Run:
    """What a contender took; the memory is that of a process of its own, 0 where it had none."""

    seconds: float
    peak_megabytes: float = 0


def clock(work: Callable[[], object]) -> Run:
    """Time some work in this process."""
    started = perf_counter()
    work()
    return Run(perf_counter() - started)


def race(contenders: Mapping[Key, Callable[[], Run]], *, check: Callable[[list[Key]], object]) -> dict[Key, Run]:
    """Run all contenders once, check the answers of those that ended, then run round after round; return medians.

    Who takes too long is out, and its time is infinite.
    """
    runs = {key: [_run(contender)] for key, contender in contenders.items()}
    check([key for key, (first,) in runs.items() if first.seconds < NEVER])
    quick = [key for key, (first,) in runs.items() if first.seconds < PATIENCE]
    for key in quick:
        runs[key].clear()  # the first run was for warming up
    for _ in range(ROUNDS):
        for key in quick:
            runs[key].append(_run(contenders[key]))
    return {
        key: Run(median(each.seconds for each in taken), median(each.peak_megabytes for each in taken))
        for key, taken in runs.items()
    }


def _run(contender: Callable[[], Run]) -> Run:
    try:
        return contender()
    except TookTooLong:
        return Run(NEVER)


def run_alone(module: str, task: Mapping[str, Any], *, python: str = sys.executable, limit: float = 600) -> Run:
    """Give a task to one of the bench's modules, in a fresh process which measures itself.

    Raises:
        TookTooLong: It did not end within the limit, and was ended.
    """
    command = [python, "-W", "ignore", "-m", module, json.dumps(task)]
    root = Path(__file__).parents[1]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=limit, cwd=root)
    except subprocess.TimeoutExpired as expired:
        raise TookTooLong from expired
    if done.returncode != 0:
        raise RuntimeError(f"{module} failed: {done.stderr}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def given_task() -> dict[str, Any]:
    """Read the task that `run_alone` gave to this process."""
    task: dict[str, Any] = json.loads(sys.argv[1])
    return task


def measured(work: Callable[[], Result]) -> tuple[Result, Run]:
    """Do the work of a process of its own; the peak is that of the whole process until here."""
    started = perf_counter()
    result = work()
    return result, Run(perf_counter() - started, _peak_megabytes())


def _peak_megabytes() -> float:
    """Tell the highest resident memory of this process.

    Linux counts in `ru_maxrss` what the process that started this one had, so there its own high-water mark is read.
    """
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def report(run: Run) -> None:
    """Tell `run_alone` what the work took."""
    sys.stdout.write(json.dumps(asdict(run)) + "\n")
