"""Opens the place where the states of pushes are kept, if that is not where the rows are."""

from __future__ import annotations

from collections.abc import Callable

from feature_sync.definitions import Target
from feature_sync.errors import ProfileError
from feature_sync.warehouses import open_warehouse
from feature_sync.warehouses.base import Warehouse, never


def open_state(
    target: Target, rows: Warehouse, *, writable: bool, wait: bool, stopped: Callable[[], bool] = never
) -> Warehouse:
    """Connect to a place of states; a file of DuckDB is made if it does not exist.

    Args:
        target: The place.
        rows: The warehouse of the rows.
        writable: Write states and tables of pushes; else only temporary tables.
        wait: Wait while another process has the place to itself.
        stopped: Ends the waiting when it returns True.

    Raises:
        ProfileError: A field is missing or wrong, a driver is missing, or it is the warehouse of the rows.
        WarehouseError: The place cannot be reached.
    """
    state = open_warehouse(target, writable=writable, wait=wait, stopped=stopped, create=True)
    if state.address == rows.address:
        state.close()
        raise ProfileError(
            f"profile {target.profile}, target {target.name} is the warehouse of the rows itself, where states "
            "are kept anyway: leave it out, or name another place"
        )
    return state
