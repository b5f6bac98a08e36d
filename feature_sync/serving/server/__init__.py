"""The HTTP server of feature vectors, for every language; needs the extra `server`, and no project or warehouse."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feature_sync.serving.server.settings import ServerSettings

if TYPE_CHECKING:
    from feature_sync.serving.server.app import FeatureServer

__all__ = ["ServerSettings", "create_app"]


def create_app(
    redis_url: str | None = None,
    key_prefix: str | None = None,
    *,
    services: Sequence[str] | None = None,
    token: str | None = None,
    timeout: float | None = None,
) -> FeatureServer:
    """Return the server as an ASGI app; what is not given is read from the environment.

    It runs under any ASGI server: `uvicorn --factory feature_sync.serving.server:create_app`.

    Args:
        redis_url: The URL of Redis; else FEATURE_SYNC_REDIS_URL.
        key_prefix: The key prefix; else FEATURE_SYNC_KEY_PREFIX.
        services: The services to serve; else FEATURE_SYNC_SERVICES, separated by blanks; else every service that has a
            card.
        token: The bearer token to ask for; else FEATURE_SYNC_TOKEN; else none.
        timeout: The seconds that Redis may take for a request; else FEATURE_SYNC_TIMEOUT; else 0.25.

    Raises:
        OnlineStoreError: The URL cannot be read.
        RequestError: The URL or the prefix is missing, or the timeout makes no sense.
    """
    from feature_sync.serving.server.app import FeatureServer

    given = {"redis_url": redis_url, "key_prefix": key_prefix, "services": services, "token": token, "timeout": timeout}
    return FeatureServer(ServerSettings.read(os.environ, **given))
