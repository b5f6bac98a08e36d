"""The highest memory of this process, from a moment on: of its own, and not of its parent or of tests before."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

_RESETS_PEAK = "5"  # see proc(5) on clear_refs


def forget_peak() -> None:
    """Measure the peak from here on, where the system can."""
    with suppress(OSError):  # not Linux
        Path("/proc/self/clear_refs").write_text(_RESETS_PEAK)


def peak_bytes(process: int | str = "self") -> int:
    """The highest resident memory since `forget_peak`, else since the start; of another process on Linux only."""
    status = Path(f"/proc/{process}/status")
    if status.exists():
        (peak,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(peak.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
