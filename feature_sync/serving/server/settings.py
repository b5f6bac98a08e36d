"""What a server is started with, from arguments and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from feature_sync.errors import RequestError
from feature_sync.serving.client import TIMEOUT, checked_timeout

_TEXTS = {
    "redis_url": ("FEATURE_SYNC_REDIS_URL", "the URL of Redis"),
    "key_prefix": (
        "FEATURE_SYNC_KEY_PREFIX",
        "the key prefix of pushes (the dbt project's name)",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What a server is started with; its text shows neither the URL, which may hold a password, nor the token.

    Args:
        redis_url: The URL of Redis.
        key_prefix: The key prefix of the project in Redis.
        services: The names of the services to serve; empty for every service that has a card.
        token: The bearer token that requests need; empty for none.
        timeout: The seconds that Redis may take for a request.
    """

    redis_url: str = field(repr=False)
    key_prefix: str
    services: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    timeout: float = TIMEOUT

    @classmethod
    def read(cls, environment: Mapping[str, str], **given: Any) -> Self:
        """Take what is given and not None; the rest from the environment.

        Raises:
            RequestError: The URL or the prefix is missing, or the timeout makes no sense.
        """
        texts: dict[str, Any] = {}
        for name, (variable, meaning) in _TEXTS.items():
            texts[name] = given.get(name) or environment.get(variable)
            if not texts[name]:
                raise RequestError(f"name {meaning}: --{name.replace('_', '-')}, or {variable}")
        services, token, timeout = given.get("services"), given.get("token"), given.get("timeout")
        if timeout is None:
            timeout = _seconds(environment.get("FEATURE_SYNC_TIMEOUT"))
        return cls(
            **texts,
            services=tuple(environment.get("FEATURE_SYNC_SERVICES", "").split() if services is None else services),
            token=environment.get("FEATURE_SYNC_TOKEN", "") if token is None else token,
            timeout=checked_timeout(timeout),
        )


def _seconds(text: str | None) -> Any:
    """Read a number of seconds; text that is none is left to `checked_timeout`."""
    try:
        return float(text) if text else TIMEOUT
    except ValueError:
        return text
