"""Tables of a lake (Hudi, Iceberg, Delta, partitioned Parquet) as sources of dbt, by a plugin of dbt-duckdb."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feature_sync.lake.plugin import Plugin

__all__ = ["Plugin"]


def __getattr__(name: str) -> object:
    """Import the plugin, and with it dbt, when dbt-duckdb asks for it."""
    if name != "Plugin":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from feature_sync.lake.plugin import Plugin

    return Plugin
