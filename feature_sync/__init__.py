"""A feature store for dbt projects: push features to Redis, and answer training questions without seeing the future."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feature_sync.store import FeatureStore

__all__ = ["FeatureStore", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the store when it is first asked for, so that `feature-sync --help` stays quick."""
    if name == "FeatureStore":
        from feature_sync.store import FeatureStore

        return FeatureStore
    raise AttributeError(name)
