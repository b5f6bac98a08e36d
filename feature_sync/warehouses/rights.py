"""What rights a project needs in its warehouse, as values; each warehouse writes them as statements of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from feature_sync.definitions import Target
from feature_sync.errors import RequestError

_WRITERS = {
    "bigquery": "feature_sync.warehouses.bigquery.grants",
    "postgres": "feature_sync.warehouses.postgres.grants",
}
GRANTING = frozenset(_WRITERS)
"""The adapters of warehouses that have roles to grant rights to."""
_WITHOUT_GRANTS = {
    "duckdb": "which has no roles: who may read and write its file may do so with all of it",
    "spark": "whose rights are those of its catalog: let the reader select from the models there, and nothing else",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededRights:
    """Who needs to read and write what.

    Args:
        pushed: Quoted names of the relations that pushes read, by the reference of the view.
        read: Quoted names of the relations that training sets read, those of `pushed` included.
        state_schema: The schema that pushes keep their tables in, and write alone; None if it is not in this warehouse.
        pusher: The role that pushes.
        reader: The role that makes training sets, verifies and reports.
        builder: The role that runs dbt; empty for the target's own.
    """

    pushed: Mapping[str, str]
    read: Mapping[str, str]
    state_schema: str | None
    pusher: str
    reader: str
    builder: str = ""


def grants(target: Target, needed: NeededRights) -> str:
    """Return the statements that grant the rights, for the administrator of the warehouse.

    Raises:
        RequestError: The warehouse has no rights to grant, or a role is named twice.
    """
    if target.adapter not in _WRITERS:
        why = _WITHOUT_GRANTS.get(target.adapter, "for which no statements are known")
        raise RequestError(f"the target {target.name} is {target.adapter}, {why}; choose another target with --target")
    if needed.pusher == needed.reader:
        raise RequestError(f"--pusher and --reader are both {needed.pusher!r}; a role that only reads must be another")
    write: Callable[[Target, NeededRights], str] = import_module(_WRITERS[target.adapter]).write_grants
    return write(target, needed)
