"""Maps BigQuery's types to Arrow's and back, in SQL and in the REST API, and quotes names for SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.cloud import bigquery

from feature_sync.errors import RequestError

if TYPE_CHECKING:
    import pyarrow

_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
"""SQL types by the older names that the REST API uses."""
_LOADED = {
    "bool": "BOOL", "int8": "INT64", "int16": "INT64", "int32": "INT64", "int64": "INT64", "uint8": "INT64",
    "uint16": "INT64", "uint32": "INT64", "uint64": "NUMERIC", "float": "FLOAT64", "double": "FLOAT64",
    "string": "STRING", "date32[day]": "DATE", "time64[us]": "TIME", "binary": "BYTES",
}  # fmt: skip
_NUMERIC_DIGITS, _NUMERIC_SCALE = 38, 9


def sql_type(field: bigquery.SchemaField) -> str:
    """Return a column's type as BigQuery's SQL writes it."""
    name = _TYPES.get(field.field_type, field.field_type)
    if name == "STRUCT":
        name = f"STRUCT<{', '.join(f'{quoted(each.name)} {sql_type(each)}' for each in field.fields)}>"
    elif field.precision is not None:
        name = f"{name}({field.precision}, {field.scale or 0})"
    return f"ARRAY<{name}>" if field.mode == "REPEATED" else name


def arrow_type(field: bigquery.SchemaField) -> pyarrow.DataType:
    """Return the Arrow type of a column of a result; text if Arrow has no type for it."""
    import pyarrow

    simple = {
        "INT64": pyarrow.int64(), "FLOAT64": pyarrow.float64(), "BOOL": pyarrow.bool_(), "BYTES": pyarrow.binary(),
        "DATE": pyarrow.date32(), "TIME": pyarrow.time64("us"), "DATETIME": pyarrow.timestamp("us"),
        "TIMESTAMP": pyarrow.timestamp("us", tz="UTC"), "NUMERIC": pyarrow.decimal128(38, 9),
        "BIGNUMERIC": pyarrow.decimal256(76, 38),
    }  # fmt: skip
    name = _TYPES.get(field.field_type, field.field_type)
    if name == "STRUCT":
        kind = pyarrow.struct([(each.name, arrow_type(each)) for each in field.fields])
    else:
        kind = simple.get(name, pyarrow.string())
    return pyarrow.list_(kind) if field.mode == "REPEATED" else kind


def cast_column(column: pyarrow.Array, kind: pyarrow.DataType) -> pyarrow.Array:
    """Cast a column to its type. JSON comes as an extension type over text, which Arrow does not cast."""
    import pyarrow

    if isinstance(column.type, pyarrow.BaseExtensionType):
        column = column.storage
    return column if column.type == kind else column.cast(kind)


def column_type(field: pyarrow.Field) -> str:
    """Return BigQuery's type for a column of rows to load.

    Raises:
        RequestError: BigQuery has no such type.
    """
    import pyarrow

    kind = field.type
    if pyarrow.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "DATETIME"
    if pyarrow.types.is_decimal(kind):
        fits = kind.scale <= _NUMERIC_SCALE and kind.precision - kind.scale <= _NUMERIC_DIGITS - _NUMERIC_SCALE
        return "NUMERIC" if fits else "BIGNUMERIC"
    if str(kind) not in _LOADED:
        raise RequestError(
            f"the spine's column {field.name!r} is {kind}, which cannot be sent to BigQuery; leave it out"
        )
    return _LOADED[str(kind)]


def quoted(name: str) -> str:
    """Quote a name for BigQuery's SQL."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def quoted_path(table: bigquery.TableReference) -> str:
    """Quote the name of a table with its project and dataset."""
    return ".".join(map(quoted, (table.project, table.dataset_id, table.table_id)))
