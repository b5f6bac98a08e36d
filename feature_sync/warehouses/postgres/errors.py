"""Translates PostgreSQL's errors into ours: a lock, a conflict, a missing right, a value that does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from feature_sync.errors import UnfitValue, WarehouseConflict, WarehouseError

_CONFLICTS = (
    psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateSchema, psycopg.errors.DuplicateTable,
)  # fmt: skip
_GRANTS = (
    ("temporary tables", "TEMPORARY on"), ("for schema", "USAGE on"), ("for database", "CREATE on"),
    ("for table", "SELECT on"), ("for view", "SELECT on"), ("for materialized view", "SELECT on"),
)  # fmt: skip


class Locked(WarehouseConflict):
    """Another session holds a lock."""


@contextmanager
def translating() -> Iterator[None]:
    """Turn errors of the driver, and of Arrow's conversions, inside into ours."""
    import pyarrow

    try:
        yield
    except psycopg.errors.UndefinedTable as missing:
        raise WarehouseError(f"PostgreSQL: {one_line(missing)}; run dbt build") from missing
    except psycopg.errors.InsufficientPrivilege as forbidden:
        raise WarehouseError(f"PostgreSQL: {one_line(forbidden)}{_grant(forbidden)}") from forbidden
    except psycopg.errors.LockNotAvailable as locked:
        raise Locked(f"PostgreSQL: {one_line(locked)}") from locked
    except _CONFLICTS as conflict:
        raise WarehouseConflict(f"PostgreSQL: {one_line(conflict)}") from conflict
    except psycopg.Error as refused:
        text = one_line(refused)
        raise UnfitValue.read(text) or WarehouseError(f"PostgreSQL: {text}") from refused
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as unfit:
        raise WarehouseError(f"a value does not fit its column: {unfit}; cast the column in the model") from unfit


def _grant(forbidden: psycopg.Error) -> str:
    """Return what to grant to this role, if the message allows to derive it."""
    message = one_line(forbidden)
    found = next((found for words, found in _GRANTS if words in message), None)
    return f"; grant this role {found} that" if found else ""


def one_line(error: psycopg.Error) -> str:
    """Return the server's message on one line, without its details, which may quote values."""
    text = error.diag.message_primary or str(error)
    return " ".join(text.split())
