"""Makes pandas frames: one way for training sets and for feature vectors, whose dtypes never depend on the values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feature_sync.errors import RequestError, did_you_mean
from feature_sync.online.floats import is_packed
from feature_sync.service_schema import ServiceSchema
from feature_sync.serving.columns import NUMBERS, exact, matrix_of, objects, python_values, table_of
from feature_sync.value_types import ValueType

if TYPE_CHECKING:
    import numpy
    import pandas
    import pyarrow

DTYPES = ("numpy", "nullable", "arrow")
_PACKED = {"float32": "<f4", "float64": "<f8"}
"""Arrays of these are NumPy's in a frame, NaN for null; other arrays are lists."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: NumPy data, in which nulls have any value, and where the nulls are.

    The data are int64 (of times: microseconds, of dates: days), float64, bool, or objects with None for null.
    """

    name: str
    kind: ValueType
    data: Any
    nulls: Any


def check_dtypes(dtypes: str) -> None:
    """Raise RequestError unless `dtypes` is one of `DTYPES`."""
    if dtypes not in DTYPES:
        raise RequestError(f"dtypes={dtypes!r} does not exist{did_you_mean(str(dtypes), DTYPES)}")


def frame_of(
    schema: ServiceSchema, columns: Sequence[Sequence[Any]], count: int, dtypes: str, *, index: Any = None
) -> pandas.DataFrame:
    """Make a frame of columns in wire form; see `FeatureVectors.to_pandas`.

    Args:
        schema: The schema of the service.
        columns: The values of each feature.
        count: The number of rows.
        dtypes: One of `DTYPES`.
        index: The index of the frame; None for 0, 1, 2...

    Raises:
        RequestError: `dtypes` does not exist, or an integer is not exact in float64.
    """
    import pandas

    check_dtypes(dtypes)
    if dtypes == "numpy" and all(each.kind in NUMBERS for each in schema.kinds):
        return frame_of_matrix(schema, matrix_of(schema, columns, count), index)
    if dtypes == "arrow":
        frame = arrow_frame(table_of(schema, columns))
        return frame if index is None else frame.set_axis(index)
    features = zip(schema.features, columns, strict=True)
    made = {each.name: _series(_of_wire(each.name, each.kind, column), dtypes, index) for each, column in features}
    return pandas.DataFrame(made, columns=[*schema.names], index=pandas.RangeIndex(count) if index is None else index)


def frame_of_matrix(schema: ServiceSchema, matrix: numpy.ndarray[Any, Any], index: Any) -> pandas.DataFrame:
    """Make a frame of numbers, which it shares with the array."""
    import pandas

    return pandas.DataFrame(matrix, columns=[*schema.names], index=index, copy=False)


def frame_of_table(table: pyarrow.Table, kinds: Mapping[str, ValueType], dtypes: str) -> pandas.DataFrame:
    """Make a frame of an Arrow table: features as `frame_of` does, other columns as Arrow does.

    Args:
        table: The table, features in their canonical types.
        kinds: The canonical types of the features, by name.
        dtypes: One of `DTYPES`.

    Raises:
        RequestError: `dtypes` does not exist, or a number is not exact in float64.
    """
    import pandas

    check_dtypes(dtypes)
    if dtypes == "arrow":
        return arrow_frame(table)
    others = table.select([name for name in table.column_names if name not in kinds])
    frame = others.to_pandas() if dtypes == "numpy" else others.to_pandas(types_mapper=_nullable_dtype)
    made = {
        name: _series(_of_arrow(name, kinds[name], table.column(name)), dtypes, None) if name in kinds else frame[name]
        for name in table.column_names
    }
    return pandas.DataFrame(made, columns=table.column_names, index=pandas.RangeIndex(table.num_rows))


def arrow_frame(table: pyarrow.Table) -> pandas.DataFrame:
    """Make a frame whose columns are Arrow's own arrays."""
    import pandas

    frame: pandas.DataFrame = table.to_pandas(types_mapper=pandas.ArrowDtype)
    return frame


def _of_wire(name: str, kind: ValueType, column: Sequence[Any]) -> _Column:
    """Read a column in wire form."""
    import numpy

    nulls = numpy.array([each is None for each in column], dtype=bool)
    if kind.is_time or kind.kind == "int64":
        return _Column(name, kind, numpy.array([each or 0 for each in column], dtype=numpy.int64), nulls)
    if kind.kind in ("float64", "bool"):
        data = numpy.array(column, dtype=numpy.float64)
        return _Column(name, kind, data if kind.kind == "float64" else data == 1, nulls)
    if is_packed(kind):
        return _Column(name, kind, objects([_array(each, kind) for each in column]), nulls)
    return _Column(name, kind, objects(python_values(column, kind)), nulls)


def _array(value: Any, kind: ValueType) -> Any:
    """Return an array of floats in wire form as NumPy's, NaN for null."""
    import numpy

    if value is None or kind.element is None:
        return None
    if isinstance(value, bytes):
        return numpy.frombuffer(value, dtype=_PACKED[kind.element.kind])
    return numpy.array(value, dtype=kind.element.kind)


def _of_arrow(name: str, kind: ValueType, column: pyarrow.ChunkedArray) -> _Column:
    """Read an Arrow column of a canonical type."""
    import pyarrow

    nulls = column.is_null().to_numpy()
    if kind.is_time:
        numbers = column.cast(pyarrow.int32() if kind.kind == "date" else pyarrow.int64())
        return _Column(name, kind, numbers.fill_null(0).to_numpy().astype("int64"), nulls)
    if kind.kind in ("int64", "bool"):
        return _Column(name, kind, column.fill_null(False if kind.kind == "bool" else 0).to_numpy(), nulls)
    if kind.kind == "float64":
        return _Column(name, kind, column.to_numpy(), nulls)
    values = column.to_pylist()
    return _Column(name, kind, objects([_array(each, kind) for each in values] if is_packed(kind) else values), nulls)


def _series(column: _Column, dtypes: str, index: Any) -> pandas.Series[Any]:
    import numpy
    import pandas

    kind, data, nulls = column.kind.kind, column.data, column.nulls
    if column.kind.is_time:
        times = data.astype("datetime64[D]").astype("datetime64[us]") if kind == "date" else data.view("datetime64[us]")
        times[nulls] = numpy.datetime64("NaT")
        series: pandas.Series[Any] = pandas.Series(times, index=index)
        return series.dt.tz_localize("UTC") if kind == "timestamptz" else series
    if dtypes == "nullable" and kind in _MASKED:
        return pandas.Series(_MASKED[kind](data, nulls), index=index)
    if kind in NUMBERS and dtypes == "numpy":
        if kind in ("decimal", "wideint"):
            data = [numpy.nan if each is None else float(each) for each in data]
        floats = numpy.array(data, dtype=numpy.float64)
        floats[nulls] = numpy.nan
        return pandas.Series(exact(column.name, column.kind, column.data, floats), index=index)
    if kind in ("string", "interval") and dtypes == "nullable":
        return pandas.Series(data, dtype="string", index=index)
    return pandas.Series(data, dtype=object, index=index)


def _masked(name: str) -> Any:
    def make(data: Any, nulls: Any) -> Any:
        import pandas

        return getattr(pandas.arrays, name)(data.copy(), nulls)

    return make


_MASKED = {"int64": _masked("IntegerArray"), "float64": _masked("FloatingArray"), "bool": _masked("BooleanArray")}


def _nullable_dtype(kind: pyarrow.DataType) -> Any:
    """Return pandas' nullable dtype for a column of a spine, by its Arrow type; None leaves it to Arrow."""
    import pandas
    import pyarrow

    if pyarrow.types.is_integer(kind):
        return getattr(pandas, str(kind).replace("int", "Int").replace("u", "U") + "Dtype")()
    if pyarrow.types.is_floating(kind):
        return pandas.Float32Dtype() if kind.bit_width == 32 else pandas.Float64Dtype()  # noqa: PLR2004 - bits
    if pyarrow.types.is_boolean(kind):
        return pandas.BooleanDtype()
    return pandas.StringDtype() if pyarrow.types.is_string(kind) else None
