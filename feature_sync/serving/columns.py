"""Makes Arrow, NumPy and pandas of columns: one way for training sets and for feature vectors.

Columns are in wire form, as Redis holds them, or Arrow arrays of the canonical types.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from math import nan
from typing import TYPE_CHECKING, Any

from feature_sync.errors import RequestError
from feature_sync.online.codec import read_value
from feature_sync.service_schema import ServiceSchema
from feature_sync.value_types import ValueType

if TYPE_CHECKING:
    import numpy
    import pyarrow

EXACT = 2**53
"""Up to this number float64 holds every integer."""
INTEGERS = ("int64", "wideint")
NUMBERS = ("bool", "float64", "decimal", *INTEGERS)
_PLAIN = ("bool", "float64", "int64")
"""Types whose values in wire form are numbers of Python."""
_WIDEINT_DIGITS = _MOST_DIGITS = 38
_BARE_DECIMAL = (76, 38)


def arrow_type(kind: ValueType) -> pyarrow.DataType:
    """Return the Arrow type of a canonical type.

    Integers wider than 64 bits are decimals of 38 digits; a decimal without a precision has 38 digits on either side
    of its point.
    """
    import pyarrow

    if kind.element is not None:
        return pyarrow.list_(arrow_type(kind.element))
    if kind.kind == "struct":
        return pyarrow.struct([(name, arrow_type(each)) for name, each in kind.fields])
    if kind.kind == "decimal":
        precision, scale = _BARE_DECIMAL if kind.precision is None else (kind.precision, kind.scale or 0)
        precision, scale = max(precision - min(scale, 0), scale), max(scale, 0)  # PostgreSQL has (3, 5) and (5, -2)
        make = pyarrow.decimal128 if precision <= _MOST_DIGITS else pyarrow.decimal256
        return make(precision, scale)
    simple = {
        "bool": pyarrow.bool_(), "int64": pyarrow.int64(), "float64": pyarrow.float64(), "float32": pyarrow.float32(),
        "wideint": pyarrow.decimal128(_WIDEINT_DIGITS, 0), "bytes": pyarrow.binary(), "date": pyarrow.date32(),
        "timestamp": pyarrow.timestamp("us"), "timestamptz": pyarrow.timestamp("us", tz="UTC"),
    }  # fmt: skip
    return simple.get(kind.kind, pyarrow.string())


def arrow_schema(schema: ServiceSchema) -> pyarrow.Schema:
    """Return the Arrow schema of a service's features."""
    import pyarrow

    return pyarrow.schema([(each.name, arrow_type(each.kind)) for each in schema.features])


def table_of(schema: ServiceSchema, columns: Sequence[Sequence[Any]]) -> pyarrow.Table:
    """Make an Arrow table of columns in wire form.

    Raises:
        RequestError: A value does not fit its Arrow type.
    """
    import pyarrow

    arrays = [arrow_array(each.name, each.kind, column) for each, column in zip(schema.features, columns, strict=True)]
    return pyarrow.Table.from_arrays(arrays, schema=arrow_schema(schema))


def arrow_array(name: str, kind: ValueType, column: Sequence[Any]) -> pyarrow.Array:
    """Make an Arrow array of a column in wire form.

    Args:
        name: The name of the column, for the error.
        kind: Its canonical type.
        column: The values.

    Raises:
        RequestError: A value does not fit its Arrow type.
    """
    import pyarrow

    target = arrow_type(kind)
    try:
        if kind.is_time:
            numbers = pyarrow.int32() if kind.kind == "date" else pyarrow.int64()
            return pyarrow.array(column, numbers).view(target)
        return pyarrow.array(python_values(column, kind), target)
    except (pyarrow.ArrowException, OverflowError) as unfit:
        raise RequestError(f"{name} holds a value that is not {target} ({' '.join(str(unfit).split())})") from unfit


