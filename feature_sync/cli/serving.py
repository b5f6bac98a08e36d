"""Starts the HTTP server, and says where it is."""

from __future__ import annotations

import os
from typing import Any

from feature_sync.cli.saying import say
from feature_sync.errors import FeatureSyncError


class NoServer(FeatureSyncError):
    """The extra `server` is not installed."""


def serve_until_stopped(settings: dict[str, Any], *, host: str, port: int, workers: int) -> None:
    """Serve until a signal stops the server; prints its URL.

    Args:
        settings: What to serve; see `ServerSettings`.
        host: The address to listen at.
        port: The port; 0 for a free one.
        workers: The number of processes.

    Raises:
        NoServer: The extra `server` is not installed.
    """
    from feature_sync.serving.server.settings import ServerSettings

    read = ServerSettings.read(os.environ, **settings)
    try:
        from feature_sync.serving.server.running import run_server
    except ModuleNotFoundError as missing:
        raise NoServer(f"{missing.name} is not installed; pip install 'feature-sync[server]'") from missing
    run_server(read, host=host, port=port, workers=workers, announce=say)
