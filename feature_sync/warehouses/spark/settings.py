"""The fields of dbt-spark's profile that feature-sync uses, and its own: where Spark Connect is."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from feature_sync.definitions import Target
from feature_sync.errors import ProfileError
from feature_sync.warehouses.base import TargetSettings, read_settings

_PORT = 15002
"""Spark Connect's usual port."""


class SparkSettings(TargetSettings):
    """The fields of the profile. dbt-spark's `port` is that of its own method (Thrift, HTTP), not of Spark Connect."""

    schema: str
    connect: str | None = None
    connect_timeout: int = 10
    query_timeout: int | None = None

    @classmethod
    def of(cls, target: Target) -> tuple[SparkSettings, str]:
        """Read the fields of a target, and the URL of its Spark Connect.

        Raises:
            ProfileError: A field is missing or wrong.
        """
        settings = read_settings(target, cls)
        url = settings.connect or os.environ.get("SPARK_REMOTE")
        if not url:
            raise ProfileError(
                f"profile {target.profile}, target {target.name}: connect is missing: feature-sync speaks Spark "
                f"Connect, whatever dbt's method is; add connect: sc://HOST:{_PORT} to the target (dbt passes over "
                "it), or set SPARK_REMOTE"
            )
        try:
            parts = urlsplit(url)
            is_good = parts.scheme == "sc" and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            is_good = False
        if not is_good:  # never quoted: it may hold a token
            raise ProfileError(
                f"profile {target.profile}, target {target.name}: connect is not an address of Spark Connect; write "
                f"sc://HOST:{_PORT}, with options as in sc://HOST:{_PORT}/;use_ssl=true;token=TOKEN"
            )
        return settings, url


def host_and_port(url: str) -> tuple[str, int]:
    """Return where a URL of Spark Connect leads, without its options, which may hold a token."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORT
