"""Whatever stands in the files that we read, it is read or refused: never a traceback, soon, and in little memory.

`PROOF_TIMES=1000` tries twenty times as many cases, `PROOF_SEED=7` repeats a run.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

TIMES = int(os.environ.get("PROOF_TIMES", "50"))
SEED = int(os.environ.get("PROOF_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.mark.parametrize(
    ("kind", "cases"), [("manifest", 3), ("results", 2), ("catalog", 2), ("profiles", 3), ("project", 3)]
)
def test_spoilt_files_are_read_or_refused_by_name_soon_and_in_little_memory(example, kind, cases):
    """The fuzzer is a process of its own: one that dies of recursion in C is seen, too."""
    print(f"PROOF_SEED={SEED}")  # noqa: T201 - pytest keeps it with the test
    command = [sys.executable, "-m", "tests.support.fuzzer", kind, str(SEED), str(cases * TIMES), str(example.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5_000:]
