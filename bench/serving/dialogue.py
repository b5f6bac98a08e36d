"""A process of the bench that waits to be told what to do next, a line of JSON each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Partner:
    """The process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def heard(self) -> Any:
        """Read what it says next.

        Raises:
            RuntimeError: It has ended.
        """
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"a process ended: {self._process.stderr.read() if self._process.stderr else ''}")
        return json.loads(line)

    def tell(self, what: Any) -> None:
        """Tell it something."""
        if self._process.stdin:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()

    def ask(self, what: Any) -> Any:
        """Tell it something, and read what it says to it."""
        self.tell(what)
        return self.heard()


@contextmanager
def partner(module: str, task: Mapping[str, Any], *, python: str = sys.executable) -> Iterator[Partner]:
    """Start a module with a task, lend it, and end it."""
    command = [python, "-W", "ignore", "-m", module, json.dumps(task)]
    pipe, root = subprocess.PIPE, Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=root) as process:
        try:
            yield Partner(process)
        finally:
            process.kill()
