"""Writes the rights that a project needs as PostgreSQL's GRANT statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from psycopg.sql import Identifier

from feature_sync.definitions import Target
from feature_sync.errors import RequestError
from feature_sync.warehouses.base import read_settings
from feature_sync.warehouses.postgres.rights import schema_and_name
from feature_sync.warehouses.postgres.settings import PostgresSettings
from feature_sync.warehouses.rights import NeededRights


def write_grants(target: Target, needed: NeededRights) -> str:
    """Return the statements, each a line; the roles must exist.

    Raises:
        RequestError: The role that runs dbt is also one of those that must not write.
    """
    settings = read_settings(target, PostgresSettings)
    builder = needed.builder or settings.role or settings.user
    if needed.read and builder in (needed.pusher, needed.reader):
        raise RequestError(
            f"the role {builder!r} runs dbt, and so owns the models: name the roles that push and read with --pusher "
            "and --reader, or the one that runs dbt with --builder"
        )
    database = settings.dbname or settings.database or ""
    lines = [
        "-- As an administrator, or as the owner of the models and the database. The roles must exist:",
        f"-- create role {_quoted(needed.pusher)} login; create role {_quoted(needed.reader)} login;",
        *_to_push(needed, database),
        *_to_read(needed, database),
        *_of_future_tables(needed, builder),
    ]
    return "\n".join([*lines, ""])


def _to_push(needed: NeededRights, database: str) -> Iterator[str]:
    pusher = _quoted(needed.pusher)
    if not needed.pushed:  # the rows are elsewhere: they come as a temporary table
        yield f"grant temporary on database {_quoted(database)} to {pusher};"
    if needed.pushed:
        writes = "nothing" if needed.state_schema is None else "only its own schema"
        yield f"-- push: reads {', '.join(needed.pushed)}, and writes {writes}"
    if needed.state_schema is not None:
        yield f"create schema if not exists {_quoted(needed.state_schema)} authorization {pusher};"
    yield from _reading(needed.pushed.values(), pusher)


def _to_read(needed: NeededRights, database: str) -> Iterator[str]:
    reader = _quoted(needed.reader)
    yield "-- extract, verify, status, forget, check --warehouse, push --dry-run: writes nothing but temporary tables"
    yield f"grant temporary on database {_quoted(database)} to {reader};"
    yield from _reading(needed.read.values(), reader)
    if needed.state_schema is not None:
        yield f"grant usage on schema {_quoted(needed.state_schema)} to {reader};"
        yield f"grant select on all tables in schema {_quoted(needed.state_schema)} to {reader};"


def _reading(relations: Iterable[str], role: str) -> Iterator[str]:
    names = [schema_and_name(relation) for relation in relations]
    for schema in dict.fromkeys(schema for schema, _ in names):
        yield f"grant usage on schema {_quoted(schema)} to {role};"
    for schema, name in dict.fromkeys(names):
        yield f"grant select on {_quoted(schema, name)} to {role};"


def _of_future_tables(needed: NeededRights, builder: str) -> Iterator[str]:
    """Grant for tables that dbt and pushes make anew: a new table has no grants, but for those of dbt's `grants`."""
    yield "-- dbt and pushes make new tables all the time. Narrower, in dbt: +grants: {select: [...]} of these models"
    for relations, role in ((needed.pushed, needed.pusher), (needed.read, needed.reader)):
        for schema in dict.fromkeys(schema_and_name(each)[0] for each in relations.values()):
            yield _future(builder, schema, role)
    if needed.state_schema is not None:
        yield _future(needed.pusher, needed.state_schema, needed.reader)


def _future(owner: str, schema: str, role: str) -> str:
    to = f"grant select on tables to {_quoted(role)};"
    return f"alter default privileges for role {_quoted(owner)} in schema {_quoted(schema)} {to}"


def _quoted(*names: str) -> str:
    return Identifier(*names).as_string()
