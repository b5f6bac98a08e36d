"""Encodes rows of the warehouse as keys and values of the online store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import repeat
from typing import Any

from feature_sync.online.codec import RowSchema, encode_row
from feature_sync.online.floats import is_packed, packer
from feature_sync.online.keys import KeyWriter
from feature_sync.online.validity import expiries

BYTES_PER_ENTRY = 80
"""The overhead of Redis and Valkey beside key and value: about 80 bytes for a key that expires, by Valkey 9."""
Row = tuple[bytes, bytes, int | None]
"""A row key, its value, and the millisecond since 1970 in UTC at which the row expires; None if it never does."""


class RowEncoder:
    """Encodes the rows of one view: join keys, event timestamp and end of validity in microseconds UTC, features.

    Rows pushed at a fixed clock never expire in the store: readers judge their age, and their end, which then follows
    the values.
    """

    def __init__(self, write_keys: KeyWriter, schema: RowSchema, *, lag: timedelta | None, expires: bool) -> None:
        """Prepare to encode rows.

        Args:
            write_keys: Writes the keys of rows from columns of join keys in wire form.
            schema: The schema of the rows.
            lag: The view's lag: how long a row answers beyond its end of validity.
            expires: True if rows expire at the store's own clock.
        """
        self._schema_id = schema.id
        self._ttl = schema.ttl_microseconds
        self._lag = (lag or timedelta(0)) // timedelta(microseconds=1)
        self._expires = expires
        self._width = len(schema.keys)
        self._write_keys = write_keys
        self._packers = [(at, packer(kind)) for at, (_, kind) in enumerate(schema.features) if is_packed(kind)]

    def keys(self, columns: Sequence[Sequence[Any]]) -> list[bytes]:
        """Encode row keys from columns that begin with the join keys; the others may be missing."""
        return self._write_keys(columns[: self._width])

    def encode(self, columns: Sequence[Sequence[Any]]) -> Iterator[Row]:
        """Encode whole rows. Works column by column, several times faster than row by row."""
        keys = self._write_keys(columns[: self._width])
        event_timestamps, valid_until, *values = columns[self._width :]
        wire: list[Iterable[Any]] = [*values]
        for at, pack in self._packers:
            wire[at] = map(pack, values[at])
        rows: Iterator[Any] = zip(repeat(self._schema_id), event_timestamps, *wire, strict=False)
        if not self._expires and any(end is not None for end in valid_until):
            rows = map(self._with_end, rows, valid_until)
        contents = map(encode_row, rows)
        expires_at = (
            expiries(event_timestamps, valid_until, ttl=self._ttl, lag=self._lag) if self._expires else repeat(None)
        )
        return zip(keys, contents, expires_at, strict=False)  # `repeat` never ends

    def _with_end(self, row: tuple[Any, ...], valid_until: int | None) -> tuple[Any, ...]:
        return row if valid_until is None else (*row, valid_until + self._lag)
