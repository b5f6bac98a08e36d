"""Pushes in processes of their own, which tests kill or suspend: imports once, then forks for every push.

Reads a line of JSON for each push from stdin: the options of `FeatureStore.open` and of `push`. Writes the process id
of the push, and when it has ended, what became of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).parents[2]


class PushServer:
    """The test's side: starts pushes one after the other."""

    def __init__(self, project) -> None:
        self._project = project

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.pusher"],
            cwd=ROOT,
            env=self._project.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *error):
        self._process.communicate()

    def start(self, redis_url: str, names: list[str], **options) -> int:
        """Begin a push; returns its process id."""
        opening = {
            "project_dir": str(self._project.folder),
            "profiles_dir": str(self._project.folder),
            "target": self._project.target,
            "redis_url": redis_url,
        }
        self._process.stdin.write(json.dumps({"open": opening, "names": names, "push": options}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self) -> str:
        """Wait until the push has ended: `ok`, `killed` or the kind and text of its error."""
        return self._process.stdout.readline().rstrip("\n")

    def push(self, redis_url: str, names: list[str], **options) -> str:
        self.start(redis_url, names, **options)
        return self.wait()


def serve() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            os.write(writing, said(asked).encode())
            os._exit(0)
        os.close(writing)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        with os.fdopen(reading) as answer:
            text = answer.read()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(("killed" if os.WIFSIGNALED(status) else text) + "\n")
        sys.stdout.flush()


def said(asked: dict) -> str:
    from feature_sync import FeatureStore
    from feature_sync.errors import FeatureSyncError

    options = asked["push"]
    if "lease" in options:
        options["lease"] = timedelta(seconds=options["lease"])
    try:
        with FeatureStore.open(**asked["open"], warn=lambda text: None) as store:
            pushed = list(store.push(asked["names"], **options))
    except FeatureSyncError as error:
        return f"{type(error).__name__}: {error}"
    except BaseException as error:  # noqa: BLE001 - a test wants to see it
        return f"unexpected {type(error).__name__}: {error}"
    return next((f"held back: {each.held_back}" for each in pushed if each.held_back), "ok")


def import_all() -> None:
    """Import what a push needs, and open nothing."""
    import duckdb
    import psycopg
    import pyarrow.ipc
    import redis
    import sqlglot

    import feature_sync.dbt.run_results
    import feature_sync.online.redis.store
    import feature_sync.push
    import feature_sync.warehouses.duckdb.warehouse
    import feature_sync.warehouses.postgres.warehouse

    _ = (duckdb, psycopg, pyarrow.ipc, redis, sqlglot, feature_sync)
    time.tzset()


if __name__ == "__main__":
    import_all()
    with suppress(KeyboardInterrupt):
        serve()
