"""Types both ways between Spark and Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow
from pyspark.sql import types

from feature_sync.errors import RequestError

if TYPE_CHECKING:
    from pyspark.sql.types import DataType, StructType

_UNSIGNED = {"uint8": types.ShortType(), "uint16": types.IntegerType(), "uint32": types.LongType()}
_LOADED: dict[str, DataType] = {
    "bool": types.BooleanType(), "int8": types.ByteType(), "int16": types.ShortType(), "int32": types.IntegerType(),
    "int64": types.LongType(), **_UNSIGNED, "uint64": types.DecimalType(20, 0), "float": types.FloatType(),
    "double": types.DoubleType(), "string": types.StringType(), "large_string": types.StringType(),
    "date32[day]": types.DateType(), "binary": types.BinaryType(), "large_binary": types.BinaryType(),
}  # fmt: skip
_MOST_DIGITS = 38


def sql_type(kind: DataType) -> str:
    """Return a type as Spark's SQL writes it, with the names of fields quoted."""
    if isinstance(kind, types.StructType):
        return f"struct<{', '.join(f'{quoted(each.name)}: {sql_type(each.dataType)}' for each in kind.fields)}>"
    if isinstance(kind, types.ArrayType):
        return f"array<{sql_type(kind.elementType)}>"
    if isinstance(kind, types.MapType):
        return f"map<{sql_type(kind.keyType)}, {sql_type(kind.valueType)}>"
    return "timestamp_ltz" if isinstance(kind, types.TimestampType) else kind.simpleString()


def arrow_schema(schema: StructType) -> pyarrow.Schema:
    """Return the Arrow types of a result; instants are in UTC."""
    return pyarrow.schema([(each.name, _arrow_type(each.dataType)) for each in schema.fields])


def _arrow_type(kind: DataType) -> pyarrow.DataType:
    from pyspark.sql.pandas.types import to_arrow_type

    if isinstance(kind, types.StructType):
        return pyarrow.struct([(each.name, _arrow_type(each.dataType)) for each in kind.fields])
    if isinstance(kind, types.ArrayType):
        return pyarrow.list_(_arrow_type(kind.elementType))
    if isinstance(kind, types.MapType):
        return pyarrow.map_(_arrow_type(kind.keyType), _arrow_type(kind.valueType))
    if isinstance(kind, types.TimestampType):
        return pyarrow.timestamp("us", tz="UTC")
    return to_arrow_type(kind)


def loaded_type(field: pyarrow.Field) -> DataType:
    """Return Spark's type for a column of rows to load.

    Raises:
        RequestError: Spark has no such type.
    """
    kind = field.type
    if pyarrow.types.is_timestamp(kind):
        return types.TimestampType() if kind.tz else types.TimestampNTZType()
    if pyarrow.types.is_decimal(kind) and kind.precision <= _MOST_DIGITS and 0 <= kind.scale <= kind.precision:
        return types.DecimalType(kind.precision, kind.scale)
    if pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
        return types.ArrayType(loaded_type(kind.value_field.with_name(field.name)))
    if str(kind) not in _LOADED:
        raise RequestError(f"the spine's column {field.name!r} is {kind}, which cannot be sent to Spark; leave it out")
    return _LOADED[str(kind)]


def quoted(name: str) -> str:
    """Quote a name for Spark's SQL."""
    return "`" + name.replace("`", "``") + "`"
