"""Translates DuckDB's errors into ours: a lock, a conflict, a value that does not fit, a missing table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from feature_sync.errors import UnfitValue, WarehouseConflict, WarehouseError


@contextmanager
def translating() -> Iterator[None]:
    """Turn errors of the driver, and of the file system below it, inside into ours."""
    try:
        yield
    except (duckdb.Error, OSError) as refused:
        raise translated(refused, "DuckDB") from refused


def translated(refused: Exception, where: str) -> WarehouseError:
    """Return an error with DuckDB's message on one line, after `where`, and what to do."""
    text = " ".join(str(refused).split())
    if "lock" in text.lower() and (holder := re.search(r"PID (\d+)", text)):
        return WarehouseError(
            f"{where} is locked by process {holder[1]}; wait until it has ended (a dbt run, a notebook?)"
        )
    if "different configuration" in text:
        return WarehouseError(
            f"{where} is open in this process with other settings; pass that connection: "
            "FeatureStore(..., connection=...), or close it"
        )
    if unfit := UnfitValue.read(text):
        return unfit
    if isinstance(refused, duckdb.CatalogException):
        return WarehouseError(f"{text.partition(' LINE ')[0]}; run dbt build")
    if isinstance(refused, (duckdb.TransactionException, duckdb.ConstraintException)):
        return WarehouseConflict(f"{where}: {text}")
    return WarehouseError(f"{where}: {text}")


def is_locked(refused: duckdb.Error) -> bool:
    """True if another process has the file locked. DuckDB has no error class for it, only the message."""
    return isinstance(refused, duckdb.IOException) and "lock" in str(refused)
