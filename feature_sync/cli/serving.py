"""Starts the HTTP server, and says where it is."""

from __future__ import annotations

import os
from typing import Any

from feature_sync.cli.saying import say
from feature_sync.extras import needed_by


def serve_until_stopped(settings: dict[str, Any], *, host: str, port: int, workers: int) -> None:
    """Serve until a signal stops the server; prints its URL.

    Args:
        settings: What to serve; see `ServerSettings`.
        host: The address to listen at.
        port: The port; 0 for a free one.
        workers: The number of processes.

    Raises:
        MissingLibrary: The extra `server` is not installed.
    """
    from feature_sync.serving.server.settings import ServerSettings

    read = ServerSettings.read(os.environ, **settings)
    with needed_by("feature-sync serve"):
        from feature_sync.serving.server.running import run_server
    run_server(read, host=host, port=port, workers=workers, announce=say)