def python_values(column: Sequence[Any], kind: ValueType) -> Sequence[Any]:
    """Convert wire values to Python, where the two differ."""
    scalar = kind.scalar
    if scalar is not None and scalar.from_wire is None:
        return column
    if kind.kind == "wideint":
        from decimal import Decimal

        return [None if each is None else Decimal(each) for each in column]
    return [read_value(each, kind) for each in column]


def matrix_of(schema: ServiceSchema, columns: Sequence[Sequence[Any]], count: int) -> numpy.ndarray[Any, Any]:
    """Make an array of shape (rows, features) of columns in wire form; see `FeatureVectors.to_numpy`."""
    import numpy

    is_numeric = all(each.kind in NUMBERS for each in schema.kinds)
    matrix = numpy.empty((count, len(columns)), dtype=numpy.float64 if is_numeric else object)
    for at, (feature, column) in enumerate(zip(schema.features, columns, strict=True)):
        if is_numeric:
            matrix[:, at] = _floats(feature.name, feature.kind, column)
        else:
            matrix[:, at] = objects(python_values(column, feature.kind))
    return matrix


def matrix_of_rows(
    schema: ServiceSchema, views: Sequence[Sequence[Sequence[Any]]], count: int
) -> numpy.ndarray[Any, Any] | None:
    """Make the array of `matrix_of` of whole rows, which takes less than half the time.

    Returns None where only `matrix_of` knows the answer: for no rows, other types than plain numbers, and integers that
    float64 may round.

    Args:
        schema: The schema of the service.
        views: The rows of each view: the schema id, the event timestamp, and the values in wire form.
        count: The number of rows of each view.
    """
    import numpy

    if not count or not all(each.kind in _PLAIN for each in schema.kinds):
        return None
    blocks = [numpy.frombuffer(_packed(rows)).reshape(count, -1) for rows in views]
    matrix = blocks[0] if len(blocks) == 1 else numpy.hstack(blocks)
    integers = [at for at, each in enumerate(schema.kinds) if each.kind == "int64"]
    return None if numpy.any(numpy.abs(matrix[:, integers]) >= EXACT) else matrix


def _packed(rows: Sequence[Sequence[Any]]) -> bytearray:
    """Write the values of rows as float64, null as NaN; an array of a bytearray can be written to."""
    pack = struct.Struct(f"={len(rows[0]) - 2}d").pack
    try:
        return bytearray().join([pack(*row[2:]) for row in rows])
    except struct.error:  # a null among them; to look for one first would cost as much as packing
        return bytearray().join([pack(*map(_float, row[2:])) for row in rows])


def _float(value: Any) -> float:
    return value if isinstance(value, int | float) else nan


def _floats(name: str, kind: ValueType, column: Sequence[Any]) -> Any:
    """Return numbers as float64, null as NaN."""
    import numpy

    if kind.kind in ("decimal", "wideint"):
        column = [None if each is None else float(each) for each in column]
    return exact(name, kind, column, numpy.array(column, dtype=numpy.float64))


def exact(name: str, kind: ValueType, numbers: Iterable[Any], floats: Any) -> Any:
    """Return numbers as float64, if it holds them exactly.

    Args:
        name: The name of the feature, for the error.
        kind: Its type.
        numbers: The numbers, None for null.
        floats: The same as float64.

    Raises:
        RequestError: They are integers that float64 may round.
    """
    import numpy

    if kind.kind not in INTEGERS or not numpy.any(numpy.abs(floats) >= EXACT):
        return floats
    if not any(each is not None and abs(int(each)) > EXACT for each in numbers):
        return floats
    raise RequestError(
        f'{name} holds an integer beyond 2^53, which float64 may round; take to_pandas(dtypes="nullable") or to_arrow()'
    )


def objects(values: Sequence[Any]) -> numpy.ndarray[Any, Any]:
    """Make an array of objects; NumPy would make an axis of lists."""
    import numpy

    array = numpy.empty(len(values), dtype=object)
    for at, each in enumerate(values):
        array[at] = each
    return array
