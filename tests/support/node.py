"""The reader in JavaScript that users copy, in a Node process of its own: `NodeReader(...).get(entities)`."""

from __future__ import annotations

import json
import select
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.projects import EXAMPLE

_PACKAGES = EXAMPLE / ".node" / "node_modules"
_SECONDS = 30


def node_folder(folder: Path) -> Path:
    """Put the reader, the program that drives it and their packages into a folder; fails the test without Node."""
    assert shutil.which("node"), "node is missing: install Node 20 or newer"
    assert _PACKAGES.exists(), f"{_PACKAGES} is missing: make .node/.made"
    for path in (EXAMPLE / "examples" / "node" / "reader.mjs", EXAMPLE / "tests" / "node" / "answer.mjs"):
        shutil.copy(path, folder)
    (folder / "node_modules").symlink_to(_PACKAGES)
    return folder


class NodeReader:
    """A Node process that answers until it is closed."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        """`arguments` are the URL, the service, the key prefix and, for null instead of errors, `null`."""
        self._process = subprocess.Popen(
            ["node", str(folder / "answer.mjs"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def get(self, entities: list[dict[str, Any]]) -> Any:
        """Read feature vectors; raises RuntimeError with the message of an error in JavaScript."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(entities) + "\n")
        self._process.stdin.flush()
        assert select.select([self._process.stdout], [], [], _SECONDS)[0], "Node does not answer"
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer
