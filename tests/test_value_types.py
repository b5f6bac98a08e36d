"""Value types: each scalar type has its place wherever values pass; where one lacks it, the test carries its name.

A new type needs a record, a row in SQL, and one of `EXAMPLES` here.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgpack
import pyarrow
import pytest
from sqlglot import exp

from feature_sync.definitions import Column, Relation
from feature_sync.errors import Location, RequestError
from feature_sync.online.codec import RowSchema, encode_row, read_row, read_row_schema, read_value
from feature_sync.online.keys import row_key_writer, wire_key
from feature_sync.sql.dialects import DIALECTS
from feature_sync.sql.limits import within_limits
from feature_sync.sql.push.wire import wire
from feature_sync.sql.render import render
from feature_sync.sql.scalars import SQL_SCALARS, default_value, orderable
from feature_sync.sql.types import key_type, value_type
from feature_sync.table_files import read_table, table_writer
from feature_sync.value_types import SCALARS, ValueType, parse, read_default

TOKEN = "c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10"


@dataclass(frozen=True, kw_only=True)
class Example:
    """A value of a type, as each place has it. `key` and `default` are None where the type can be neither.

    `sql` is a value of DuckDB, `value` what readers get, `csv` what a file of keys holds. `spelled` are the dialects'
    names of the type where a cast has another than `usual`; None where a dialect has no such type.
    """

    sql: str
    wire: Any
    value: Any
    key: str | None = None
    csv: Any = None
    default: Any = None
    usual: str
    spelled: dict[str, str | None] = field(default_factory=dict)


EXAMPLES = {
    "bool": Example(
        sql="true", wire=True, value=True, key="true", csv=True, default=True,
        usual="BOOLEAN", spelled={"bigquery": "BOOL", "clickhouse": "Nullable(Bool)"},
    ),
    "int64": Example(
        sql="-7::bigint", wire=-7, value=-7, key="-7", csv=-7, default=-7,
        usual="BIGINT", spelled={"bigquery": "INT64", "clickhouse": "Nullable(Int64)"},
    ),
    "wideint": Example(
        sql="9223372036854775808::hugeint", wire="9223372036854775808", value=2**63, key="9223372036854775808",
        csv="9223372036854775808", default=2**63, usual="INT128", spelled={"clickhouse": "Nullable(Int128)"},
    ),
    "float32": Example(
        sql="0.1::float", wire=0.10000000149011612, value=0.10000000149011612, usual="FLOAT",
        spelled=dict.fromkeys(DIALECTS),  # only of an array: see SPELLED_ARRAYS
    ),
    "float64": Example(
        sql="-1.5::double", wire=-1.5, value=-1.5, default=-1.5,
        usual="DOUBLE",
        spelled={
            "postgres": "DOUBLE PRECISION", "redshift": "DOUBLE PRECISION", "bigquery": "FLOAT64",
            "clickhouse": "Nullable(Float64)",
        },
    ),
    "decimal": Example(
        sql="1.50::decimal(18, 2)", wire="1.50", value=Decimal("1.50"), key="1.5", csv="1.50", default="1.50",
        usual="DECIMAL", spelled={"bigquery": "NUMERIC", "clickhouse": "Nullable(Decimal)"},
    ),
    "string": Example(
        sql="'a|é'", wire="a|é", value="a|é", key="a%7Cé", csv="a|é", default="a|é",
        usual="TEXT",
        spelled={
            "bigquery": "STRING", "spark": "STRING", "databricks": "STRING", "snowflake": "VARCHAR",
            "trino": "VARCHAR", "redshift": "VARCHAR(MAX)", "clickhouse": "Nullable(String)",
        },
    ),
    "bytes": Example(
        sql=r"'\x00\xFF'::blob", wire=b"\x00\xff", value=b"\x00\xff",
        usual="VARBINARY",
        spelled={
            "duckdb": "BLOB", "postgres": "BYTEA", "bigquery": "BYTES", "redshift": "VARBYTE", "spark": "BINARY",
            "databricks": "BINARY", "clickhouse": None,
        },
    ),
    "date": Example(
        sql="date '1969-12-31'", wire=-1, value=date(1969, 12, 31), key="1969-12-31", csv=date(1969, 12, 31),
        default="1969-12-31", usual="DATE", spelled={"clickhouse": None},
    ),
    "timestamp": Example(
        sql="timestamp '1970-01-01 00:00:00.000001'", wire=1, value=datetime(1970, 1, 1, 0, 0, 0, 1), key="1",
        csv=datetime(1970, 1, 1, 0, 0, 0, 1), default="1970-01-01T00:00:00.000001",
        usual="TIMESTAMP",
        spelled={
            "bigquery": "DATETIME", "snowflake": "TIMESTAMPNTZ", "spark": "TIMESTAMP_NTZ",
            "databricks": "TIMESTAMP_NTZ", "clickhouse": None,
        },
    ),
    "timestamptz": Example(
        sql="timestamptz '1970-01-01 01:00:00.000001+01'", wire=1, value=datetime(1970, 1, 1, 0, 0, 0, 1, UTC), key="1",
        csv=datetime(1970, 1, 1, 0, 0, 0, 1, UTC), default="1970-01-01T01:00:00.000001+01:00",
        usual="TIMESTAMPTZ",
        spelled={
            "bigquery": "TIMESTAMP", "redshift": "TIMESTAMP WITH TIME ZONE", "trino": "TIMESTAMP WITH TIME ZONE",
            "spark": "TIMESTAMP_LTZ", "databricks": "TIMESTAMP_LTZ", "clickhouse": None,
        },
    ),
    "interval": Example(
        sql="interval 1 day", wire="1 day", value="1 day",
        usual="INTERVAL", spelled={"clickhouse": "Nullable(INTERVAL)"},
    ),
    "uuid": Example(
        sql=f"'{TOKEN}'::uuid", wire=TOKEN, value=TOKEN, key=TOKEN, csv=TOKEN, default=TOKEN,
        usual="UUID", spelled={"bigquery": None, "spark": None, "databricks": None, "clickhouse": "Nullable(UUID)"},
    ),
    "json": Example(
        sql="""'{"a": [1]}'::json""", wire='{"a": [1]}', value='{"a": [1]}', default='{"a": [1]}',
        usual="JSON",
        spelled={
            "snowflake": None, "redshift": None, "spark": None, "databricks": None, "clickhouse": "Nullable(JSON)",
        },
    ),
}  # fmt: skip

each_type = pytest.mark.parametrize("name", SCALARS)
each_key_type = pytest.mark.parametrize("name", [name for name, scalar in SCALARS.items() if scalar.key is not None])
each_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


@pytest.fixture
def example(name):
    assert name in EXAMPLES, f"EXAMPLES shows no value of the type {name}"
    return EXAMPLES[name]


def test_no_place_knows_a_type_that_has_no_record():
    assert set(SCALARS) == set(SQL_SCALARS) == set(EXAMPLES)


@each_type
def test_a_type_reads_back_from_its_name_and_from_the_schema_of_a_view(name):
    kind = ValueType("array", element=ValueType(name)) if SCALARS[name].only_in_arrays else ValueType(name)
    assert parse(str(kind)) == kind
    schema = RowSchema(keys=(("k", kind),), features=(("f", kind),))
    assert read_row_schema(schema.to_json()) == schema


@each_type
def test_a_value_comes_back_through_redis_as_the_python_type_that_its_record_names(name, example):
    assert type(example.wire) is SCALARS[name].wire
    content = encode_row([b"\0\0\0\0", None, example.wire])
    assert msgpack.unpackb(content)[2] == example.wire
    value = read_value(read_row(content).values[0], ValueType(name))
    assert (value, type(value)) == (example.value, SCALARS[name].python)
    others = {type(each.wire): each.wire for each in EXAMPLES.values()}
    for other in others.keys() - {SCALARS[name].wire}:
        with pytest.raises(ValueError, match=f"instead of {name}"):
            read_value(others[other], ValueType(name))


@each_type
def test_duckdb_converts_a_value_to_its_wire_form(name, example):
    stored = exp.maybe_parse(example.sql, dialect="duckdb")
    converted = wire(exp.paren(stored), ValueType(name), dialect=DIALECTS["duckdb"])
    ((found,),) = duckdb.sql(render(exp.select(converted), dialect=DIALECTS["duckdb"])).fetchall()
    assert (found, type(found)) == (example.wire, type(example.wire))


@each_type
def test_a_type_without_one_spelling_is_refused_as_a_key_and_one_that_yaml_cannot_write_as_a_default(name, example):
    kind = ValueType(name)
    assert kind.can_be_key is (example.key is not None)
    if not kind.can_be_key:
        with pytest.raises(ValueError, match="cannot be a key"):
            wire_key(example.value, kind)
    assert (SCALARS[name].default is None) is (SQL_SCALARS[name].default is None) is (example.default is None)
    if example.default is None:
        for default in (0, "text"):
            with pytest.raises(ValueError, match="cannot be given"):
                read_default(kind, default)


@each_key_type
def test_a_key_is_asked_by_its_value_or_its_text_and_has_one_text_in_redis(name, example):
    kind = ValueType(name)
    write_keys = row_key_writer("p", "v", [kind])
    for asked in (example.value, _as_text(example.value)):
        assert write_keys([[wire_key(asked, kind)]]) == [f"p:v:{{{example.key}}}".encode()]
    assert write_keys([[example.wire]]) == [f"p:v:{{{example.key}}}".encode()]


@each_key_type
def test_a_file_holds_a_key_and_gives_it_back_in_the_arrow_type_of_its_record(name, example, tmp_path):
    kind = ValueType(name)
    for suffix in (".csv", ".parquet"):
        path = Path(tmp_path / f"keys{suffix}")
        column = pyarrow.array([example.csv, None], kind.arrow_type())
        batch = pyarrow.record_batch({"key": column, "asked_at": pyarrow.array([datetime(2024, 1, 1)] * 2)})
        with table_writer(path, batch.schema, named=path) as write:
            write(batch)
        table = read_table(path, {"key": kind}, moment="asked_at").read_all()
        assert table.schema.field("key").type == kind.arrow_type()
        assert table["key"].to_pylist() == [example.csv, None]


@each_type
def test_arrow_holds_the_values_of_a_type_as_they_are_or_as_text(name, example):
    shown = example.value if SCALARS[name].arrow(None, None) != pyarrow.string() else str(example.value)
    assert pyarrow.array([shown], ValueType(name).arrow_type()).to_pylist() == [shown]


@pytest.mark.parametrize("name", [name for name, scalar in SCALARS.items() if scalar.default is not None])
@each_dialect
def test_a_default_is_read_from_yaml_and_written_in_every_dialect(name, example, dialect):
    kind = ValueType(name)
    default = read_default(kind, example.default)
    assert (default, type(default)) == (example.value, SCALARS[name].python)
    stored = exp.DataType(this=SQL_SCALARS[name].types[0])
    written = render(exp.select(default_value(default, kind, stored=stored, dialect=dialect)), dialect=dialect)
    if dialect.name == "duckdb":
        assert duckdb.sql(f"select ({written}) = {example.sql}").fetchall() == [(True,)]


@each_type
@each_dialect
def test_a_dialect_spells_a_type_in_words_that_read_back_as_it(name, example, dialect):
    spelled = example.spelled.get(dialect.name, example.usual)
    if spelled is None:
        return
    cast = render(exp.select(exp.cast(exp.column("v"), exp.DataType(this=SQL_SCALARS[name].types[0]))), dialect=dialect)
    assert f"AS {spelled})" in cast
    relation = Relation(name="t", unique_id="t", location=Location("t.yml", "t"), columns={})
    column = Column(name="v", data_type=spelled)
    assert value_type(column, relation, dialect=dialect).kind == name
    if example.key is not None:
        assert key_type(column, relation, dialect=dialect).kind == name


@each_type
@each_dialect
def test_every_dialect_converts_orders_and_compares_a_type(name, dialect):
    kind, value = ValueType(name), exp.column("v", quoted=True)
    values = [
        wire(value.copy(), kind, dialect=dialect),
        within_limits(value.copy(), kind, "v", dialect=dialect),
        *orderable(value.copy(), kind, dialect),
        *dialect.distinguish_equals(value.copy(), kind),
        dialect.canonical_key(value.copy(), kind),
        dialect.differ(value.copy(), exp.column("other", quoted=True), kind),
    ]
    with suppress(RequestError):  # of warehouses from which nothing can be pushed
        values.append(dialect.row_hash([(value.copy(), kind)]))
    for each in values:
        assert render(exp.select(each), dialect=dialect)


@each_type
def test_the_page_of_the_format_names_each_type(name):
    page = (Path(__file__).parents[1] / "docs" / "online-format.md").read_text()
    assert f"`{name}`" in page


SPELLED_ARRAYS = [
    ("duckdb", "FLOAT[]", "array<float32>"),
    ("duckdb", "FLOAT[3]", "array<float32>"),
    ("duckdb", "DOUBLE[]", "array<float64>"),
    ("duckdb", "FLOAT[][]", "array<array<float32>>"),
    ("duckdb", "STRUCT(a FLOAT, b FLOAT[])", 'struct<"a" float64, "b" array<float32>>'),
    ("duckdb", "STRUCT(a FLOAT)[]", 'array<struct<"a" float64>>'),
    ("duckdb", "FLOAT", "float64"),
    ("postgres", "real[]", "array<float32>"),
    ("postgres", "double precision[]", "array<float64>"),
    ("postgres", "real", "float64"),
    ("bigquery", "ARRAY<FLOAT64>", "array<float64>"),
    ("bigquery", "ARRAY<FLOAT>", "array<float64>"),
    ("snowflake", "ARRAY(REAL)", "array<float64>"),
    ("spark", "ARRAY<FLOAT>", "array<float32>"),
    ("trino", "ARRAY(REAL)", "array<float32>"),
]
SPELLED_DECIMALS = [
    ("duckdb", "DECIMAL", "decimal(18,3)"),
    ("postgres", "numeric", "decimal"),
    ("postgres", "numeric[]", "array<decimal>"),
    ("redshift", "NUMERIC", "decimal(18,0)"),
    ("bigquery", "NUMERIC", "decimal(38,9)"),
    ("bigquery", "ARRAY<NUMERIC>", "array<decimal(38,9)>"),
    ("bigquery", "BIGNUMERIC", "decimal(76,38)"),
    ("bigquery", "NUMERIC(10, 2)", "decimal(10,2)"),
    ("bigquery", "BIGNUMERIC(50)", "decimal(50,0)"),
    ("snowflake", "NUMBER", "decimal(38,0)"),
    ("spark", "DECIMAL", "decimal(10,0)"),
    ("databricks", "DECIMAL", "decimal(10,0)"),
    ("trino", "DECIMAL", "decimal(38,0)"),
    ("clickhouse", "Decimal", "decimal(10,0)"),
]


@pytest.mark.parametrize(("dialect", "spelled", "read"), SPELLED_ARRAYS + SPELLED_DECIMALS)
def test_a_float_of_32_bits_is_kept_only_in_arrays_and_a_decimal_has_the_digits_that_its_warehouse_gives_it(
    dialect, spelled, read
):
    relation = Relation(name="t", unique_id="t", location=Location("t.yml", "t"), columns={})
    kind = value_type(Column(name="v", data_type=spelled), relation, dialect=DIALECTS[dialect])
    assert str(kind) == read
    assert parse(read) == kind


@pytest.mark.parametrize("text", ["float32", 'struct<"a" float32>', 'array<struct<"a" float32>>'])
def test_a_column_or_a_field_cannot_be_a_float_of_32_bits(text):
    with pytest.raises(ValueError, match="does not begin with a type"):
        parse(text)


def test_a_decimal_that_csv_cannot_express_is_read_from_files_as_text():
    assert parse("decimal(76,38)").arrow_type() == parse("decimal").arrow_type() == pyarrow.string()


def _as_text(value):
    return value.isoformat() if isinstance(value, date) else str(value)
