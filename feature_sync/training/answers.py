"""Checks the result of a training query: one row for each spine row, and values that all outputs can hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from feature_sync.errors import UnfitValue, WarehouseError
from feature_sync.service_schema import ServiceSchema
from feature_sync.serving.columns import arrow_type

if TYPE_CHECKING:
    import pyarrow

_DAYS = (-719_162, 2_932_896)
"""0001-01-01 and 9999-12-31, in days since 1970: the years that Python and most readers of files support."""
_SECONDS = (-62_135_596_800, 253_402_300_799)
"""The first and the last second of these years, since 1970."""
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_INFINITE = {32: (-(2**31), -(2**31) + 1, 2**31 - 1), 64: (-(2**63), -(2**63) + 1, 2**63 - 1)}
"""The integers by which warehouses represent -infinity and infinity, by the width of a date or timestamp in bits."""


class Answers:
    """Checks the batches of a training set."""

    def __init__(self, schema: ServiceSchema, *, expected: int) -> None:
        """Prepare the checks.

        Args:
            schema: The schema of the features: they are cast to its types, and infinity becomes null, as in Redis.
            expected: The number of rows of the spine.
        """
        self._features = {each.name: arrow_type(each.kind) for each in schema.features}
        self._expected = expected
        self._rows = 0

    def checked(self, reader: pyarrow.RecordBatchReader) -> pyarrow.RecordBatchReader:
        """Stream the batches, checked.

        Raises:
            UnfitValue: A date or a timestamp is infinite or outside the years 1 to 9999; while reading.
            WarehouseError: The number of rows differs from that of the spine; after all rows are read.
        """
        import pyarrow

        fields = [each.with_type(self._features.get(each.name, each.type)) for each in reader.schema]
        schema = pyarrow.schema(fields)
        return pyarrow.RecordBatchReader.from_batches(schema, self._batches(reader, schema))

    def _batches(self, reader: pyarrow.RecordBatchReader, schema: pyarrow.Schema) -> Iterator[pyarrow.RecordBatch]:
        import pyarrow

        for batch in reader:
            self._rows += batch.num_rows
            columns = zip(batch.schema.names, batch.columns, strict=True)
            arrays = [self._column(name, column) for name, column in columns]
            yield pyarrow.RecordBatch.from_arrays(arrays, schema=schema)
        if self._rows != self._expected:
            raise WarehouseError(
                f"the training set has {self._rows} rows, and its spine {self._expected}: one of them was changed "
                "while it was read, or a view has rows that share join keys and event timestamp though dbt's tests had "
                "found none; run dbt test, then this again"
            )

    def _column(self, name: str, column: pyarrow.Array) -> pyarrow.Array:
        if name in self._features and (bits := _bits_of_time(column.type)):
            column = _without_infinity(column, bits)
        if reason := _unfit(column):
            raise UnfitValue(name, reason)
        return _cast(name, column, self._features.get(name, column.type))


def _cast(name: str, column: pyarrow.Array, kind: pyarrow.DataType) -> pyarrow.Array:
    """Cast a column to a type, without a loss."""
    import pyarrow

    if isinstance(column.type, pyarrow.BaseExtensionType):
        column = column.storage
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except pyarrow.ArrowException as unfit:
        raise UnfitValue(name, f"a value that is not a {kind} ({' '.join(str(unfit).split())})") from unfit


def _bits_of_time(kind: pyarrow.DataType) -> int:
    """Return the width of a date or timestamp in bits; 0 for every other type."""
    import pyarrow

    is_time = pyarrow.types.is_date32(kind) or pyarrow.types.is_timestamp(kind)
    return int(kind.bit_width) if is_time else 0


def _without_infinity(column: pyarrow.Array, bits: int) -> pyarrow.Array:
    import pyarrow
    import pyarrow.compute

    numbers = pyarrow.int32() if bits == 32 else pyarrow.int64()  # noqa: PLR2004 - a date's
    is_infinite = pyarrow.compute.is_in(column.view(numbers), pyarrow.array(_INFINITE[bits], numbers))
    if not is_infinite.true_count:
        return column
    return pyarrow.compute.if_else(is_infinite, pyarrow.scalar(None, column.type), column)


def _unfit(column: pyarrow.Array) -> str:
    """Return what is wrong with the times in a column, also inside arrays and structs; empty if nothing is."""
    import pyarrow.compute

    types, kind = pyarrow.types, column.type
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _unfit(column.flatten())
    if types.is_struct(kind):
        return next(filter(None, map(_unfit, column.flatten())), "")
    bits = _bits_of_time(kind)
    if not bits or column.null_count == len(column):
        return ""
    numbers = column.view(pyarrow.int32() if bits == 32 else pyarrow.int64())  # noqa: PLR2004 - a date's
    ends = pyarrow.compute.min_max(numbers)
    lowest, highest = ends["min"].as_py(), ends["max"].as_py()
    if lowest in _INFINITE[bits] or highest in _INFINITE[bits]:
        return "infinity, which no file holds"
    first, last = _DAYS
    if types.is_timestamp(kind):
        per_second = _PER_SECOND[kind.unit]
        first, last = _SECONDS[0] * per_second, (_SECONDS[1] + 1) * per_second - 1
    return "" if first <= lowest and highest <= last else "a time outside the years 1 to 9999"
