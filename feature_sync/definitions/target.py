"""Targets: how a warehouse is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How to reach a warehouse: the adapter's name and its fields in `profiles.yml`, rendered."""

    profile: str
    name: str
    adapter: str
    settings: Mapping[str, Any]
    project_dir: str
