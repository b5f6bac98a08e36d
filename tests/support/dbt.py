"""dbt as its own program runs it, without the time that it takes to be imported: each command is a fork of one process.

Run as a module, this is that process: it reads requests from stdin, a line of JSON each, and answers with exit codes.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

_ONE_AT_A_TIME = Lock()
_IMPORTED = (
    "dbt.cli.main", "dbt.task.build", "dbt.task.docs.generate", "dbt.task.freshness", "dbt.adapters.duckdb",
    "dbt.adapters.postgres", "dbt.adapters.bigquery",
)  # fmt: skip


def run_dbt(arguments: tuple[str, ...], folder: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of dbt in a folder, with these environment variables and no others."""
    with TemporaryDirectory() as outputs, _ONE_AT_A_TIME:
        request = {"arguments": arguments, "folder": str(folder), "variables": dict(variables), "outputs": outputs}
        process = _forking()
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        code = int(process.stdout.readline())
        said = [Path(outputs, name).read_text() for name in ("stdout", "stderr")]
    return subprocess.CompletedProcess(["dbt", *arguments], code, *said)


@cache
def _forking() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    atexit.register(process.communicate)  # without requests it ends
    return process


def _serve() -> None:
    """Fork for each request; what a command changes in its process is gone with it."""
    from importlib import import_module

    for module in _IMPORTED:
        import_module(module)
    for line in sys.stdin:
        request = json.loads(line)
        if not (child := os.fork()):
            sys.exit(_run(request))  # in order: DuckDB writes its log into the file only when it is closed
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(request: dict) -> int:
    from dbt.cli.main import cli

    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(request["outputs"], name), os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update({"DBT_PROJECT_DIR": request["folder"], **request["variables"]})  # dbt looked when imported
    os.chdir(request["folder"])
    sys.argv = ["dbt", *request["arguments"]]
    try:
        cli.main(request["arguments"])
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    _serve()
