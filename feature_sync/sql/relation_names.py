"""Takes the qualified name of a relation apart."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect


def relation_parts(name: str, *, dialect: Dialect) -> tuple[str, ...]:
    """Return database, schema and name of a relation without quotes, or as many of them as it has."""
    return tuple(part.name for part in exp.to_table(name, dialect=dialect.name).parts)
