"""Targets: how to connect to a warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How to connect to a warehouse: the adapter's name and its fields in `profiles.yml`, rendered.

    The fields hold passwords, so the `repr` omits them.
    """

    profile: str
    name: str
    adapter: str
    settings: Mapping[str, Any] = field(repr=False)
    project_dir: str

    @property
    def schema(self) -> str:
        """The schema of the warehouse in which dbt builds unless a model sets another; BigQuery calls it a dataset."""
        return str(self.settings.get("schema") or self.settings.get("dataset") or "main")

    @property
    def threads(self) -> int:
        """The number of queries that dbt runs at once, at least 1."""
        threads = self.settings.get("threads")
        return threads if isinstance(threads, int) and threads > 0 else 1
