"""The fields of dbt-spark's profile that feature-sync uses, and where they say that Spark Connect is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from feature_sync.definitions import Target
from feature_sync.errors import ProfileError
from feature_sync.warehouses.base import TargetSettings, read_settings

_PORT = 15002
"""Spark Connect's usual port."""
_REMOTE = "spark.remote"
"""The setting by which Spark's own client, and so dbt-spark's method `session`, finds Spark Connect."""


class SparkSettings(TargetSettings):
    """The fields of the profile. dbt-spark's `port` is that of its own method (Thrift, HTTP), not of Spark Connect."""

    schema: str
    connect: str | None = None
    server_side_parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)
    connect_timeout: int = 10
    query_timeout: int | None = None

    @classmethod
    def of(cls, target: Target) -> tuple[SparkSettings, str]:
        """Read the fields of a target, and the URL of its Spark Connect.

        Raises:
            ProfileError: A field is missing or wrong.
        """
        settings = read_settings(target, cls)
        for_dbt = settings.server_side_parameters.get(_REMOTE)
        url = settings.connect or for_dbt or os.environ.get("SPARK_REMOTE")
        if not url:
            raise ProfileError(
                f"profile {target.profile}, target {target.name}: feature-sync speaks Spark Connect, whatever dbt's "
                "method is, and finds no address of it; with method: session, write server_side_parameters: "
                f'{{{_REMOTE}: "sc://HOST:{_PORT}"}}, by which dbt goes there too; with another method, '
                f'connect: "sc://HOST:{_PORT}", over which dbt passes; or set SPARK_REMOTE'
            )
        try:
            parts = urlsplit(str(url))
            is_good = parts.scheme == "sc" and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            is_good = False
        if not is_good:  # never quoted: it may hold a token
            raise ProfileError(
                f"profile {target.profile}, target {target.name}: the address of Spark Connect cannot be read; write "
                f"sc://HOST:{_PORT}, with options as in sc://HOST:{_PORT}/;use_ssl=true;token=TOKEN"
            )
        return settings, str(url)


def host_and_port(url: str) -> tuple[str, int]:
    """Return where a URL of Spark Connect leads, without its options, which may hold a token."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORT


def names_a_session(url: str) -> bool:
    """True if a URL of Spark Connect leads to a session that others may use too."""
    return any(option.startswith("session_id=") for option in urlsplit(url).path.lstrip("/").split(";"))
