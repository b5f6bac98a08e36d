"""Encodes rows of a stream as keys and values of the online store.

A streamed row is a row of a schema of its own: that of pushed rows, with the position as one more feature at the end.
Readers take the features that they ask for by name, so that rows of both schemas answer alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import msgspec

from feature_sync.online.codec import RowSchema, encode_row
from feature_sync.online.floats import is_packed, packer
from feature_sync.online.keys import KeyWriter
from feature_sync.online.streams import StreamedRow, pack_positions
from feature_sync.online.validity import expiries
from feature_sync.value_types import ValueType

POSITION = "$position"
"""The feature that holds the position; no column of a feature view begins with a dollar sign."""


def streamed_schema(schema: RowSchema) -> RowSchema:
    """Return the schema of streamed rows beside that of pushed ones; by its fence it is never the newest.

    >>> streamed_schema(RowSchema(keys=(), features=(("amount", ValueType("int64")),), fence=7)).features[-1]
    ('$position', ValueType(kind='bytes', precision=None, scale=None, element=None, fields=()))
    """
    return msgspec.structs.replace(schema, features=(*schema.features, (POSITION, ValueType("bytes"))), fence=0)


def is_streamed(schema: RowSchema) -> bool:
    """True if rows of a schema carry a position."""
    return schema.features[-1:] == ((POSITION, ValueType("bytes")),)


class StreamEncoder:
    """Encodes rows of the stream of one view, column by column."""

    def __init__(self, write_keys: KeyWriter, schema: RowSchema) -> None:
        """Prepare to encode rows.

        Args:
            write_keys: Writes the keys of rows from columns of join keys in wire form.
            schema: The schema of pushed rows.
        """
        self._schema_id = streamed_schema(schema).id
        self._ttl = schema.ttl_microseconds
        self._write_keys = write_keys
        self._packers = [(at, packer(kind)) for at, (_, kind) in enumerate(schema.features) if is_packed(kind)]

    def encode(
        self,
        keys: Sequence[Sequence[Any]],
        event_timestamps: Sequence[int],
        values: Sequence[Sequence[Any]] | None,
        *,
        partitions: Sequence[int],
        offsets: Sequence[int],
    ) -> list[StreamedRow]:
        """Encode rows.

        Args:
            keys: The columns of the join keys, in wire form.
            event_timestamps: Microseconds since 1970 in UTC.
            values: The columns of the features, in wire form; None to delete the rows of these keys.
            partitions: The partition of each row.
            offsets: The offset of each row.
        """
        row_keys = self._write_keys(keys)
        places = (event_timestamps, partitions, offsets)
        if values is None:
            return [StreamedRow(*each) for each in zip(row_keys, repeat(None), repeat(None), *places, strict=False)]
        wire: list[Iterable[Any]] = [*values]
        for at, pack in self._packers:
            wire[at] = map(pack, values[at])
        positions = pack_positions(*places)
        contents = map(encode_row, zip(repeat(self._schema_id), event_timestamps, *wire, positions, strict=False))
        ends = expiries(event_timestamps, (), ttl=self._ttl, lag=0)
        return [*map(StreamedRow._make, zip(row_keys, contents, ends, *places, strict=False))]
