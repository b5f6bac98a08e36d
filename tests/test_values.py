"""Values and keys: what the warehouse holds is what `get` returns, type for type, through bytes that are fixed."""

from __future__ import annotations

import json
import math
import struct
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import msgpack
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_sync import FeatureStore
from feature_sync.errors import OutputError
from feature_sync.online.codec import RowSchema, encode_row, read_row, read_row_schema, read_value
from feature_sync.online.floats import packer
from feature_sync.online.keys import row_key_writer, wire_key
from feature_sync.online.rows import RowEncoder
from feature_sync.value_types import SCALARS, ValueType, parse
from tests.support.projects import PROJECTS, build_project
from tests.support.values import trained_and_served

VECTORS = json.loads((Path(__file__).parent / "vectors" / "online.json").read_text())
MOMENT = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def project(request, tmp_path_factory):
    environment = {} if request.param == "duckdb" else request.getfixturevalue(request.param).environment
    folder = tmp_path_factory.mktemp(f"types_on_{request.param}")
    return build_project(PROJECTS / "types", folder, target=request.param, environment=environment)


@pytest.fixture
def store(project, redis_url, monkeypatch):
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    with FeatureStore.open(
        project.folder, profiles_dir=str(project.folder), target=project.target, redis_url=redis_url
    ) as opened:
        assert [each.held_back for each in opened.push()] == [None, None, None]
        yield opened


def test_every_type_comes_back_exactly_as_the_warehouse_holds_it(store):
    vector = store.get_feature_vector("everything", {"id": 1}).to_dict()
    assert math.isnan(vector.pop("real_number"))
    document = json.loads(vector.pop("document"))
    assert document == {"a": [1, None]}
    assert vector == {
        "whole": -(2**63),
        "exact": Decimal("-12345678901234567890123456.7890123456"),
        "flag": True,
        "words": "",
        "raw": b"\x00\xff}",
        "day": date(1969, 12, 31),
        "wall_clock": datetime(1969, 12, 31, 23, 59, 59, 999999),
        "instant": datetime(2024, 3, 31, 1, 30, 0, 1, tzinfo=timezone(timedelta(hours=1))),
        "numbers": [1, None, 3],
        "moments": [datetime(2024, 1, 1, 0, 0, 0, 1)],
        "token": "c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10",
    }


def test_the_largest_integer_and_negative_zero_survive(store):
    vector = store.get_feature_vector("everything", {"id": "2"}).to_dict()
    assert vector["whole"] == 2**63 - 1
    assert math.copysign(1, vector["real_number"]) == -1
    assert (vector["exact"], vector["words"], vector["flag"]) == (Decimal("1.5"), "a|{é}%", False)


def test_a_null_in_the_row_stays_null_and_an_absent_row_gives_the_defaults(store):
    nulls = store.get_feature_vector("everything", {"id": 3})
    assert (nulls["words"], nulls.statuses["words"]) == (None, "null")
    assert nulls["real_number"] == -math.inf
    absent = store.get_feature_vector("everything", {"id": 4})
    assert (absent["words"], absent.statuses["words"]) == ("unknown", "missing")
    assert (absent["exact"], absent["whole"]) == (Decimal("0.5"), None)


def test_a_training_set_holds_the_same_values_with_their_exact_types(store, tmp_path):
    types, rows = trained_and_served(store, tmp_path)
    assert (types["exact"], types["wall_clock"]) == ("decimal128(38, 10)", "timestamp[us]")
    assert types["instant"].startswith("timestamp[us, tz=")
    assert (types["day"], types["raw"], types["flag"], types["whole"]) == ("date32[day]", "binary", "bool", "int64")
    assert [row["id"] for row, _ in rows] == [1, 2, 3, 4]
    for row, served in rows:
        trained = {name: row[name] for name in served}
        assert repr(served.pop("real_number")) == repr(trained.pop("real_number"))
        assert served == trained


def test_composite_keys_of_every_allowed_type_find_their_row(store):
    keys = {
        "name": "a|b",
        "day": date(2024, 2, 29),
        "price": Decimal("10.5"),
        "token": UUID("c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10"),
        "flag": True,
        "moment": datetime(2024, 1, 1, 0, 0, 0, 1),
    }
    typed = {"day": "2024-02-29", "price": "10.50", "flag": "TRUE", "moment": "2024-01-01T00:00:00.000001"}
    empty = {**keys, "name": "", "price": 0, "token": UUID(int=0), "flag": False, "moment": "1970-01-01"}
    vectors = store.get_online_features("keys", [keys, {**keys, **typed}, empty, {**empty, "name": None}])
    assert [each.to_dict()["answer"] for each in vectors] == [42, 42, 43, None]


