"""The content hash of a training set: of its rows in any order, whatever the file or the warehouse that held them."""

from __future__ import annotations

import sys
from array import array
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from feature_sync.table_files import read_frame, read_table

if TYPE_CHECKING:
    import pyarrow

_MASK = 2**64 - 1
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFTS = (30, 27, 31)
_LANES = (b"0", b"1")
"""Names of the two sums."""


class ContentHash:
    """Hashes rows batch by batch: equal rows give equal hashes, whatever their order and that of the columns.

    The hash of a row is a number of 64 bits, mixed of the name and the value of each column. Two sums over all rows,
    modulo 2^64, and the number of rows make the content hash. The mixing function is that of SplitMix64 (Steele, Lea,
    Flood: Fast splittable pseudorandom number generators, 2014). It tells apart what changed by accident; it is no
    signature against forgery. Integers are equal if their values are, whatever their width; so are floats, all NaN,
    and times in any unit.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._sums = [0, 0]

    def add(self, batch: pyarrow.RecordBatch) -> None:
        """Add the rows of a batch."""
        import pyarrow.compute

        self._rows += batch.num_rows
        row = _scalar(0)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            named = pyarrow.compute.bit_wise_xor(_words(column), _scalar(_word(name.encode())))
            row = pyarrow.compute.add(row, _mixed(named))
        if batch.num_rows and batch.num_columns:
            for lane, salt in enumerate(_LANES):
                words = _mixed(pyarrow.compute.bit_wise_xor(row, _scalar(_word(salt))))
                self._sums[lane] = (self._sums[lane] + pyarrow.compute.sum(words).as_py()) & _MASK

    def hexdigest(self) -> str:
        """Return the content hash of all rows so far: 40 hexadecimal digits."""
        return f"{self._rows & 0xFFFFFFFF:08x}" + "".join(f"{each:016x}" for each in self._sums)


def content_hash(rows: Any) -> str:
    """Return the content hash of rows: a Parquet file, or anything with an Arrow stream, such as a frame or table.

    Raises:
        RequestError: The file cannot be read, or `rows` is neither.
    """
    reader = read_table(Path(rows), {}, moment="") if isinstance(rows, str | Path) else read_frame(rows)
    hashed = ContentHash()
    for batch in reader:
        hashed.add(batch)
    return hashed.hexdigest()


def _words(column: pyarrow.Array) -> pyarrow.Array:
    """Return a number of 64 bits for each value, the same for equal values; null has one of its own."""
    import pyarrow.compute

    words = _words_of_values(column)
    if not column.null_count:
        return words
    return pyarrow.compute.if_else(column.is_null(), _scalar(_word(b"null")), words)


def _words_of_values(column: pyarrow.Array) -> pyarrow.Array:
    import pyarrow
    import pyarrow.compute

    types, kind = pyarrow.types, column.type
    if isinstance(kind, pyarrow.BaseExtensionType):
        return _words_of_values(column.storage)
    if types.is_dictionary(kind):
        return _words_of_values(column.dictionary_decode())
    if types.is_nested(kind):
        return _hashed(column)
    if (plain := _plain_type(kind)) is not None:
        words = column.cast(plain).view(pyarrow.uint64())
        if not types.is_floating(kind):
            return words
        return pyarrow.compute.if_else(pyarrow.compute.is_nan(column), _scalar(_word(b"nan")), words)
    distinct = column.dictionary_encode()
    return _hashed(distinct.dictionary).take(distinct.indices)


def _plain_type(kind: pyarrow.DataType) -> pyarrow.DataType | None:
    """Return the type of 64 bits that holds all values of a type; None for text, bytes and decimals."""
    import pyarrow

    types = pyarrow.types
    if types.is_floating(kind):
        return pyarrow.float64()
    if types.is_boolean(kind) or types.is_integer(kind):
        return pyarrow.uint64() if types.is_uint64(kind) else pyarrow.int64()
    if types.is_timestamp(kind):
        return pyarrow.timestamp("us", tz=kind.tz)
    if types.is_time(kind):
        return pyarrow.time64("us")
    return pyarrow.date64() if types.is_date(kind) else None


def _hashed(values: pyarrow.Array) -> pyarrow.Array:
    """Return a number of 64 bits for each text, bytes, decimal, array or struct."""
    import pyarrow

    words = array("Q", (_word(msgspec.msgpack.encode(value)) for value in values.to_pylist()))
    return pyarrow.Array.from_buffers(pyarrow.uint64(), len(words), [None, pyarrow.py_buffer(words)])


def _word(content: bytes, salt: bytes = b"") -> int:
    return int.from_bytes(blake2b(content, digest_size=8, salt=salt).digest())


def _mixed(words: pyarrow.Array) -> pyarrow.Array:
    """Mix the bits of each word, as SplitMix64 does: each bit of the result depends on all bits of the word."""
    import pyarrow.compute

    for shift, multiplier in zip(_SHIFTS, (*_MULTIPLIERS, None), strict=True):
        shifted = pyarrow.compute.shift_right(words, _scalar(shift))
        words = pyarrow.compute.bit_wise_xor(words, shifted)
        if multiplier is not None:
            words = pyarrow.compute.multiply(words, _scalar(multiplier))
    return words


def _scalar(word: int) -> pyarrow.Scalar:
    """Make an Arrow scalar from a buffer: converting a Python number, Arrow would import pandas, which takes 40 MB."""
    import pyarrow

    content = pyarrow.py_buffer(word.to_bytes(8, sys.byteorder))
    return pyarrow.Array.from_buffers(pyarrow.uint64(), 1, [None, content])[0]
