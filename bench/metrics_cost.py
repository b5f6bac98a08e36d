"""What metrics cost of a push: the seconds of writing the file, against those of the push itself."""

from __future__ import annotations

import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from feature_sync.files import write_text
from feature_sync.monitor.exposition import exposition
from feature_sync.monitor.metrics import of_command, of_pushes
from feature_sync.push.report import Pushed

_TIMES = 200


def seconds_of_metrics(views: int) -> float:
    """Return the median of the seconds that the file of a push of so many views takes."""
    phases = {"stage": 0.1, "send": 0.1, "commit": 0.1}
    pushed = [Pushed(feature_view=f"view_{number}", written=1_000, phase_seconds=phases) for number in range(views)]
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(_TIMES):
            begun = perf_counter()
            samples = [*of_command("push", exit_code=0, ended=datetime.now(UTC), seconds=1), *of_pushes(pushed)]
            write_text(Path(folder, "push.prom"), exposition(samples, project="bench"))
            taken.append(perf_counter() - begun)
    return statistics.median(taken)


if __name__ == "__main__":
    for count in (1, 4, 20, 100):
        print(f"{count:>4} views: {seconds_of_metrics(count) * 1_000:.2f} ms")  # noqa: T201 - a measurement
