"""Asks PostgreSQL's planner how many rows of a table share the values of some columns, by the statistics it keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import psycopg
from psycopg.sql import SQL, Composed, Identifier

_KNOWN = """
select count(distinct statistic.attname)
from pg_catalog.pg_stats as statistic
join pg_catalog.pg_namespace as schema on schema.nspname = statistic.schemaname
join pg_catalog.pg_class as relation on relation.relnamespace = schema.oid and relation.relname = statistic.tablename
where relation.oid = pg_catalog.to_regclass(%s) and statistic.attname = any(%s)
"""


def estimated_depth(connection: psycopg.Connection[Any], relation: str, columns: Sequence[str]) -> float | None:
    """Return how many rows have equal values in columns, on average; None before ANALYZE or autovacuum has run.

    Args:
        connection: The connection.
        relation: The quoted name of a table.
        columns: The names of columns.
    """
    known = connection.execute(_KNOWN, [relation, list(columns)]).fetchone()
    if known is None or known[0] < len(set(columns)):
        return None
    table, names = SQL(cast("Any", relation)), SQL(", ").join(map(Identifier, columns))
    rows = _planned_rows(connection, SQL("select from {}").format(table))
    return rows / max(_planned_rows(connection, SQL("select from {} group by {}").format(table, names)), 1)


def _planned_rows(connection: psycopg.Connection[Any], query: Composed) -> float:
    ((text,),) = connection.execute(SQL("explain (format json) {}").format(query)).fetchall()
    return float(json.loads(text)[0]["Plan"]["Plan Rows"])
