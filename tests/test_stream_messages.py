"""Messages of every format become rows in wire form; what cannot be one is told apart, with the reason."""

import io
import json
import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import fastavro
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2, wrappers_pb2
from msgspec import structs

from feature_sync.definitions import Entity, Feature, FeatureView, MessageFormat, Relation, Stream
from feature_sync.errors import Location, RequestError
from feature_sync.online.codec import row_schema_of
from feature_sync.stream.formats import row_reader
from feature_sync.stream.messages import Message, StreamError
from feature_sync.stream.registry import SchemaRegistry
from feature_sync.value_types import parse, to_microseconds
from tests.support.registry import RegistryServer

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
MICROS = to_microseconds(NOON)


def reader(features, keys=None, *, registry=None, folder=None, timezone="UTC", **stream):
    """Return the reader of a view whose features have these types."""
    keys = keys or {"id": "int64"}
    view = FeatureView(
        name="orders",
        relation=Relation(
            name="orders", unique_id="model.shop.orders", location=Location("models/orders.yml", "orders"), columns={}
        ),
        entities=(Entity(name="order", join_keys=tuple(keys)),),
        features=tuple(Feature(name=name) for name in features),
        event_timestamp="at",
        timezone=timezone,
    )
    schema = row_schema_of(view, *({name: parse(kind) for name, kind in each.items()} for each in (keys, features)))
    return row_reader(view, Stream(topic="orders", **stream), schema, registry=registry, folder=folder)


def message(value, *, key=None, offset=0, timestamp=1_704_110_400_000):
    content = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return Message(0, offset, timestamp, key, content)


