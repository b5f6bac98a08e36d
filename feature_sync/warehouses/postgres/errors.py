"""Translates PostgreSQL's errors into ours: a lock, a conflict, a missing right, a value that does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.sql import Identifier

from feature_sync.errors import UnfitValue, WarehouseConflict, WarehouseError

_CONFLICTS = (
    psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateSchema, psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateObject,  # of a table, which is a type, too
)  # fmt: skip
_DENIED = re.compile(r'permission denied for (?:materialized )?(table|view|schema|database) "?(.+?)"?')
_RIGHTS = {"table": "select on", "view": "select on", "schema": "usage on schema", "database": "create on database"}


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
    """Return what to grant to this role, if the message allows to derive it; it names no schema of a table."""
    message = one_line(forbidden)
    if "temporary tables" in message:
        right = "grant temporary on that database"
    elif denied := _DENIED.fullmatch(message):
        right = f"grant {_RIGHTS[denied[1]]} {Identifier(denied[2]).as_string()}"
    else:
        return ""
    return f"; have their owner run: {right} to this role (feature-sync grants prints all that is needed)"


def one_line(error: psycopg.Error) -> str:
    """Return the server's message on one line, without its details, which may quote values."""
    text = error.diag.message_primary or str(error)
    return " ".join(text.split())
