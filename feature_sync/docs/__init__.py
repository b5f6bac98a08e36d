"""A page of dbt's docs site: what models can be given, who answers for it, and what tests it."""

from feature_sync.docs.block import OVERVIEW, check_place, docs_block

__all__ = ["OVERVIEW", "check_place", "docs_block"]