def test_an_empty_text_and_the_text_that_stands_for_it_are_different_entities(store):
    vectors = store.get_online_features("names", [{"name": ""}, {"name": "{%}"}])
    assert [each.to_dict()["length"] for each in vectors] == [1, 3]


@pytest.mark.parametrize("vector", VECTORS["keys"], ids=lambda each: each["key"])
def test_keys_are_the_bytes_of_the_test_vectors(vector):
    kinds = [parse(kind) for kind in vector["types"]]
    wire = [wire_key(value, kind) for value, kind in zip(vector["values"], kinds, strict=True)]
    prefix, reference, _ = vector["prefix"].split(":")
    assert row_key_writer(prefix, reference, kinds)([[each] for each in wire]) == [vector["key"].encode()]


@pytest.mark.parametrize("vector", VECTORS["rows"], ids=lambda each: each["means"])
def test_rows_are_the_bytes_of_the_test_vectors_and_any_messagepack_reads_them(vector):
    event_timestamp, *values = (_from_json(each) for each in vector["array"][1:])
    row = [bytes.fromhex(vector["array"][0]), event_timestamp, *values]
    assert encode_row(row).hex() == vector["hex"]
    assert [repr(each) for each in msgpack.unpackb(bytes.fromhex(vector["hex"]))] == [repr(each) for each in row]


@pytest.mark.parametrize("vector", VECTORS["float_arrays"], ids=lambda each: f"{each['type']}: {each['means']}")
def test_arrays_of_floats_are_the_bytes_of_the_test_vectors_and_read_back_from_them(vector):
    kind = parse(vector["type"])
    values = [_from_json(each) for each in vector["values"]]
    held = msgpack.unpackb(bytes.fromhex(vector["hex"]))
    assert repr(read_value(held, kind)) == repr(values)
    if not vector.get("is_old"):
        assert encoded({"a": (kind, values)}).endswith(bytes.fromhex(vector["hex"]))


def encoded(features):
    """The bytes of a row of features: types and values in wire form, by name."""
    kinds = tuple((name, kind) for name, (kind, _) in features.items())
    schema = RowSchema(keys=(("k", ValueType("int64")),), features=kinds)
    encoder = RowEncoder(row_key_writer("p", "v", [ValueType("int64")]), schema, lag=None, expires=False)
    ((_, row, _),) = encoder.encode([[1], [0], [None], *([value] for _, value in features.values())])
    return row


@pytest.mark.parametrize("vector", VECTORS["schemas"], ids=lambda each: each["id"])
def test_a_schema_id_is_four_bytes_of_the_sha_256_of_keys_and_features(vector):
    schema = read_row_schema(json.dumps(vector["schema"]).encode())
    assert schema.id.hex() == vector["id"]
    assert read_row_schema(schema.to_json()) == schema


def test_a_row_that_ends_carries_its_end_and_lag_at_a_fixed_clock_and_expires_then_at_the_real_one():
    schema = RowSchema(keys=(("k", ValueType("int64")),), features=(("a", ValueType("int64")),), ttl=timedelta(days=1))
    columns = [[1, 2], [0, 0], [1_000_001, None], [7, 8]]  # key, event timestamp, end of validity, value
    write_keys = row_key_writer("p", "v", [kind for _, kind in schema.keys])
    fixed = [*RowEncoder(write_keys, schema, lag=timedelta(microseconds=5), expires=False).encode(columns)]
    real = [*RowEncoder(write_keys, schema, lag=timedelta(microseconds=5), expires=True).encode(columns)]
    assert [msgpack.unpackb(value)[1:] for _, value, _ in fixed] == [[0, 7, 1_000_006], [0, 8]]
    assert [msgpack.unpackb(value)[1:] for _, value, _ in real] == [[0, 7], [0, 8]]
    assert [expires_at for *_, expires_at in fixed + real] == [None, None, 1_001, 86_400_000]


def test_a_schema_survives_redis_with_its_ttl_and_its_clock():
    schema = RowSchema(
        keys=(("k", ValueType("string")),),
        features=(("a", ValueType("decimal", 10, 2)), ("b", ValueType("array", element=ValueType("date")))),
        defaults={"a": 0.5},
        ttl=timedelta(days=30, microseconds=1),
        as_of=MOMENT,
    )
    assert read_row_schema(schema.to_json()) == schema


columns = [ValueType(kind) for kind, scalar in SCALARS.items() if not scalar.only_in_arrays]
scalar_types = st.sampled_from([*columns, ValueType("decimal", 38, 10), parse("array<float32>")])
value_types = st.recursive(
    scalar_types,
    lambda inner: (
        inner.map(lambda each: ValueType("array", element=each))
        | st.lists(st.tuples(st.text(max_size=4), inner), min_size=1, max_size=3).map(
            lambda fields: ValueType("struct", fields=tuple(fields))
        )
    ),
    max_leaves=5,
)


