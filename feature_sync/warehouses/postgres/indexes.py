"""Asks PostgreSQL's catalog for the indexes of tables, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from feature_sync.definitions import Index

_INDEXES = """
select
    wanted.name, entry.indisunique and entry.indimmediate,
    array(
        select attribute.attname::text
        from unnest(entry.indkey::int2[]) with ordinality as part (number, place)
        join pg_catalog.pg_attribute as attribute
            on attribute.attrelid = entry.indrelid and attribute.attnum = part.number
        where part.place <= entry.indnkeyatts
        order by part.place
    )
from unnest(%s::text[]) as wanted (name)
join pg_catalog.pg_class as relation on relation.oid = pg_catalog.to_regclass(wanted.name)
join pg_catalog.pg_index as entry on entry.indrelid = relation.oid
join pg_catalog.pg_class as tree on tree.oid = entry.indexrelid
join pg_catalog.pg_am as method on method.oid = tree.relam
where
    relation.relkind in ('r', 'm') and not relation.relhassubclass
    and method.amname = 'btree'
    and entry.indisvalid and entry.indisready
    and entry.indpred is null and entry.indexprs is null
    and not exists (
        select from
            unnest(entry.indkey::int2[], entry.indclass::oid[], entry.indcollation::oid[], entry.indoption::int2[])
            with ordinality as part (number, class, coll, option, place)
        join pg_catalog.pg_attribute as attribute
            on attribute.attrelid = entry.indrelid and attribute.attnum = part.number
        join pg_catalog.pg_opclass as class on class.oid = part.class
        where
            part.place <= entry.indnkeyatts
            and (not class.opcdefault or part.coll <> attribute.attcollation or part.option not in (0, 3))
    )
order by tree.oid
"""
"""Leaves out indexes of some rows or of expressions, those that are still being built or failed, and those that compare
or order otherwise than a query does: by another collation or operator class, or with nulls at the unusual end (the
options 0 and 3 are ASC NULLS LAST and DESC NULLS FIRST). Those of a table with children cover none of their rows."""


def indexes_of(connection: psycopg.Connection[Any], relations: Sequence[str]) -> Mapping[str, Sequence[Index]]:
    """Return the usable indexes of each table; a view has none.

    Args:
        connection: The connection.
        relations: The quoted names of relations; those that do not exist are left out.
    """
    found: dict[str, list[Index]] = {}
    for name, is_unique, columns in connection.execute(_INDEXES, [list(relations)]).fetchall():
        found.setdefault(name, []).append(Index(columns=tuple(columns), is_unique=is_unique))
    return found
