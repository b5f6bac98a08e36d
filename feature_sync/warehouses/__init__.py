"""One folder for each warehouse, and a registry of them by the adapter's name in `profiles.yml`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from feature_sync.definitions import Target
from feature_sync.errors import ProfileError, did_you_mean
from feature_sync.warehouses.base import Warehouse, never

_WAREHOUSES = {
    "duckdb": ("feature_sync.warehouses.duckdb.warehouse", "DuckDBWarehouse"),
    "bigquery": ("feature_sync.warehouses.bigquery.warehouse", "BigQueryWarehouse"),
    "postgres": ("feature_sync.warehouses.postgres.warehouse", "PostgresWarehouse"),
    "spark": ("feature_sync.warehouses.spark.warehouse", "SparkWarehouse"),
}
_DRIVERS = ("duckdb", "google", "grpc", "psycopg", "pyspark")
"""The packages of the drivers; any other module that cannot be found is a fault of ours."""


def open_warehouse(
    target: Target,
    *,
    writable: bool = False,
    wait: bool = False,
    stopped: Callable[[], bool] = never,
    create: bool = False,
) -> Warehouse:
    """Connect to the warehouse of a target.

    Args:
        target: The target of `profiles.yml`.
        writable: Also write permanent tables.
        wait: Wait while another process has the warehouse or its tables to itself.
        stopped: Ends the waiting when it returns True.
        create: Make an empty warehouse if there is none, where that is a file.

    Raises:
        ProfileError: The adapter is not supported, its driver is not installed, or a field is wrong.
        WarehouseError: The warehouse cannot be reached.
    """
    if target.adapter not in _WAREHOUSES:
        choice = did_you_mean(target.adapter, _WAREHOUSES)
        raise ProfileError(
            f"profile {target.profile}, target {target.name}: type {target.adapter!r} is not supported{choice}"
        )
    module, name = _WAREHOUSES[target.adapter]
    try:
        warehouse: type[Warehouse] = getattr(import_module(module), name)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _DRIVERS:
            raise
        extra = f"pip install 'feature-sync[{target.adapter}]'"
        raise ProfileError(f"target {target.name} needs the Python module {missing.name}; {extra}") from missing
    if create:
        warehouse.create(target)
    return warehouse.connect(target, writable=writable, wait=wait, stopped=stopped)