@given(value_types)
def test_a_type_reads_back_as_it_was_written(kind):
    assert parse(str(kind)) == kind


@given(st.text())
def test_different_texts_have_different_keys(text):
    key, other = row_key_writer("p", "v", [ValueType("string")])([[text, text + "|"]])
    assert key != other
    assert key.count(b"{") == key.count(b"}") == 1


def nearest_float32(number):
    try:
        return struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)


FLOATS = {"float32": st.floats().map(nearest_float32), "float64": st.floats()}


@given(st.sampled_from(list(FLOATS)), st.data())
def test_an_array_of_floats_comes_back_from_redis_exactly_and_nulls_in_their_places(element, data):
    values = data.draw(st.none() | st.lists(st.none() | FLOATS[element], max_size=9) | st.lists(FLOATS[element]))
    kind = parse(f"array<{element}>")
    number, held = read_row(encoded({"n": (ValueType("int64"), 7), "a": (kind, values)})).values
    assert number == 7
    assert type(held) is (type(None) if values is None else list if None in values else bytes)
    assert repr(read_value(held, kind)) == repr(values)


def test_a_driver_that_reads_the_shortest_text_of_a_float32_changes_nothing_in_redis():
    kind = parse("array<float32>")
    for read, exact in (([0.1, None], [0.10000000149011612, None]), ([0.1], [0.10000000149011612])):
        assert read_value(packer(kind)(read), kind) == exact


@pytest.mark.parametrize(("array", "held"), [("array<float32>", b"abc"), ("array<float64>", b"abcd")])
def test_a_bin_that_is_not_a_whole_number_of_floats_cannot_be_read(array, held):
    with pytest.raises(ValueError, match="not a whole number of float"):
        read_value(held, parse(array))


@pytest.mark.parametrize("other", ["array<int64>", "array<array<float32>>", "float64", 'struct<"a" float64>'])
def test_a_bin_is_no_value_of_a_type_that_is_not_packed(other):
    with pytest.raises(ValueError, match="bytes instead of"):
        read_value(b"\0" * 8, parse(other))


def test_a_struct_comes_back_with_its_fields_read():
    kind = parse('struct<"day" date, "price" decimal(10,2)>')
    content = encode_row([b"\0\0\0\0", None, {"day": 1, "price": "1.50"}])
    assert read_value(read_row(content).values[0], kind) == {"day": date(1970, 1, 2), "price": Decimal("1.50")}


def _from_json(value):
    if isinstance(value, dict):
        (kind, text), *_ = value.items()
        return {"float": float, "bytes": bytes.fromhex}[kind](text) if kind in ("float", "bytes") else value
    return value


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_spine_from_a_file_finds_keys_of_every_allowed_type(store, tmp_path, suffix):
    text = (
        "name,day,price,token,flag,moment,event_timestamp\n"
        "a|b,2024-02-29,10.5,C2C5E0AA-9E43-4F52-9C5E-0B1E3D8A7F10,true,2024-01-01 00:00:00.000001,2024-03-01\n"
        '"",2024-02-29,0,00000000-0000-0000-0000-000000000000,false,1970-01-01 00:00:00,2024-03-01\n'
        ",2024-02-29,0,00000000-0000-0000-0000-000000000000,false,1970-01-01 00:00:00,2024-03-01\n"
    )
    path = tmp_path / "spine.csv"
    path.write_text(text)
    if suffix == "parquet":
        types = {"name": "string", "day": "date32", "price": pyarrow.decimal128(10, 3), "token": "string"}
        types |= {"flag": "bool", "moment": pyarrow.timestamp("us"), "event_timestamp": pyarrow.timestamp("ns")}
        convert = pyarrow.csv.ConvertOptions(
            column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        )
        table = pyarrow.csv.read_csv(path, convert_options=convert)
        path = tmp_path / "spine.parquet"
        pyarrow.parquet.write_table(table.set_column(0, "name", table.column("name").dictionary_encode()), path)
    answers = {row["name"]: row["answer"] for row in store.get_training_set("keys", path).to_arrow().to_pylist()}
    assert answers == {"a|b": 42, "": 43, None: None}


def test_a_csv_file_that_cannot_hold_a_value_says_so_before_anything_is_left_behind(store, tmp_path):
    with pytest.raises(OutputError, match=r"a CSV file cannot hold 'raw', which is binary.*cast the column"):
        store.get_training_set("everything", "asks").write(tmp_path / "set.csv")
    assert list(tmp_path.iterdir()) == []
