"""Converts a training set to a pandas frame, unless pandas would change its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feature_sync.errors import RequestError
from feature_sync.service_schema import ServiceSchema
from feature_sync.serving.frames import frame_of_table

if TYPE_CHECKING:
    import pandas
    import pyarrow

_EXACT = 2**53
"""Up to this number a double holds every whole number."""


def training_frame(table: pyarrow.Table, schema: ServiceSchema, dtypes: str) -> pandas.DataFrame:
    """Make a pandas frame of a training set.

    Args:
        table: The training set.
        schema: The schema of its features; other columns are the spine's.
        dtypes: numpy, nullable or arrow.

    Raises:
        RequestError: A column holds a whole number beyond 2^53, which float64 may round.
    """
    kinds = {each.name: each.kind for each in schema.features}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if dtypes == "numpy" and name not in kinds and _rounds(column):
            raise RequestError(
                f"the column {name!r} has nulls and whole numbers beyond 2^53, which float64 may round; take "
                'to_pandas(dtypes="nullable") or to_arrow()'
            )
    return frame_of_table(table, kinds, dtypes)


def _rounds(values: pyarrow.ChunkedArray | pyarrow.Array, *, as_objects: bool = False) -> bool:
    """True if pandas would round: a column, or an array in it, has both a null and a whole number beyond 2^53."""
    import pyarrow
    import pyarrow.compute

    types, kind = pyarrow.types, values.type
    if types.is_integer(kind):
        return not as_objects and bool(values.null_count) and _is_beyond(pyarrow.compute.min_max(values))
    chunks = values.chunks if isinstance(values, pyarrow.ChunkedArray) else [values]
    if types.is_struct(kind):  # pandas makes dictionaries of structs, with exact Python numbers
        return any(_rounds(field, as_objects=True) for chunk in chunks for field in chunk.flatten())
    is_array = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return is_array and any(_rounds(chunk.flatten()) for chunk in chunks)


def _is_beyond(ends: pyarrow.StructScalar) -> bool:
    lowest, highest = ends["min"].as_py(), ends["max"].as_py()
    return lowest is not None and (lowest < -_EXACT or highest > _EXACT)
