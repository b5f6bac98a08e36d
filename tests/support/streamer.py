"""A log of readings in files, and processes that stream it to Redis, which tests kill or suspend.

The server imports once, then forks a writer for every line of JSON on stdin, and writes its process id.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from contextlib import closing, suppress
from math import isnan, nan
from pathlib import Path
from typing import NamedTuple

from tests.support.pusher import ROOT, import_all

_MESSAGE = struct.Struct("<Iqd")
_MESSAGES_PER_READ = 700
PARTITIONS = 3


class Message(NamedTuple):
    """A reading: meter, microseconds UTC, kWh; None deletes the meter."""

    meter: int
    event_timestamp: int
    kwh: float | None


class Log:
    """Three partitions, each a file of records; an offset is the place of a record."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def append(self, partition: int, messages: list[Message]) -> None:
        packed = [_MESSAGE.pack(meter, moment, nan if kwh is None else kwh) for meter, moment, kwh in messages]
        with self._path(partition).open("ab") as file:
            file.write(b"".join(packed))

    def end(self, partition: int) -> int:
        path = self._path(partition)
        return path.stat().st_size // _MESSAGE.size if path.exists() else 0

    def read(self, partition: int, first: int, count: int | None = None) -> list[Message]:
        path = self._path(partition)
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(first * _MESSAGE.size)
            content = file.read(-1 if count is None else count * _MESSAGE.size)
        whole = len(content) - len(content) % _MESSAGE.size
        return [
            Message(meter, moment, None if isnan(kwh) else kwh)
            for meter, moment, kwh in _MESSAGE.iter_unpack(content[:whole])
        ]

    def _path(self, partition: int) -> Path:
        return self._folder / f"partition {partition}"


class Stream:
    """Writes a log to one view, and goes back to the watermark whenever the epoch changes."""

    def __init__(self, view, log: Log, topic: str) -> None:
        self._view, self._log, self._topic = view, log, topic
        self._epoch, self._places = None, {}

    def run(self, *, until_end: bool) -> None:
        """Write until this process is killed, or until every message is written in one epoch."""
        with closing(self._view.stream_writer(self._topic)) as writer:
            while not (self._write_some(writer) and until_end):
                pass

    def _write_some(self, writer) -> bool:
        """Write the next messages; True if there were none."""
        if self._epoch is None:
            state = writer.state()
            if state is None:
                time.sleep(0.01)
                return False
            self._epoch = state.epoch
            self._places = {each: state.watermark.get(each, 0) for each in range(PARTITIONS)}
            schema = next(reversed([*self._view.schemas().values()]))
            self._encoder = self._view.stream_encoder(schema)
        found = {each: self._log.read(each, first, _MESSAGES_PER_READ) for each, first in self._places.items()}
        done = writer.write([row for each, messages in found.items() for row in self._rows(each, messages)])
        if done.epoch != self._epoch:
            self._epoch = None
            return False
        for each, messages in found.items():
            self._places[each] += len(messages)
        is_end = not any(found.values())
        if is_end:
            time.sleep(0.005)
        return is_end

    def _rows(self, partition: int, messages: list[Message]) -> list:
        first, rows = self._places[partition], []
        for deletes in (False, True):
            chosen = [(at, each) for at, each in enumerate(messages, first) if (each.kwh is None) == deletes]
            if chosen:
                rows += self._encoder.encode(
                    [[f"m{each.meter}" for _, each in chosen]],
                    [each.event_timestamp for _, each in chosen],
                    None if deletes else [[each.kwh for _, each in chosen], ["streamed"] * len(chosen)],
                    partitions=[partition] * len(chosen),
                    offsets=[at for at, _ in chosen],
                )
        return rows


class StreamServer:
    """The test's side: starts writers, suspends and kills them."""

    def __init__(self, project, redis_url: str, log: Path) -> None:
        self._project = project
        self._asked = {"redis_url": redis_url, "log": str(log)}
        self.running: list[int] = []

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.streamer"],
            cwd=ROOT,
            env=self._project.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *error):
        for pid in [*self.running]:
            self.kill(pid)
        self._process.communicate()

    def start(self) -> int:
        opening = {
            "project_dir": str(self._project.folder),
            "profiles_dir": str(self._project.folder),
            "target": self._project.target,
            "redis_url": self._asked["redis_url"],
        }
        self._process.stdin.write(json.dumps({"open": opening, "log": self._asked["log"]}) + "\n")
        self._process.stdin.flush()
        self.running.append(int(self._process.stdout.readline()))
        return self.running[-1]

    def kill(self, pid: int) -> None:
        self.running.remove(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def suspend(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)

    def wake(self, pid: int) -> None:
        os.kill(pid, signal.SIGCONT)


def serve() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        asked = json.loads(line)
        if (pid := os.fork()) == 0:
            stream_for_ever(asked)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def stream_for_ever(asked: dict) -> None:
    from feature_sync import FeatureStore
    from feature_sync.errors import OnlineStoreError

    with FeatureStore.open(**asked["open"], warn=lambda text: None) as store:
        while True:
            with suppress(OnlineStoreError):
                view = store.connections.online().view("latest_readings")
                Stream(view, Log(Path(asked["log"])), "readings").run(until_end=False)
            time.sleep(0.02)


if __name__ == "__main__":
    import_all()
    with suppress(KeyboardInterrupt):
        serve()
