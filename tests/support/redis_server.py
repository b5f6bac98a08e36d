"""A Redis that a test starts with settings of its own, kills, restarts, and gives older or shortened files."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import redis

from feature_sync.online.redis.server import _executable, _free_port

_SECONDS_TO_START = 30


class RedisServer:
    """A server with an append-only file, on a unix socket and a port, in a temporary folder of its own."""

    def __init__(self, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="redis"))  # short: the path of a unix socket is limited
        self.port = _free_port()
        self.settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.folder / "s"),
            "appendonly": "yes",
            "auto-aof-rewrite-percentage": "0",
            "save": "",
            "logfile": str(self.folder / "log"),
            **settings,
        }

    @property
    def url(self) -> str:
        return f"unix://{self.settings['unixsocket']}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def start(self) -> None:
        arguments = [text for name, value in self.settings.items() for text in (f"--{name}", value)]
        self._process = subprocess.Popen([_executable(), *arguments], cwd=self.folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _SECONDS_TO_START
        while True:
            try:
                with self.client() as client:
                    client.ping()
            except (redis.AuthenticationError, redis.BusyLoadingError) as there:
                if isinstance(there, redis.AuthenticationError):
                    return
            except redis.ConnectionError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
            else:
                return
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.01)

    def kill(self) -> None:
        """End it with no time to save."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it in order."""
        self._process.terminate()
        self._process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()

    @property
    def files(self) -> Path:
        return self.folder / "appendonlydir"

    def backup(self, name: str) -> Path:
        """Copy the files of a server that rests."""
        return shutil.copytree(self.files, self.folder / name)

    def restore(self, backup: Path) -> None:
        """Kill it, and start it again with older files."""
        self.kill()
        shutil.rmtree(self.files)
        shutil.copytree(backup, self.files)
        self.start()

    @property
    def bytes_written(self) -> int:
        """How long the append-only file is."""
        return self._newest_file().stat().st_size

    def lose_tail(self, *, keep: int) -> None:
        """Kill it, and start it again with what a crash of the machine would have left: all but the newest writes."""
        self.kill()
        os.truncate(self._newest_file(), keep)
        self.start()

    def _newest_file(self) -> Path:
        return max(self.files.glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[-3]))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
