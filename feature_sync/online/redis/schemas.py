"""Reads the row schemas of a view from their hash in Redis."""

from __future__ import annotations

from collections.abc import Mapping

from feature_sync.errors import OnlineStoreError
from feature_sync.online.codec import SCHEMA_ID_BYTES, RowSchema, read_row_schema


def readable_schemas(key: str, found: Mapping[bytes, bytes], *, strict: bool) -> Mapping[bytes, RowSchema]:
    """Decode the schemas that can be read, the newest last.

    Args:
        key: The Redis key of the hash, for the error.
        found: The hash.
        strict: Raise for an unreadable one, instead of leaving it out.

    Raises:
        OnlineStoreError: One is unreadable, and `strict` is set.
    """
    schemas: dict[bytes, RowSchema] = {}
    for schema_id, content in found.items():
        if len(schema_id) != SCHEMA_ID_BYTES:
            continue  # another program's field
        try:
            schemas[schema_id] = read_row_schema(content)
        except OnlineStoreError as unreadable:
            if strict:
                raise OnlineStoreError(f"{key} in Redis: {unreadable}") from unreadable
    return dict(sorted(schemas.items(), key=lambda each: each[1].fence))
