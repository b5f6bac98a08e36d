"""Fair clocks: rounds that alternate between contenders, medians, limits, and the memory of whole processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

ROUNDS = 3


class TookTooLong(Exception):
    """A contender did not end within its limit."""


def race(contenders: Mapping[str, Callable[[], object]], *, rounds: int = ROUNDS) -> dict[str, float]:
    """Run all contenders, round after round; return the median of each in seconds.

    Who takes too long once is out, and its time is infinite.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            if float("inf") in seconds[name]:
                continue
            started = perf_counter()
            try:
                run()
            except TookTooLong:
                seconds[name] = [float("inf")]
            else:
                seconds[name].append(perf_counter() - started)
    return {name: median(each) for name, each in seconds.items()}


@dataclass(frozen=True)
class Run:
    """What a process of its own took: `answer` is the last line that it printed, as JSON."""

    seconds: float
    peak_megabytes: float
    answer: Any


def run_alone(module: str, arguments: Mapping[str, Any]) -> Run:
    """Run one of the bench's modules in a fresh process, which reports its time and its highest memory."""
    command = [sys.executable, "-m", module, json.dumps(arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{module} failed:\n{done.stderr}")
    said = json.loads(done.stdout.splitlines()[-1])
    return Run(said["seconds"], said["peak_megabytes"], said.get("answer"))


def report_alone(work: Callable[[], object]) -> None:
    """Do the work of a process of its own, and print what `run_alone` reads."""
    import resource

    started = perf_counter()
    answer = work()
    seconds = perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_megabytes": peak, "answer": answer}) + "\n")
