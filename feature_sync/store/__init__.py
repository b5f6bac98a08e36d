"""The library's entry point: a `FeatureStore` opens a dbt project and delegates each request."""

from feature_sync.store.feature_store import FeatureStore
from feature_sync.store.project import Options

__all__ = ["FeatureStore", "Options"]
