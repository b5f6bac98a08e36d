"""The block `stream` of a feature view: what it says, what it refuses, and why."""

import msgspec
import pytest

from feature_sync.dbt import streams
from feature_sync.dbt.feature_views import read_feature_view
from feature_sync.dbt.node import Node
from feature_sync.definitions import MessageFormat, Stream
from feature_sync.errors import Findings
from tests.test_schema import SCHEMA, VALUES, in_a_view, refusals

VIEW = {"entities": {"customer": "customer_id"}, "features": ["spent"]}


def read(stream, resource_type="model", types=None, **settings):
    """Read a view with a stream; returns it with the mistakes as text."""
    meta = {"feature_view": {**VIEW, **settings, "stream": stream}}
    node = {
        "unique_id": "model.shop.orders",
        "name": "orders",
        "resource_type": resource_type,
        "original_file_path": "models/orders.yml",
        "config": {"event_time": "ordered_at", "meta": meta},
    }
    findings = Findings()
    view = read_feature_view(msgspec.convert(node, Node), types or {}, findings)
    return view, [str(each) for each in findings.errors]


def test_a_topic_alone_is_a_stream_of_json_whose_fields_are_the_columns():
    view, mistakes = read({"topic": "orders"})
    assert mistakes == []
    assert view.stream == Stream(topic="orders", format=MessageFormat.JSON)
    assert [view.stream.path_of(name) for name in ("customer_id", "Spent")] == [("customer_id",), ("Spent",)]
    assert not view.stream.needs_registry


def test_a_view_without_the_block_has_no_stream():
    assert read(None)[0].stream is None


def test_every_setting_is_read():
    columns = {"customer_id": "$key.customer", "SPENT": "payload.amount", "ordered_at": "$timestamp"}
    view, mistakes = read(
        {
            "topic": "orders",
            "format": "protobuf",
            "key_format": "avro",
            "columns": columns,
            "timestamps": "milliseconds",
            "message": "shop.Order",
            "descriptor": "protos/orders.pb",
            "dead_letter_file": "dead.jsonl",
        }
    )
    assert mistakes == []
    stream = view.stream
    assert stream.path_of("spent") == ("payload", "amount")
    assert stream.path_of("customer_id") == ("$key", "customer")
    assert (stream.format, stream.key_format, stream.needs_registry) == ("protobuf", "avro", True)
    assert stream.timestamps == "milliseconds"
    assert (stream.message, stream.descriptor, stream.dead_letter_file) == (
        "shop.Order", "protos/orders.pb", "dead.jsonl",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ({}, "stream.topic: is missing: name the topic whose messages are the view's rows"),
        ({"topic": 7}, "stream.topic: must be a text, not 7"),
        ("orders", "feature_view.stream: must be a mapping, not 'orders'"),
        ({"topic": "orders", "fromat": "json"}, "stream.fromat: unknown key; did you mean 'format'?"),
        ({"topic": "orders", "format": "jsn"}, "stream.format: is 'jsn'; did you mean 'json'?"),
        ({"topic": "orders", "format": "string"}, "stream.format: is 'string'; choose from avro, json, protobuf"),
        ({"topic": "orders", "timestamps": "millis"}, "timestamps: is 'millis'; did you mean 'milliseconds'?"),
        ({"topic": "orders", "columns": ["spent"]}, "stream.columns: must map columns of the view to fields"),
        ({"topic": "orders", "columns": {"spnt": "amount"}}, "columns.spnt: 'spnt' is no key, event time or feature"),
        ({"topic": "orders", "columns": {"spent": "a..b"}}, "columns.spent: must be a field of the message"),
        ({"topic": "orders", "columns": {"spent": "$kee"}}, "'$kee' is no part of a message; did you mean '$key'?"),
        ({"topic": "orders", "columns": {"customer_id": "$key"}}, "stream.key_format: is missing: 'customer_id' is"),
        (
            {"topic": "orders", "descriptor": "a.pb"},
            "stream.descriptor: is for format: protobuf, and the format is json",
        ),
        ({"topic": "orders", "dead_letter_topic": "d", "dead_letter_file": "f"}, "is one place too many"),
        ({"topic": "orders", "dead_letter_topic": "orders"}, "is the topic itself: dead letters would come back"),
    ],
)
def test_a_mistake_names_the_file_the_node_and_the_yaml_key(stream, message):
    _, mistakes = read(stream)
    assert len(mistakes) == 1
    assert "models/orders.yml" in mistakes[0]
    assert message in mistakes[0]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"timeless": True}, "its rows have no event time, by which the newer of two is known"),
        ({"latest_only": True}, "its one row for each entity is overwritten, whatever its time"),
        ({"valid_from": "since", "valid_to": "until"}, "its rows end when the next begin"),
        ({"known_at": "loaded_at"}, "a row counts once its known_at is past, which the warehouse decides"),
        ({"online": False}, "it says online: false, so that Redis does not hold it"),
        (
            {"lag": "1d", "types": {"ordered_at": "DATE"}},
            "is a date, so its rows sum a day; the row must be the message",
        ),
    ],
)
def test_a_view_whose_rows_are_no_messages_is_refused_with_the_reason(settings, reason):
    types = {"customer_id": "bigint", "spent": "double", "ordered_at": "timestamp", **settings.pop("types", {})}
    _, mistakes = read({"topic": "orders"}, types=types, **settings)
    assert [each for each in mistakes if "orders cannot stream: " in each and reason in each], mistakes


@pytest.mark.parametrize("key", [*streams.STREAM, "tpoic"])
def test_a_setting_is_refused_by_the_schema_and_by_the_reader_or_by_neither(key):
    assert SCHEMA["definitions"]["stream"]["required"] == ["topic"]
    for value in VALUES:
        if key in ("message", "descriptor") and isinstance(value, str) and value:
            continue  # no schema knows for which formats they are
        if key == "columns" and value:
            continue  # nor the columns of the view
        stream = {"topic": "orders", key: value}
        meta = {"feature_view": {**VIEW, "stream": stream}}
        assert (read(stream)[1] == []) == (refusals(in_a_view(meta)) == []), f"{key}: {value!r}"
