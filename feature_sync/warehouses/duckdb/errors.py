"""Translates what DuckDB refuses into errors of ours: a lock, a conflict, an unfit value, a missing table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from feature_sync.errors import UnfitValue, WarehouseConflict, WarehouseError


@contextmanager
def translating() -> Iterator[None]:
    """Raise what the driver, or the file system below it, raises inside as an error of ours."""
    try:
        yield
    except (duckdb.Error, OSError) as refused:
        raise translated(refused, "DuckDB") from refused


def translated(refused: Exception, where: str) -> WarehouseError:
    """Say in one line what DuckDB said, after `where`, and what to do."""
    text = " ".join(str(refused).split())
    if "lock" in text.lower() and (holder := re.search(r"PID (\d+)", text)):
        return WarehouseError(
            f"{where} is locked by process {holder[1]}; wait until it has ended (a dbt run, a notebook?)"
        )
    if unfit := UnfitValue.read(text):
        return unfit
    if isinstance(refused, duckdb.CatalogException):
        return WarehouseError(f"{text.partition(' LINE ')[0]}; run dbt build")
    if isinstance(refused, (duckdb.TransactionException, duckdb.ConstraintException)):
        return WarehouseConflict(f"{where}: {text}")
    return WarehouseError(f"{where}: {text}")


def is_locked(refused: duckdb.Error) -> bool:
    """True if another process has the file."""
    return isinstance(refused, duckdb.IOException) and "lock" in str(refused)
