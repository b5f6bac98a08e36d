"""Targets: how a warehouse is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How to reach a warehouse: the adapter's name and its fields in `profiles.yml`, rendered.

    The fields hold passwords, so they are no part of the `repr`.
    """

    profile: str
    name: str
    adapter: str
    settings: Mapping[str, Any] = field(repr=False)
    project_dir: str

    @property
    def schema(self) -> str:
        """The schema in which dbt builds, unless a model says otherwise; BigQuery calls it a dataset."""
        return str(self.settings.get("schema") or self.settings.get("dataset") or "main")

    @property
    def threads(self) -> int:
        """How many things dbt does at once."""
        threads = self.settings.get("threads")
        return threads if isinstance(threads, int) and threads > 0 else 1
