"""The lookup: what a damaged Redis, a wrong key or another prefix makes of a request is an error that names it."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import msgpack
import numpy
import pandas
import pytest

from feature_sync.errors import OnlineStoreError, RequestError
from feature_sync.online.codec import encode_row, read_row_schema
from feature_sync.value_types import parse, to_microseconds
from tests.support.orders import DEFAULT, NOON, SCHEMA, VALUES, Orders

AGAIN = "push again: feature-sync push --full-refresh"
NEST = b"\x91" * 100_000 + b"\xc0"


@pytest.fixture
def opened(redis_url):
    """Opens the view with keys of chosen types."""
    opened = []

    def opens(*key_types, **options):
        opened.append(Orders(redis_url, key_types or ("int64",), **options))
        return opened[-1]

    yield opens
    for each in opened:
        each.close()


@pytest.fixture
def orders(opened):
    return opened()


def values(vector) -> dict:
    return {name: (value, str(vector.statuses[name])) for name, value in vector.items()}


# Damaged rows


def test_a_value_of_every_type_is_read(orders):
    orders.push()
    (vector,) = orders.read({"k0": 1})
    assert [status for _, status in values(vector).values()] == ["present"] * len(VALUES)
    assert vector.to_dict()["pair"] == {"a": date(1970, 1, 2), "b": [Decimal("1.5")]}


WRONG = [1, 1.5, "no", b"no", True, [1], {"a": 1}, 2**63, msgpack.ExtType(5, b"x"), msgpack.Timestamp(5, 0)]
RIGHT = {
    "flag": [True], "whole": [1], "real": [1.5, 1, 2**63], "words": ["no"], "raw": [b"no"], "day": [1],
    "wall": [1, 2**50], "instant": [1], "span": ["no"], "token": ["no"], "document": ["no"], "numbers": [[1]],
}  # fmt: skip


def test_an_integer_where_a_float_belongs_is_that_float(orders):
    orders.push(real=1)
    (vector,) = orders.read({"k0": 1})
    assert (vector["real"], type(vector["real"])) == (1.0, float)


@pytest.mark.parametrize("name", VALUES)
def test_a_value_of_another_type_is_an_error_that_names_the_view_the_key_and_the_feature(orders, name):
    for wrong in WRONG:
        if any(repr(wrong) == repr(each) for each in RIGHT.get(name, [])):
            continue
        orders.push()
        row = [
            orders.schema.id,
            to_microseconds(NOON),
            *({n: v for n, (_, v) in VALUES.items()} | {name: wrong}).values(),
        ]
        orders.client.set("shop:orders:{1}", msgpack.packb(row))
        with pytest.raises(OnlineStoreError, match=rf"^orders: the row shop:orders:\{{1\}} .*\({name}: .*{AGAIN}$"):
            orders.read({"k0": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exact", "one"),
        ("exact", ""),
        ("wide", "1.5"),
        ("wide", "9" * 5000),
        ("singles", b"\0" * 7),
        ("singles", [1e39]),
        ("day", 10**12),
        ("day", -(10**6)),
        ("wall", 2**62),
        ("instant", -(2**62)),
        ("numbers", [1, "2"]),
        ("pair", {"a": 1}),
        ("pair", {"a": 1, "b": ["x"]}),
    ],
)
def test_a_value_that_there_is_not_is_an_error(orders, name, value):
    orders.push(**{name: value})
    with pytest.raises(OnlineStoreError, match=rf"^orders: the row shop:orders:\{{1\}} .*{name}: .*{AGAIN}"):
        orders.read({"k0": 1})


@pytest.mark.parametrize("as_of", [NOON, None], ids=["pushed at a fixed clock", "pushed at the real clock"])
def test_a_row_that_cannot_be_read_is_never_missing(opened, as_of):
    orders = opened(as_of=as_of)
    orders.push(2)
    key = orders.push(1)
    schema_id, moment, *rest = msgpack.unpackb(orders.client.get(key))
    damages = {
        b"": "cannot be read",
        b"junk": "cannot be read",
        NEST: "cannot be read",
        b"\xdd\xff\xff\xff\xff": "cannot be read",
        msgpack.packb([1, 2, 3]): "schema id",
        msgpack.packb([schema_id, True, *rest]): "schema id and an event timestamp",
        msgpack.packb([schema_id, 2**62, *rest]): "its event timestamp is",
        msgpack.packb([b"none", moment, *rest]): "no schema 6e6f6e65",
        msgpack.packb([schema_id, moment, *rest[:-1]]): "15 values, its schema 16",
        msgpack.packb([schema_id, moment, *rest, 1, 2]): "18 values, its schema 16",
        msgpack.packb([schema_id, moment, *rest, "end"]): "17 values, its schema 16",
        msgpack.packb([schema_id, moment, *rest, 2**62]): "cannot be read",
    }
    for content, reason in damages.items():
        orders.client.set(key, content)
        message = rf"^orders: .*shop:orders:\{{1\}}.*{reason}.*{AGAIN}$"
        with pytest.raises(OnlineStoreError, match=message):
            orders.read({"k0": 2}, {"k0": 1})
        with pytest.raises(OnlineStoreError, match=message):
            orders.answer(orders.requests().get({"k0": 1}, {}))
        right, damaged = orders.read({"k0": 2}, {"k0": 1}, lenient=True)
        assert values(right)["whole"] == (7, "present")
        assert values(damaged) == dict.fromkeys(VALUES, (None, "invalid"))


def test_a_schema_is_read_once_a_request_however_many_rows_need_it(orders):
    for key in range(20):
        orders.push(key)
    requests = orders.requests()
    rows = [{"k0": key} for key in range(20)]
    for content, error in ((None, None), (b"none", "no schema")):
        if content:
            for key in range(20):
                orders.client.set(f"shop:orders:{{{key}}}", msgpack.packb([content, None, 1]))
        before = calls(orders)
        if error:
            with pytest.raises(OnlineStoreError, match=error):
                orders.answer(requests.get_many(rows))
        else:
            orders.answer(requests.get_many(rows))
        after = calls(orders)
        assert after["hgetall"] - before["hgetall"] == (0 if error else 1)
        assert after["hmget"] - before["hmget"] == (1 if error else 0)


def calls(orders) -> dict[str, int]:
    told = orders.client.info("commandstats")
    return {name: told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hgetall", "hmget")}


def test_a_schema_that_a_push_has_just_written_is_found(orders):
    orders.push()
    requests = orders.requests()
    orders.answer(requests.get({"k0": 1}, {}))
    newer = {"keys": [["k0", "int64"]], "features": [["whole", "int64"]], "as_of": to_microseconds(NOON), "fence": 2}
    schema = read_row_schema(json.dumps(newer).encode())
    orders.client.hset(SCHEMA, schema.id, schema.to_json())
    orders.client.set("shop:orders:{1}", encode_row([schema.id, None, 8]))
    vector = orders.answer(requests.get({"k0": 1}, {}, lenient=True))
    assert values(vector) == dict.fromkeys(VALUES, (None, "gone")) | {"whole": (8, "present")}
    with pytest.raises(OnlineStoreError, match=r"^flag is not in the rows in Redis: orders was pushed otherwise"):
        orders.answer(requests.get({"k0": 1}, {}))


# Damaged schemas


@pytest.mark.parametrize(
    ("field", "content"),
    [
        pytest.param(b"a note", b"of another program", id="a foreign field"),
        pytest.param(b"note", b"of another program", id="a foreign field as long as an id"),
        pytest.param(b"note", b'{"keys": [], "features": [], "fence": 99}', id="a schema whose id is not its own"),
        pytest.param(b"note", b'{"keys": [], "features": [], "ttl": 1e300, "fence": 99}', id="an absurd ttl"),
    ],
)
def test_a_field_that_no_row_needs_stops_no_request(orders, field, content):
    orders.push()
    orders.client.hset(SCHEMA, field, content)
    (vector,) = orders.read({"k0": 1})
    assert values(vector)["whole"] == (7, "present")
    found: list[list[bytes]] = []
    orders.online.publish("a_model", lambda _, schemas_of: found.append([*schemas_of("orders")]))
    assert found == [[orders.schema.id]]


def test_a_damaged_schema_is_an_error_that_names_the_view(orders):
    orders.push()
    schema = json.loads(orders.schema.to_json())
    damages = [
        {"ttl": 10**30}, {"ttl": -1}, {"ttl": "1d"}, {"as_of": 10**30}, {"as_of": -(10**17)},
        {"keys": [["k0", "int65"]]},
        {"keys": None}, {"features": [["whole", "int64"]] * 2}, {"features": [["whole", "array<" * 5000]]},
        {"features": [["whole", "array<" * 200 + "int64" + ">" * 200]]}, {"features": [["whole", "struct<"]]},
        {"features": [["whole", 'struct<"' + '""' * 500_000]]},
        {"features": [["whole", "decimal(" + "9" * 5000 + ")"]]},
        {"keys": [["k0", "string"]]}, {"features": schema["features"][1:]}, {"fence": None},
    ]  # fmt: skip
    contents = [json.dumps(schema | damage).encode() for damage in damages]
    contents += [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"defaults": ' + b"[" * 100_000,
        orders.schema.to_json()[:-9],
    ]
    for content in contents:
        orders.client.hset(SCHEMA, orders.schema.id, content)
        with pytest.raises(OnlineStoreError, match=r"no schema of orders that can be read.*--full-refresh"):
            orders.read({"k0": 1})


def test_a_schema_of_another_type_names_its_key(orders):
    orders.push()
    orders.client.delete(SCHEMA)
    orders.client.set(SCHEMA, "text")
    with pytest.raises(OnlineStoreError, match=r"^shop:orders:schema in Redis is not of the type that pushes write"):
        orders.read({"k0": 1})


# Nothing there


def test_schemas_that_are_gone_are_an_error_and_never_defaults(orders):
    orders.push()
    orders.client.delete(SCHEMA)
    with pytest.raises(
        OnlineStoreError, match=r"no schema of orders that can be read; push again: feature-sync push ord"
    ):
        orders.read({"k0": 1})


def test_a_view_that_was_never_pushed_says_push_first(orders):
    with pytest.raises(
        OnlineStoreError, match=r"no schema of orders under the key prefix 'shop'; push first: feature-s"
    ):
        orders.read({"k0": 1})
    orders.client.sadd("shop:views", "others")
    orders.client.sadd("store:views", "others")
    with pytest.raises(
        OnlineStoreError, match=r"no schema of orders under the key prefix 'shop'; push first: feature-s"
    ):
        orders.read({"k0": 1})


def test_another_key_prefix_is_an_error_that_names_those_which_exist(orders):
    orders.client.sadd("flights:views", "carrier_delays")
    orders.client.sadd("a:b:views", "x")
    orders.client.set("text:views", "x")
    with pytest.raises(
        OnlineStoreError,
        match=r"no schema of orders under the key prefix 'shop', .*; others are 'a:b', 'flights': .*key_prefix=",
    ):
        orders.read({"k0": 1})


def test_looking_for_prefixes_ends_in_a_redis_full_of_other_keys(orders):
    with orders.client.pipeline(transaction=False) as pipeline:
        for number in range(150_000):
            pipeline.set(f"other:{number}", "")
        pipeline.execute()
    before = orders.client.info("commandstats").get("cmdstat_scan", {"calls": 0})["calls"]
    with pytest.raises(OnlineStoreError, match="push first"):
        orders.read({"k0": 1})
    assert orders.client.info("commandstats")["cmdstat_scan"]["calls"] - before <= 100


def test_an_entity_without_a_row_has_the_default(orders):
    orders.push()
    (vector,) = orders.read({"k0": 2})
    assert values(vector)["whole"] == (DEFAULT, "missing")


# Rows that end


def test_a_row_answers_until_its_end_and_no_longer(orders):
    key = orders.push()
    end = NOON + timedelta(hours=1)
    orders.client.set(key, encode_row([*msgpack.unpackb(orders.client.get(key)), to_microseconds(end)]))
    moments = [end - timedelta(microseconds=1), end, end + timedelta(days=1)]
    found = [values(*orders.read({"k0": 1}, as_of=moment))["whole"] for moment in moments]
    assert found == [(7, "present"), (DEFAULT, "expired"), (DEFAULT, "expired")]


# Keys

LATE = timezone(timedelta(hours=14))
SEVEN = [
    7,
    "7",
    " +7 ",
    7.0,
    Decimal(7),
    Decimal("7.0"),
    numpy.int8(7),
    numpy.uint64(7),
    numpy.float32(7),
    numpy.int64(7),
]
NULLS = [None, float("nan"), numpy.nan, numpy.float32("nan"), pandas.NA, pandas.NaT, Decimal("NaN"), Decimal("sNaN")]
NULLS += [numpy.datetime64("NaT")]


@pytest.mark.parametrize(
    ("kind", "wire", "given"),
    [
        ("int64", 7, SEVEN),
        ("wideint", 7, SEVEN),
        ("wideint", 2**100, [2**100, str(2**100), Decimal(2**100)]),
        ("int64", -(2**63), [-(2**63), str(-(2**63)), numpy.int64(-(2**63))]),
        ("decimal(10,2)", "7", [*SEVEN, "7.00", Decimal("7E0"), Decimal("0.7E1")]),
        ("decimal(10,2)", "0", [0, "0.000", Decimal("-0"), Decimal("0E-999999999"), 0.0]),
        ("string", "é|", ["é|", numpy.str_("é|")]),
        ("bool", True, [True, numpy.bool_(True), "TRUE", "true"]),
        (
            "date",
            19_782,
            [
                date(2024, 2, 29),
                "2024-02-29",
                "2024-02-29T00:00:00",
                datetime(2024, 2, 29),
                datetime(2024, 2, 29, tzinfo=LATE),
                pandas.Timestamp("2024-02-29"),
                numpy.datetime64("2024-02-29"),
                numpy.datetime64("2024-02-29T00:00:00.000000000"),
            ],
        ),
        *(
            (
                kind,
                1_704_067_200_000_001,
                [
                    datetime(2024, 1, 1, 0, 0, 0, 1),
                    datetime(2024, 1, 1, 14, 0, 0, 1, tzinfo=LATE),
                    "2024-01-01 00:00:00.000001",
                    "2024-01-01T00:00:00.000001000Z",
                    pandas.Timestamp("2024-01-01 00:00:00.000001"),
                    pandas.Timestamp("2024-01-01 00:00:00.000001", tz="UTC"),
                    numpy.datetime64("2024-01-01T00:00:00.000001"),
                    numpy.datetime64("2024-01-01T00:00:00.000001000"),
                ],
            )
            for kind in ("timestamp", "timestamptz")
        ),
        (
            "uuid",
            "c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10",
            [UUID("c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10"), "C2C5E0AA9E434F529C5E0B1E3D8A7F10"],
        ),
    ],
)
def test_a_key_finds_its_row_in_every_form_that_means_it_exactly(opened, kind, wire, given):
    orders = opened(kind)
    orders.push(wire)
    vectors = orders.read(*({"k0": each} for each in given))
    assert [values(each)["whole"] for each in vectors] == [(7, "present")] * len(given)


KEY_TYPES = ("bool", "int64", "wideint", "decimal(10,2)", "string", "date", "timestamp", "timestamptz", "uuid")


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_every_kind_of_null_is_a_null_key_beside_others(opened, kind):
    orders = opened(kind)
    orders.push({"string": "x", "uuid": str(UUID(int=1)), "decimal": "1"}.get(parse(kind).kind, 1))
    vectors = orders.read(*({"k0": each} for each in NULLS))
    assert [values(each)["whole"] for each in vectors] == [(DEFAULT, "missing")] * len(NULLS)


ANYTHING = [
    b"bytes", [1], {"a": 1}, object(), complex(1), "words", "\ud800", "9" * 100, 1e300, 7.5, float("inf"), True,
    10**5000,
    Decimal("1e999999999"), Decimal("-1e-999999999"), Decimal("Infinity"), "1e999999999", "Infinity", -(2**63) - 1, "",
    datetime(2024, 1, 1, 12), datetime(1, 1, 1, tzinfo=LATE), "0001-01-01T00:00+14:00", "9999-12-31T23:59:59-14:00",
    "2024-01-01T00:00:00.0000001", pandas.Timestamp(1), numpy.datetime64("2024-01-01T00:00:00.000000001"),
    numpy.datetime64(2**62, "s"), numpy.timedelta64(5, "s"), numpy.array([1, 2]), pandas.Timedelta(1), date(2024, 1, 1),
    numpy.complex64(1), numpy.void(b"x"), "١٢", UUID(int=2), timedelta(1), "2024-01-01", 20_240_101,
]  # fmt: skip
EXACT = {
    "bool": [True],
    "int64": [20_240_101],
    "wideint": [-(2**63) - 1, 20_240_101],
    "decimal": ["9" * 100, 10**5000, 7.5, 1e300, -(2**63) - 1, 20_240_101],
    "string": ["words", "9" * 100, "1e999999999", "Infinity", "", "0001-01-01T00:00+14:00", "9999-12-31T23:59:59-14:00",
               "2024-01-01T00:00:00.0000001", "١٢", "2024-01-01"],
    "date": [date(2024, 1, 1), "2024-01-01", datetime(1, 1, 1, tzinfo=LATE), "0001-01-01T00:00+14:00"],
    "timestamp": [datetime(2024, 1, 1, 12), date(2024, 1, 1), "2024-01-01"],
    "uuid": [UUID(int=2)],
}  # fmt: skip


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_one_bad_key_in_a_batch_is_named_with_its_row_in_a_short_line(opened, kind):
    orders = opened(kind)
    orders.push({"string": "x", "uuid": str(UUID(int=1)), "decimal": "1"}.get(parse(kind).kind, 1))
    exact = [(type(each), each) for each in EXACT[parse(kind).kind.removesuffix("tz")]]
    refused = 0
    for given in ANYTHING:
        if any(type(given) is known and given == each for known, each in exact):
            orders.read({"k0": given})
            continue
        with pytest.raises(RequestError, match=r"^entities\[1\]: k0: .*; orders expects ") as wrong:
            orders.read({"k0": None}, {"k0": given}, {"k0": None})
        assert len(str(wrong.value)) < 250
        assert "\n" not in str(wrong.value)
        refused += 1
    assert refused == len(ANYTHING) - len(exact)


def test_a_request_that_is_no_mapping_of_keys_is_named(orders):
    orders.push()
    with pytest.raises(RequestError, match=r"^entities\[1\]: a mapping from key to value is needed, not a list"):
        orders.read({"k0": 1}, ["k0"])
    with pytest.raises(RequestError, match=r"^entities\[1\]: k0: 'k0' is not .* int64"):
        orders.read({"k0": 1}, "k0")
    with pytest.raises(RequestError, match=r"^a_model has no key 5"):
        orders.read({5: 1})
    with pytest.raises(RequestError, match=r"^a_model needs k0"):
        orders.read({})
    assert list(orders.read()) == []


def test_bare_values_are_the_only_key_and_two_keys_are_named(opened):
    orders = opened()
    orders.push()
    assert [values(each)["whole"] for each in orders.read(1, "1", None)] == [
        (7, "present"), (7, "present"), (DEFAULT, "missing")
    ]  # fmt: skip
    orders = opened("int64", "int64")
    orders.push(1, 2)
    for given in (5, "k0", None):
        with pytest.raises(RequestError, match=r"^entities\[1\]: a_model has 2 keys, so name them: k0=..., k1="):
            orders.read({"k0": 1, "k1": 2}, given)


def test_a_float_beside_a_null_in_a_frame_is_the_integer_that_it_was(orders):
    orders.push(7)
    frame = pandas.DataFrame({"k0": [7, None]})
    assert frame["k0"].dtype == "float64"
    found = [values(each)["whole"] for each in orders.read(*frame.to_dict("records"))]
    assert found == [(7, "present"), (DEFAULT, "missing")]
    with pytest.raises(RequestError, match=r"too large to be exact; pass an integer"):
        orders.read({"k0": float(2**53) + 2})


def test_a_schema_whose_keys_cannot_be_keys_is_named(opened):
    orders = opened("float64")
    orders.push(1.5)
    with pytest.raises(RequestError, match=r"float64 cannot be a key"):
        orders.read({"k0": 1.5})