def one(kind, value, **options):
    """Read one message with one feature; returns its value in wire form, or the reason why it is dead."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    content = b'{"id": 1, "at": "2024-01-01T12:00:00Z", "x": %b}' % raw
    rows, dead = reader({"x": kind}, **options).read([message(content)])
    return dead[0].reason if dead else rows[0].values[0][0]


@pytest.mark.parametrize(
    ("kind", "value", "wire"),
    [
        ("bool", True, True),
        ("int64", 2**63 - 1, 2**63 - 1),
        ("wideint", 2**70, str(2**70)),
        ("wideint", "007", "7"),
        ("float64", 1, 1.0),
        ("float64", 0.1, 0.1),
        ("decimal(10,2)", 1.5, "1.50"),
        ("decimal(10,2)", b"0.10", "0.10"),
        ("decimal(38,0)", b"12345678901234567890123456789", "12345678901234567890123456789"),
        ("decimal", "1e3", "1000"),
        ("string", "é", "é"),
        ("date", "1970-01-03", 2),
        ("timestamptz", "2024-01-01T13:00:00+01:00", MICROS),
        ("timestamptz", "2024-01-01T12:00:00", MICROS),
        ("timestamp", "2024-01-01T12:00:00.000001", MICROS + 1),
        ("timestamp", "2024-01-01T12:00:00Z", MICROS),
        ("uuid", "C2C5E0AA-9E43-4F52-9C5E-0B1E3D8A7F10", "c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10"),
        ("json", {"a": [1, None]}, '{"a":[1,null]}'),
        ("array<int64>", [1, None], [1, None]),
        ("array<float64>", [1, 0.5], [1.0, 0.5]),
        ('struct<"a" date, "b" array<decimal(4,1)>>', {"a": "1970-01-02", "c": 1}, {"a": 1, "b": None}),
        *((kind, None, None) for kind in ("int64", "string", "decimal(10,2)", "array<int64>", "timestamp")),
    ],
)
def test_a_field_becomes_a_value_in_wire_form(kind, value, wire):
    found = one(kind, value)
    assert found == wire
    assert type(found) is type(wire)


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("bool", 1, "x: 1 is not true or false"),
        ("int64", 1.0, "x: 1.0 is not a whole number"),
        ("int64", "1", "x: '1' is not a whole number"),
        ("int64", True, "x: True is not a whole number"),
        ("int64", 2**63, "x: a whole number does not fit into 64 bits"),
        ("float64", "0.5", "x: '0.5' is not a number"),
        ("float64", False, "x: False is not a number"),
        ("float64", 10**400, "does not fit float64"),
        ("decimal(10,2)", 0.125, "x: 0.125 does not fit decimal(10,2) exactly"),
        ("decimal(4,2)", 100, "x: 100 does not fit decimal(4,2) exactly"),
        ("decimal", b"1e99999", "is not a finite number of at most 1000 digits"),
        ("decimal", "NaN", "x: 'NaN' is not a number"),
        ("string", 7, "x: 7 is not text"),
        ("bytes", "aGk=", "x: 'aGk=' is not bytes"),
        ("date", "2024-01-01T12:00:00", "is not a date such as 2024-01-31"),
        ("date", 19_000, "x: 19000 is not a date such as 2024-01-31"),
        ("timestamptz", "noon", "x: 'noon' is not a moment such as 2024-01-31T17:00:00Z"),
        ("timestamptz", "2024-01-01T12:00:00.0000001Z", "is finer than a microsecond"),
        ("timestamptz", 1_704_110_400_000, "may count seconds or thousandths of them: set timestamps: milliseconds"),
        ("uuid", "c2c5", "x: 'c2c5' is not a UUID"),
        ("json", "not json", "x: 'not json' is not a JSON document"),
        ("array<int64>", 7, "x: 7 is not a list"),
        ("array<int64>", [1, "2"], "x: '2' is not a whole number"),
        ('struct<"a" int64>', [1], "x: a list is not a mapping of fields"),
    ],
)
def test_a_field_of_another_type_makes_a_dead_letter_that_says_so(kind, value, reason):
    assert reason in one(kind, value)


def test_numbers_for_moments_count_what_the_stream_says():
    assert one("timestamptz", 1_704_110_400, timestamps="seconds") == MICROS
    assert one("timestamptz", 1_704_110_400_000, timestamps="milliseconds") == MICROS
    assert one("timestamp", MICROS, timestamps="microseconds") == MICROS
    assert "is beyond the years 1 to 9999" in one("timestamptz", MICROS, timestamps="seconds")


def test_a_naive_event_time_is_on_the_views_clock():
    read = reader({"x": "int64"}, timezone="Europe/Paris").read
    rows, _ = read([message({"id": 1, "at": text, "x": 1}) for text in ("2024-07-01T12:00:00", "2024-07-01T12:00:00Z")])
    summer = to_microseconds(datetime(2024, 7, 1, 10, tzinfo=UTC))
    assert rows[0].event_timestamps == [summer, summer + 7_200_000_000]


def test_fields_are_found_by_their_paths_in_value_and_key_and_by_the_messages_own_time():
    columns = {"id": "$key.order", "x": "payload.after.amount", "at": "$timestamp"}
    read = reader({"x": "int64"}, key_format=MessageFormat.JSON, columns=tuple(columns.items())).read
    bodies = [{"payload": {"after": {"amount": 7}}}, {"payload": None}, {}]
    rows, dead = read([message(each, key=b'{"order": 5}', offset=at) for at, each in enumerate(bodies)])
    assert dead == []
    assert rows[0].values == [[7, None, None]]
    assert (rows[0].keys, rows[0].event_timestamps) == ([[5, 5, 5]], [MICROS] * 3)
    assert (rows[0].partitions, rows[0].offsets) == ([0, 0, 0], [0, 1, 2])


@pytest.mark.parametrize(
    ("kind", "key", "wire"),
    [("int64", b"7", 7), ("string", b"a|b", "a|b"), ("uuid", b"C2C5E0AA9E434F529C5E0B1E3D8A7F10", None)],
)
def test_a_key_of_text_is_read_as_its_type_writes_it(kind, key, wire):
    read = reader({"x": "int64"}, {"id": kind}, key_format=MessageFormat.STRING, columns=(("id", "$key"),)).read
    rows, _ = read([message({"at": "2024-01-01", "x": 1}, key=key)])
    assert rows[0].keys == [[wire or str(UUID(key.decode()))]]
    if kind != "string":
        assert "seven" in read([message({"at": "2024-01-01", "x": 1}, key=b"seven")])[1][0].reason


@pytest.mark.parametrize(
    ("content", "key", "reason"),
    [
        (b"{", b"1", "it is not JSON (Input data was truncated)"),
        (b'{"x": "\xff"}', b"1", "it is not JSON"),
        (b"[" * 100_000, b"1", "it is not JSON"),
        (b"[1]", b"1", "the message is not a mapping of fields, so it has no field 'x'"),
        (b'{"at": null, "x": 1}', b"1", "at: the event timestamp is null"),
        (b'{"at": "2024-01-01", "x": 1}', None, "the message has no key"),
        (b'{"at": "2024-01-01", "x": 1}', b"\xff", "its key is not UTF-8 text: see stream.key_format"),
    ],
)
def test_a_poisoned_message_is_told_apart_from_the_others(content, key, reason):
    good = message({"at": "2024-01-01", "x": 1}, key=b"2")
    read = reader({"x": "int64"}, key_format=MessageFormat.STRING, columns=(("id", "$key"),)).read
    batch = [structs.replace(good, offset=at) for at in range(9)]
    batch[4] = message(content, key=key, offset=4)
    rows, dead = read(batch)
    assert [each.message for each in dead] == [batch[4]]
    assert reason in dead[0].reason
    assert [offset for each in rows for offset in each.offsets] == [0, 1, 2, 3, 5, 6, 7, 8]


def test_a_null_join_key_is_dead_and_says_which_field_it_is():
    _, dead = reader({"x": "int64"}, columns=(("id", "order.number"),)).read([message({"at": "2024-01-01"})])
    assert dead[0].reason == "the join key 'id' is null, or the message has no field 'order.number'"


def test_a_message_without_a_value_deletes_the_row_of_its_key_at_its_own_time():
    read = reader({"x": "int64"}, key_format=MessageFormat.STRING, columns=(("id", "$key"),)).read
    rows, dead = read([message(None, key=b"3", offset=8), message({"at": "2024-01-01", "x": 1}, key=b"3", offset=9)])
    assert dead == []
    deletion = next(each for each in rows if each.values is None)
    assert (deletion.keys, deletion.event_timestamps, deletion.offsets) == ([[3]], [MICROS], [8])
    _, dead = read([message(None, key=b"3", timestamp=None)])
    assert dead[0].reason == "the event timestamp is null"


def test_a_message_without_a_value_is_dead_where_the_key_names_no_row():
    _, dead = reader({"x": "int64"}).read([message(None, key=b"3")])
    assert "it has no value, which deletes a row, but the join keys are not read from the key" in dead[0].reason


def test_a_feature_that_no_message_has_is_warned_of_once(caplog):
    read = reader({"x": "int64", "y": "int64"}, columns=(("y", "payload.yy"),)).read
    for _ in range(3):
        read([message({"id": 1, "at": "2024-01-01", "x": 1})] * 500)
    assert [each.getMessage() for each in caplog.records] == [
        "none of the first 1000 messages has a value for y (payload.yy): see stream.columns"
    ]


def test_an_interval_cannot_stream():
    with pytest.raises(RequestError, match="orders cannot stream: x is interval, and the form of interval is the ware"):
        reader({"x": "interval"})


# Avro


@pytest.fixture(scope="module")
def registry():
    with RegistryServer() as server:
        yield server


def avro(number, schema, record, named=None):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema, named_schemas=named or {}), record)
    return b"\0" + struct.pack(">I", number) + out.getvalue()


def record(*fields):
    return {"type": "record", "name": "Order", "fields": [{"name": name, "type": kind} for name, kind in fields]}


MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
OLD = record(("id", "long"), ("at", MILLIS), ("x", "int"))
NEW = record(("x", ["null", "double"]), ("note", "string"), ("id", "long"), ("at", MILLIS), ("y", ["null", "long"]))


def test_avro_is_read_by_the_schema_of_its_writer_and_columns_by_their_names(registry):
    old, new = registry.register("orders-value", OLD), registry.register("orders-value", NEW)
    read = reader({"x": "float64", "y": "int64"}, format=MessageFormat.AVRO, registry=SchemaRegistry(registry.url)).read
    batch = [
        message(avro(old, OLD, {"id": 1, "at": NOON, "x": 3})),
        message(avro(new, NEW, {"x": None, "note": "n", "id": 2, "at": NOON, "y": 5})),
        message(avro(new, NEW, {"x": 0.5, "note": "n", "id": 3, "at": NOON, "y": None})),
    ]
    rows, dead = read(batch)
    assert dead == []
    assert rows[0].keys == [[1, 2, 3]]
    assert rows[0].values == [[3.0, None, 0.5], [None, 5, None]]
    assert rows[0].event_timestamps == [MICROS] * 3
    asked = len(registry.asked)
    read(batch)
    assert len(registry.asked) == asked  # schemas never change, so that each is asked for once


def test_avros_logical_types_are_values_of_ours(registry):
    fields = {
        "decimal(6,2)": (
            {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2},
            Decimal("1.50"),
            "1.50",
        ),
        "date": ({"type": "int", "logicalType": "date"}, date(1970, 1, 3), 2),
        "uuid": ({"type": "string", "logicalType": "uuid"}, UUID(int=1), str(UUID(int=1))),
        "timestamp": ({"type": "long", "logicalType": "local-timestamp-micros"}, NOON.replace(tzinfo=None), MICROS),
        "bytes": ("bytes", b"\xff", b"\xff"),
        "string": ({"type": "enum", "name": "Color", "symbols": ["RED"]}, "RED", "RED"),
        "array<int64>": ({"type": "array", "items": "long"}, [1, 2], [1, 2]),
    }
    schema = record(("id", "long"), ("at", MILLIS), *((f"f{at}", each[0]) for at, each in enumerate(fields.values())))
    number = registry.register("types-value", schema)
    given = {"id": 1, "at": NOON} | {f"f{at}": each[1] for at, each in enumerate(fields.values())}
    kinds = {f"f{at}": kind for at, kind in enumerate(fields)}
    read = reader(kinds, format=MessageFormat.AVRO, registry=SchemaRegistry(registry.url)).read
    rows, dead = read([message(avro(number, schema, given))])
    assert dead == []
    assert [each[0] for each in rows[0].values] == [each[2] for each in fields.values()]


def test_an_avro_schema_may_refer_to_another(registry):
    money = {"type": "record", "name": "shop.Money", "fields": [{"name": "amount", "type": "double"}]}
    registry.register("shop.Money", money)
    schema = record(("id", "long"), ("at", MILLIS), ("paid", "shop.Money"))
    reference = {"name": "shop.Money", "subject": "shop.Money", "version": 1}
    number = registry.register("paid-value", schema, references=[reference])
    named = {}
    fastavro.parse_schema(money, named_schemas=named)
    content = avro(number, schema, {"id": 1, "at": NOON, "paid": {"amount": 2.5}}, named)
    read = reader(
        {"x": "float64"},
        format=MessageFormat.AVRO,
        columns=(("x", "paid.amount"),),
        registry=SchemaRegistry(registry.url),
    ).read
    assert read([message(content)])[0][0].values == [[2.5]]


def test_avro_that_is_damaged_or_of_an_unknown_schema_is_dead(registry):
    number = registry.register("damaged-value", OLD)
    good = avro(number, OLD, {"id": 1, "at": NOON, "x": 3})
    read = reader({"x": "int64"}, format=MessageFormat.AVRO, registry=SchemaRegistry(registry.url)).read
    batch = [good, good[:-1], good + b"x", b"{}", b"\0\0\1\1\1x", good]
    rows, dead = read([message(each, offset=at) for at, each in enumerate(batch)])
    assert sum(len(each.offsets) for each in rows) == 2
    assert [each.message.offset for each in dead] == [1, 2, 3, 4]
    assert "is not what the schema" in dead[0].reason
    assert "goes on after what the schema" in dead[1].reason
    assert "does not begin with the header of a schema registry" in dead[2].reason
    assert "has no schema 65793" in dead[3].reason


def test_a_registry_that_is_down_is_asked_again_and_then_stops_the_stream(registry, monkeypatch):
    monkeypatch.setattr("feature_sync.stream.registry._PAUSES", (0.01, 0.01))
    number = registry.register("late-value", OLD)
    read = reader({"x": "int64"}, format=MessageFormat.AVRO, registry=SchemaRegistry(registry.url)).read
    batch = [message(avro(number, OLD, {"id": 1, "at": NOON, "x": 3}))]
    registry.failures = 3
    with pytest.raises(StreamError, match=r"http://127\.0\.0\.1:\d+ answers 503 Service Unavailable: is FEATURE_SYNC_"):
        read(batch)
    registry.failures = 2
    assert read(batch)[0][0].values == [[3]]


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1:1", "cannot be reached"), ("http://wrong:word@{}", "answers 401 Unauthorized")],
)
def test_a_wrong_registry_stops_the_stream_without_its_password(registry, monkeypatch, url, reason):
    monkeypatch.setattr("feature_sync.stream.registry._PAUSES", ())
    wrong = SchemaRegistry(url.format(registry.url.rpartition("@")[2]))
    with pytest.raises(StreamError, match=reason) as failed:
        reader({"x": "int64"}, format=MessageFormat.AVRO, registry=wrong).read([message(b"\0\0\0\0\1")])
    assert "word" not in str(failed.value)


def test_a_registry_is_needed_for_avro():
    with pytest.raises(RequestError, match="its messages need a schema registry: name it in FEATURE_SYNC_SCHEMA_REGI"):
        reader({"x": "int64"}, format=MessageFormat.AVRO)
    with pytest.raises(RequestError, match="must begin with http:// or https://"):
        SchemaRegistry("registry:8081")


# Protocol Buffers


def proto_file():
    """Describe a file with the message Order, and another that is nested in Envelope."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
    file.dependency.extend(["google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto"])
    order = file.message_type.add(name="Order")
    moment, wrapped = ".google.protobuf.Timestamp", ".google.protobuf.DoubleValue"
    for at, (name, kind, type_name) in enumerate(
        [
            ("id", kinds.TYPE_INT64, ""),
            ("at", kinds.TYPE_MESSAGE, moment),
            ("x", kinds.TYPE_MESSAGE, wrapped),
            ("color", kinds.TYPE_ENUM, ".shop.Color"),
        ],
        1,
    ):
        field = order.field.add(name=name, number=at, type=kind, label=kinds.LABEL_OPTIONAL)
        if type_name:
            field.type_name = type_name
    order.field.add(name="tags", number=5, type=kinds.TYPE_STRING, label=kinds.LABEL_REPEATED)
    colors = file.enum_type.add(name="Color")
    colors.value.add(name="UNKNOWN", number=0)
    colors.value.add(name="RED", number=1)
    envelope = file.message_type.add(name="Envelope")
    envelope.nested_type.add().CopyFrom(order)
    return file


