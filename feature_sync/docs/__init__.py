"""A page for dbt's docs site: all features, with their owners, tests and consumers."""

from feature_sync.docs.block import OVERVIEW, check_output, docs_block

__all__ = ["OVERVIEW", "check_output", "docs_block"]
