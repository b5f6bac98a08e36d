"""Targets: how to connect to a warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from feature_sync.errors import ProfileError, did_you_mean

STATE = "state"
"""The field of a target that says where the states of pushes are kept, if not in the warehouse itself."""
KEEPERS = ("duckdb", "postgres")
"""The adapters of warehouses that can keep states for another: they have transactions, and cost nothing to ask."""
_PLACE = ("path", "host", "port", "dbname", "database")
"""The fields that say which warehouse a target of such an adapter is."""


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


def state_target(target: Target) -> Target | None:
    """Return where the states of pushes from a target are kept, by its field `state`; None if beside its rows.

    Fields are those of a dbt target; `schema` is the target's own unless it is set.

    Raises:
        ProfileError: The field is not a mapping, or its `type` cannot keep states.
    """
    settings = target.settings.get(STATE)
    if settings is None:
        return None
    where = f"profile {target.profile}, target {target.name}: {STATE}"
    if not isinstance(settings, Mapping):
        raise ProfileError(f"{where} must be a mapping such as {{type: duckdb, path: state.duckdb}}")
    adapter = str(settings.get("type"))
    if adapter not in KEEPERS:
        raise ProfileError(f"{where}.type is {adapter!r}, not {' or '.join(KEEPERS)}{did_you_mean(adapter, KEEPERS)}")
    if adapter == target.adapter and all(_same(name, settings.get(name), target) for name in _PLACE):
        raise ProfileError(f"{where} is the warehouse of the target itself, where states are kept anyway; leave it out")
    fields = {"schema": target.schema, **settings}
    return replace(target, name=f"{target.name}.{STATE}", adapter=adapter, settings=fields)


def _same(name: str, value: object, target: Target) -> bool:
    """True if a field says the same as the target's; a path starts at the project."""
    other = target.settings.get(name)
    if name == "path" and value is not None and other is not None:
        return Path(target.project_dir, str(value)).resolve() == Path(target.project_dir, str(other)).resolve()
    return str(value) == str(other)