def proto_class(name):
    pool = descriptor_pool.DescriptorPool()
    for module in (timestamp_pb2, wrappers_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.Add(proto_file())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def order(name="shop.Order", **fields):
    made = proto_class(name)(id=7, color=1, tags=["a", "b"], **fields)
    made.at.FromDatetime(NOON + timedelta(microseconds=1))
    return made.SerializeToString()


FEATURES = {"x": "float64", "color": "string", "tags": "array<string>"}


def test_protobuf_is_read_by_a_descriptor_file(tmp_path):
    files = descriptor_pb2.FileDescriptorSet()
    for module in (timestamp_pb2, wrappers_pb2):
        files.file.add().ParseFromString(module.DESCRIPTOR.serialized_pb)
    files.file.append(proto_file())
    (tmp_path / "order.pb").write_bytes(files.SerializeToString())
    options = {"format": MessageFormat.PROTOBUF, "descriptor": "order.pb", "folder": tmp_path}
    rows, dead = reader(FEATURES, **options).read([message(order()), message(b"\xff\xff"), message(order())])
    assert [each.reason for each in dead if "it is not a shop.Order" in each.reason]
    assert [each.values for each in rows] == [[[None], ["RED"], [["a", "b"]]]] * 2
    assert rows[0].event_timestamps == [MICROS + 1]
    rows, _ = reader(FEATURES, message="shop.Envelope.Order", **options).read([message(order())])
    assert rows[0].keys == [[7]]
    with pytest.raises(
        RequestError, match=r"has no message 'shop\.Ordr'; did you mean 'shop\.Order'\?: see stream\.me"
    ):
        reader(FEATURES, message="shop.Ordr", **options)
    (tmp_path / "order.pb").write_bytes(b"\xff")
    with pytest.raises(RequestError, match=r"is not what protoc --descriptor_set_out writes: see stream\.descriptor"):
        reader(FEATURES, **options)
    with pytest.raises(RequestError, match=r"No such file or directory: see stream\.descriptor"):
        reader(FEATURES, **{**options, "descriptor": "gone.pb"})


@pytest.mark.parametrize(
    ("indexes", "name"),
    [(b"\0", "shop.Order"), (b"\x02\x00", "shop.Order"), (b"\x04\x02\x00", "shop.Envelope.Order")],
)
def test_protobuf_is_read_by_a_registry(registry, indexes, name):
    number = registry.register("orders-proto", proto_file().SerializeToString(), "PROTOBUF")
    header = b"\0" + struct.pack(">I", number) + indexes
    read = reader(FEATURES, format=MessageFormat.PROTOBUF, registry=SchemaRegistry(registry.url)).read
    rows, dead = read([message(header + order(name, x={"value": 0.0}))])
    assert dead == []
    assert rows[0].values == [[0.0], ["RED"], [["a", "b"]]]
    _, dead = read([message(header[:5] + b"\x02\x08"), message(header[:5]), message(header[:5] + b"\xff" * 20)])
    assert "has no message at [4]" in dead[0].reason
    assert "ends within the numbers that say which message it is" in dead[1].reason
    assert len(dead) == 3


def test_a_schema_of_another_format_is_dead(registry):
    number = registry.register("mixed-value", OLD)
    content = b"\0" + struct.pack(">I", number) + b"\0"
    read = reader(FEATURES, format=MessageFormat.PROTOBUF, registry=SchemaRegistry(registry.url)).read
    assert "is of AVRO, not of Protobuf: see stream.format" in read([message(content)])[1][0].reason
