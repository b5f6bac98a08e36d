"""`feature-sync serve` as a process on a free port, and a client that asks it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any, Self

import httpx

_SECONDS_TO_START = 30


class HttpServer:
    """The command in a process of its own; the folder that it runs in has no project."""

    def __init__(
        self, folder: Any, url: str, *arguments: str, python: tuple[str, ...] = (), **environment: str
    ) -> None:
        self._command = [sys.executable, *python, "-m", "feature_sync", "serve", "--redis-url", url]
        self._command += ["--key-prefix", "shop", "--port", "0", *arguments]
        self._command += [] if "--timeout" in arguments else ["--timeout", "10"]  # tests share their machine
        self._folder = folder
        self._environment = {**os.environ, **environment}

    def start(self) -> Self:
        self.process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.process.stderr.read()
        self.client = httpx.Client(base_url=self.url, timeout=_SECONDS_TO_START)
        assert self.client.get("/health").json() == {"status": "alive"}
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(_SECONDS_TO_START)

    def ask(self, service: str, *, options: Any = None, query: str = "", **entities: Any) -> httpx.Response:
        body = {"feature_service": service, "entities": entities, **(options or {})}
        return self.client.post(f"/get-online-features{query}", json=body)

    def columns(self, service: str, **asked: Any) -> dict[str, dict[str, list[Any]]]:
        """Return the columns of an answer by name."""
        response = self.ask(service, **asked)
        assert response.status_code == 200, response.text
        answer = response.json()
        return dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))

    def detail(self, status: int, service: str, **asked: Any) -> str:
        """Return why a request is refused, with this status."""
        response = self.ask(service, **asked)
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/json"
        (detail,) = response.json().values()
        return detail

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + _SECONDS_TO_START
        while self.client.get("/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
