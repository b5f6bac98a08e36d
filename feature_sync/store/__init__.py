"""The library's face: a `FeatureStore` opens a dbt project and hands each request down to what does the work."""

from feature_sync.store.feature_store import FeatureStore
from feature_sync.store.project import Options

__all__ = ["FeatureStore", "Options"]
