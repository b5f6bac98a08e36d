"""Lists all rights that a PostgreSQL role lacks for a command, as the GRANT statements to run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg.sql import Identifier

_PART = re.compile(r'"((?:[^"]|"")*)"|([^".]+)')
_READABLE = """
select
    schema.nspname, relation.relname, pg_catalog.has_schema_privilege(schema.oid, 'usage'),
    pg_catalog.has_any_column_privilege(relation.oid, 'select')
from unnest(%s::text[], %s::text[]) as wanted (schema, relation)
join pg_catalog.pg_namespace as schema on schema.nspname = wanted.schema
join pg_catalog.pg_class as relation on relation.relnamespace = schema.oid and relation.relname = wanted.relation
"""
"""Has no row for a relation that does not exist: dbt has not built it."""
_WRITABLE = """
select
    pg_catalog.has_schema_privilege(schema.oid, 'usage'), pg_catalog.has_schema_privilege(schema.oid, 'create'),
    (
        select pg_catalog.pg_get_userbyid(relation.relowner)
        from pg_catalog.pg_class as relation
        where
            relation.relnamespace = schema.oid and relation.relkind = 'r'
            and not pg_catalog.pg_has_role(relation.relowner, 'usage')
        limit 1
    )
from pg_catalog.pg_namespace as schema
where schema.nspname = %s
"""
_WHO = "select current_user, current_database(), has_database_privilege(current_database(), 'create')"


def missing_grants(connection: psycopg.Connection[Any], relations: Sequence[str], writes_to: str | None) -> list[str]:
    """Return the grants that the current role lacks, as statements for the owner of the tables or the database.

    Args:
        connection: The connection of the role.
        relations: Quoted names of relations to read.
        writes_to: The schema to create tables in, which need not exist; None to write nothing.
    """
    who, database, may_create = connection.execute(_WHO).fetchone() or ("", "", False)
    role = Identifier(who).as_string()
    grants = [*_to_read(connection, relations)]
    if writes_to is not None:
        grants += _to_write(connection, writes_to)
    statements = [f"{grant} to {role}" for grant in dict.fromkeys(grants)]
    schema = Identifier(writes_to or "").as_string()
    if writes_to is not None and not may_create and not _exists(connection, writes_to):
        create = f"grant create on database {Identifier(database).as_string()} to {role}"
        statements.append(f"create schema {schema} authorization {role} (or {create})")
    return statements


def _to_read(connection: psycopg.Connection[Any], relations: Sequence[str]) -> Iterator[str]:
    pairs = [pair for pair in map(schema_and_name, relations) if pair[0]]
    found = connection.execute(_READABLE, [[schema for schema, _ in pairs], [name for _, name in pairs]]).fetchall()
    for schema, name, may_use, may_read in found:
        if not may_use:
            yield f"grant usage on schema {Identifier(schema).as_string()}"
        if not may_read:
            yield f"grant select on {Identifier(schema, name).as_string()}"


def schema_and_name(relation: str) -> tuple[str, str]:
    """Split the quoted name of a relation; the schema is empty if it names none.

    >>> schema_and_name('"warehouse"."sales"."the ""new"" orders"')
    ('sales', 'the "new" orders')
    """
    parts = [quoted.replace('""', '"') or plain for quoted, plain in _PART.findall(relation)]
    return (parts[-2], parts[-1]) if len(parts) > 1 else ("", parts[-1])


def _to_write(connection: psycopg.Connection[Any], schema: str) -> Iterator[str]:
    for may_use, may_create, other_owner in connection.execute(_WRITABLE, [schema]).fetchall():
        if not (may_use and may_create):
            yield f"grant usage, create on schema {Identifier(schema).as_string()}"
        if other_owner is not None:
            yield f"grant {Identifier(other_owner).as_string()}"


def _exists(connection: psycopg.Connection[Any], schema: str) -> bool:
    query = "select 1 from pg_catalog.pg_namespace where nspname = %s"
    return connection.execute(query, [schema]).fetchone() is not None
