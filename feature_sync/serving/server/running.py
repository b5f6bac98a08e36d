"""Runs the server in uvicorn: its socket, its workers, and a stop that loses no request."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from feature_sync.serving.server import create_app
from feature_sync.serving.server.metrics import SHARED_FOLDER
from feature_sync.serving.server.settings import ServerSettings

_BACKLOG = 2048
_KEEP_ALIVE = 75
"""Seconds: longer than load balancers keep idle connections, so that they close first."""
_LAST_REQUESTS = 1.0
"""Seconds in which a connection that was idle at the stop may still bring a request."""


class LastRequests(HttpToolsProtocol):
    """A connection that, when the server stops, answers the request that may be on its way, and then closes.

    uvicorn's own closes idle connections at once: a request that crosses is lost, which clients do not repeat if it is
    a POST.
    """

    _is_last = False

    def shutdown(self) -> None:
        """Close after the next response, or soon."""
        self._is_last = True
        is_idle = self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]  # None at first
        if is_idle:
            self.loop.call_later(_LAST_REQUESTS, super().shutdown)
        else:
            super().shutdown()

    def on_headers_complete(self) -> None:
        """Let the last response say that the connection closes."""
        super().on_headers_complete()
        if self._is_last:
            self.cycle.keep_alive = False


class _Workers(Multiprocess):
    """Worker processes on one socket."""

    def terminate_all(self) -> None:
        """Stop all workers; nobody must connect to a socket that nobody serves."""
        for each in self.sockets:
            each.close()
        super().terminate_all()


def run_server(settings: ServerSettings, *, host: str, port: int, workers: int, announce: Callable[[str], Any]) -> None:
    """Serve until SIGTERM or SIGINT; then finish the requests in flight.

    Args:
        settings: What to serve.
        host: The address to listen at.
        port: The port; 0 for a free one.
        workers: The number of processes.
        announce: Called with the URL as soon as connections are accepted.

    Raises:
        OSError: The port cannot be listened at.
        OnlineStoreError: The URL of Redis cannot be read.
    """
    make_app = partial(
        create_app,
        settings.redis_url,
        settings.key_prefix,
        services=settings.services,
        token=settings.token,
        timeout=settings.timeout,
    )
    make_app()  # what is wrong with the settings is said here, not by each worker
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=_BACKLOG) as listening:
        config = uvicorn.Config(
            make_app,
            factory=True,
            http=LastRequests,
            ws="none",
            workers=workers,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE,
        )
        announce(f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}")
        if workers > 1:
            _run_workers(config, listening)
        else:
            _run_alone(config, listening)


def _run_alone(config: uvicorn.Config, listening: socket.socket) -> None:
    server = uvicorn.Server(config)
    try:
        server.run([listening])
    except KeyboardInterrupt:
        if not server.started:  # else uvicorn has stopped in order, and raises the signal once more
            raise


def _run_workers(config: uvicorn.Config, listening: socket.socket) -> None:
    with tempfile.TemporaryDirectory(prefix="feature-sync-metrics-") as folder:
        os.environ.setdefault(SHARED_FOLDER, folder)
        listening.set_inheritable(True)
        _Workers(config, [listening]).run()
