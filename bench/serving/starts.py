"""The start of a new process: imports, the first vector, and what memory they take; each in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from bench.report import Table, Target
from bench.serving.clock import shown
from bench.serving.data import Served
from bench.serving.names import PREFIX, TIMEOUT

_STARTS = 20
_SERVICE = "one_of_10"
_HIGHEST_FIRST, _HIGHEST_IMPORT, _HIGHEST_MEMORY = 120, 60, 40
_EMPTY, _IMPORT, _FIRST = "nothing: Python alone", "import FeatureClient", "the first vector"
_REDIS, _REDIS_FIRST = "import redis", "redis-py: import, the first MGET and msgspec"
_FRAME = """
import time
began = time.perf_counter()
{work}
took = time.perf_counter() - began
ended = time.monotonic()
peak = next((line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), 0)
import json
print(json.dumps([took, ended, int(peak) / 1024, answer]))
"""


def table(served: Served, scale: float) -> Table:
    """Start processes in turns; the first of each warms the caches of files."""
    url, row = served.tcp, f"{PREFIX}:narrow:{{7}}"
    works = {
        _EMPTY: "answer = None",
        _IMPORT: "from feature_sync import FeatureClient\nanswer = None",
        _FIRST: "from feature_sync import FeatureClient\n"
        f"client = FeatureClient({url!r}, {_SERVICE!r}, prefix={PREFIX!r}, timeout={TIMEOUT})\n"
        "answer = [*client.get(thing_id=7).values()]",
        _REDIS: "import redis\nanswer = None",
        _REDIS_FIRST: "import redis, msgspec\n"
        f"answer = msgspec.msgpack.decode(redis.Redis.from_url({url!r}).mget([{row!r}])[0])[2:]",
    }
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in works}
    for at in range(max(1, round(_STARTS * min(scale, 1))) + 1):
        for name, work in works.items():
            inside, whole, peak, answer = _start(_FRAME.format(work=work))
            if answer is not None:
                served.check(name, _SERVICE, [7], [answer])
            if at:
                taken[name].append((inside, whole, peak))
    return _shown(taken)


def _start(program: str) -> tuple[float, float, float, Any]:
    """Run a program; returns its seconds inside and from before the process, its memory in MB, and its answer."""
    root = Path(__file__).parents[2]
    began = monotonic()
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=root)
    inside, ended, peak, answer = json.loads(done.stdout)
    return inside, ended - began, peak, answer


def _shown(taken: Mapping[str, list[tuple[float, float, float]]]) -> Table:
    columns = ("in a new process", "median", "least", "with Python's own start, median", "least", "peak memory")
    table = Table("The start of a process, over TCP", columns)
    middles = {}
    for name, rows in taken.items():
        inside, whole, peaks = zip(*rows, strict=True)
        middles[name] = (median(inside) * 1_000, median(whole) * 1_000, median(peaks))
        times = (median(inside), min(inside), median(whole), min(whole))
        table.add(name, *map(shown, times), f"{median(peaks):.1f} MB")
    table.targets += [
        Target("The first vector, with Python's own start, median, ms", middles[_FIRST][1], _HIGHEST_FIRST),
        Target("import FeatureClient, median, ms", middles[_IMPORT][0], _HIGHEST_IMPORT),
        Target("import FeatureClient, share of import redis", middles[_IMPORT][0] / middles[_REDIS][0], 1),
        Target("Peak memory of a process with its first vector, MB", middles[_FIRST][2], _HIGHEST_MEMORY),
    ]
    table.notes.append(
        "msgspec imports typing_extensions where it is installed, as it is here: a sixth of the import, which an "
        "environment that only serves does not spend."
    )
    return table
