"""The client of a service: right at the next request after each change, one round trip, and errors that help."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing import get_context

import numpy
import pandas
import pyarrow
import pytest
import redis

from feature_sync import (
    AsyncFeatureClient,
    DriftWarning,
    FeatureClient,
    FeatureSyncError,
    OnlineStoreError,
    PinMismatch,
    RequestError,
)
from tests.support.projects import EXAMPLE
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.unbuilt import UnbuiltProject

SERVICE = "basket_model"
ORDERS = {"event_time": "seen_at", "entity": "customer", "ttl": "1d", "features": ["total", "mean", "word"]}
ROWS = (
    "select * from (values (1, {ago} 1 hour, 3, 1.5, 'a'), (2, {ago} 3 hour, 4, null, 'ü'), "
    "(3, {ago} 20 hour, 5, 2.5, 'c')) as t (id, seen_at, total, mean, word)"
)
TYPED = (
    "select id::bigint as id, seen_at::timestamp as seen_at, total::bigint as total, mean::double as mean, word "
    f"from ({ROWS.format(ago='(now() at time zone ' + repr('UTC') + ') - interval')})"
)
SHOPS = "select 7::bigint as id, 'north' as region, 0.5::decimal(10, 2) as share"


class Shop:
    """A project at the real clock: a service over two views, in a Redis."""

    def __init__(self, folder, url: str):
        self.url = url
        self.project = UnbuiltProject(folder)
        (folder / "dbt_project.yml").write_text(
            json.dumps({"name": "unbuilt", "version": "1.0.0", "profile": "unbuilt"})
        )
        self.orders(TYPED)
        self.project.view(
            "shops", SHOPS, entity="shop", features=["region", "share"], columns=defaults(region="nowhere")
        )
        self.serve({"orders": ["total", "mean", "word"], "home": home("shops", "region", "share")})

    def orders(self, query: str, *, name: str = "orders", columns=None, **settings) -> None:
        self.project.run(f'drop table if exists {{schema}}."{name}"')
        self.project.view(name, query, columns=columns, **{**ORDERS, **settings})

    def serve(self, features: dict, *views: str) -> None:
        self.project.service(SERVICE, features, list(views or ("orders", "shops")))

    def push(self, *names: str, **options):
        with self.project.open(self.url) as store:
            return [*store.push_each(names, gate=False, allow_removals=True, allow_breaking=True, **options)]

    def client(self, **options) -> FeatureClient:
        return FeatureClient(self.url, SERVICE, prefix="unbuilt", **{"timeout": 10, **options})


def home(view: str, *features: str) -> dict:
    return {"view": view, "keys": {"shop": "shop_id"}, "features": list(features)}


def defaults(**named) -> dict:
    return {name: {"feature": {"default": value}} for name, value in named.items()}


@pytest.fixture
def shop(tmp_path, redis_url):
    made = Shop(tmp_path / "shop", redis_url)
    made.push()
    return made


@pytest.fixture
def client(shop):
    with shop.client() as opened:
        yield opened


KEYS = {"id": 1, "shop_id": 7}
ANSWER = {"total": 3, "mean": 1.5, "word": "a", "region": "north", "share": Decimal("0.50")}


def test_a_vector_is_a_mapping_with_statuses_and_event_timestamps(client):
    vector = client.get(**KEYS)
    assert dict(vector) == vector.to_dict() == ANSWER
    assert [*vector] == [*ANSWER]
    assert vector.entity == KEYS
    assert set(vector.statuses.values()) == {"present"}
    assert vector.event_timestamps["region"] is None
    assert abs(datetime.now(UTC) - timedelta(hours=1) - vector.event_timestamps["total"]) < timedelta(minutes=5)
    assert client.get(KEYS) == vector
    null = client.get(id=2, shop_id=8)
    assert null.to_dict() == {"total": 4, "mean": None, "word": "ü", "region": "nowhere", "share": None}
    assert [str(each) for each in null.statuses.values()] == ["present", "null", "present", "missing", "missing"]
    assert repr(vector).startswith("FeatureVector(total=3, mean=1.5, word='a'")


def test_many_vectors_are_a_sequence_in_the_order_of_the_request(client):
    rows = [KEYS, {"id": 9, "shop_id": 7}, {"id": None, "shop_id": math.nan}, {"shop_id": 7, "id": 2}]
    batch = client.get_many(rows)
    assert len(batch) == 4
    assert [each.to_dict() for each in batch] == [client.get(each).to_dict() for each in rows]
    assert batch.to_dict()["total"] == [3, None, None, 4]
    assert batch[1:][0].entity == rows[1]
    assert batch.statuses["region"] == ["present", "present", "missing", "present"]
    assert client.get_many([]).to_pandas().shape == (0, 5)


@pytest.mark.parametrize("make", [
    lambda rows: rows,
    tuple,
    iter,
    lambda rows: (dict(each) for each in rows),
    lambda rows: pandas.DataFrame(rows, index=["x", "y"]),
    lambda rows: pandas.DataFrame(rows).assign(other=1)[["other", "shop_id", "id"]],
    pyarrow.Table.from_pylist,
    lambda rows: pyarrow.RecordBatchReader.from_batches(
        pyarrow.Table.from_pylist(rows).schema, pyarrow.Table.from_pylist(rows).to_batches()
    ),
], ids=["list", "tuple", "iterator", "generator", "frame", "frame-with-more", "arrow", "stream"])  # fmt: skip
def test_entities_come_in_many_forms(client, make):
    asked = make([KEYS, {"id": 2, "shop_id": 7}])
    batch = client.get_many(asked)
    assert batch.to_dict()["total"] == [3, 4]
    if isinstance(asked, pandas.DataFrame):
        assert batch.to_pandas().index.tolist() == asked.index.tolist()


def test_a_service_with_one_key_takes_bare_values(shop):
    shop.serve({"orders": ["total"]}, "orders")
    shop.push()
    with shop.client() as client:
        assert client.get(1)["total"] == client.get("1")["total"] == client.get(numpy.int64(1))["total"] == 3
        assert client.get_many([1, 2.0, Decimal(3), None]).to_dict()["total"] == [3, 4, 5, None]
        assert client.get_many(pandas.Series([1, 2])).to_dict()["total"] == [3, 4]


OLD = {"id": 3, "shop_id": 7}


def the_ttl_grows(shop, client, other):
    shop.orders(TYPED.replace("20 hour", "30 hour"))
    shop.push()
    assert other.get(OLD).statuses["total"] == "missing"
    shop.orders(TYPED.replace("20 hour", "30 hour"), ttl="2d")
    shop.push()
    assert other.get(OLD)["total"] == 5


def the_ttl_shrinks(shop, client, other):
    shop.orders(TYPED, ttl="2h")
    shop.push()
    assert client.get(KEYS).to_dict() == ANSWER
    assert other.get(OLD).statuses["total"] == "missing"


def a_default_changes(shop, client, other):
    shop.orders(TYPED, columns=defaults(total=-1))
    shop.push()
    assert client.get(id=99, shop_id=7)["total"] == -1
    assert other.get_many([{"id": 99, "shop_id": 7}]).to_dict()["total"] == [-1]


def a_feature_is_added_in_the_middle(shop, client, other):
    wide = TYPED.replace("total::bigint as total", "total::bigint as total, total * 2 as twice")
    shop.orders(wide, features=["total", "twice", "mean", "word"])
    shop.serve({"orders": ["total", "twice", "mean", "word"], "home": home("shops", "region", "share")})
    shop.push()
    assert client.get(KEYS).to_dict() == {**ANSWER, "twice": 6}
    assert [*other.get(KEYS)][:3] == ["total", "twice", "mean"]


def a_feature_is_dropped(shop, client, other):
    shop.orders(TYPED, features=["total", "mean"])
    shop.serve({"orders": ["total", "mean"], "home": home("shops", "region", "share")})
    shop.push()
    assert "word" not in client.get(KEYS)
    assert other.get_many([KEYS]).names == ("total", "mean", "region", "share")


def a_feature_is_retyped(shop, client, other):
    shop.orders(TYPED.replace("total::bigint", "(total + 0.25)::double"))
    shop.push()
    assert client.get(KEYS)["total"] == 3.25
    assert str(other.get_many([KEYS]).to_arrow().schema.field("total").type) == "double"


def a_feature_is_renamed(shop, client, other):
    shop.orders(TYPED.replace("as mean", "as average"), features=["total", "average", "word"])
    shop.serve({"orders": ["total", "average", "word"], "home": home("shops", "region", "share")})
    shop.push()
    assert client.get(KEYS)["average"] == 1.5
    assert "mean" not in other.get(KEYS)


def a_key_is_retyped(shop, client, other):
    shop.orders(TYPED.replace("id::bigint as id", "'c' || id as id"))
    shop.push()
    assert client.get(id="c1", shop_id=7)["total"] == 3
    with pytest.raises(RequestError, match="id: 1 is not text; orders expects string"):
        other.get(KEYS)


def a_view_is_renamed_and_the_old_one_pruned(shop, client, other):
    del shop.project.nodes["model.unbuilt.orders"]
    shop.orders(TYPED.replace("total::bigint", "(total + 1)::bigint"), name="purchases")
    features = {"purchases": ["total", "mean", "word"], "home": home("shops", "region", "share")}
    shop.serve(features, "purchases", "shops")
    shop.push(prune=True)
    assert client.get(KEYS)["total"] == 4
    assert other.get(OLD)["total"] == 6


def redis_is_emptied(shop, client, other):
    with redis.Redis.from_url(shop.url) as connection:
        connection.flushall()
    with pytest.raises(OnlineStoreError, match="Redis has no card of the feature service 'basket_model' under"):
        client.get(KEYS)
    shop.push()
    assert client.get(KEYS).to_dict() == other.get(KEYS).to_dict() == ANSWER


def a_push_at_another_clock(shop, client, other):
    shop.push(as_of=datetime.now(UTC) + timedelta(hours=10), full_refresh=True)
    assert client.get(KEYS).to_dict() == ANSWER
    assert other.get(OLD).statuses["total"] == "missing"


@pytest.mark.parametrize("change", [
    the_ttl_grows, the_ttl_shrinks, a_default_changes, a_feature_is_added_in_the_middle, a_feature_is_dropped,
    a_feature_is_retyped, a_feature_is_renamed, a_key_is_retyped, a_view_is_renamed_and_the_old_one_pruned,
    redis_is_emptied, a_push_at_another_clock,
])  # fmt: skip
def test_a_running_client_is_right_at_the_next_request(shop, change):
    with shop.client() as client, shop.client() as other:
        assert client.get(KEYS).to_dict() == ANSWER
        assert other.get(OLD)["total"] == 5
        change(shop, client, other)


def test_a_definition_that_is_not_pushed_changes_nothing_and_a_held_back_view_leaves_the_old_card(shop, client):
    before = client.warm_up()
    shop.orders(TYPED, ttl="2h", features=["total"])
    shop.serve({"orders": ["total"], "home": home("shops", "region")})
    warned: list[str] = []
    with shop.project.open(shop.url, warn=warned.append) as store:
        [*store.push_each(["shops"], gate=False)]
    assert client.get(KEYS).to_dict() == ANSWER
    (warning,) = warned
    assert warning == (
        "the feature service basket_model is not served as it is defined: orders was pushed with another TTL; push it "
        "again"
    )
    assert client.warm_up() == before


def test_a_feature_that_rows_lack_is_an_error_unless_the_caller_allows_it(shop, client):
    assert client.get(KEYS).to_dict() == ANSWER
    shop.orders(TYPED, features=["total", "mean"])
    shop.project.exposures.clear()
    shop.push("orders")
    with pytest.raises(OnlineStoreError, match="word is not in the rows in Redis: orders was pushed otherwise"):
        client.get(KEYS)
    with pytest.raises(OnlineStoreError, match="word is not in the rows in Redis"):
        client.get_many([KEYS])
    vector = client.get(KEYS, on_error="null")
    assert vector.to_dict() == {**ANSWER, "word": None}
    assert vector.statuses["word"] == "gone"
    batch = client.get_many([KEYS, {"id": 99, "shop_id": 7}], on_error="null")
    assert batch.statuses["word"] == ["gone", "missing"]
    assert batch.to_pandas()["word"].tolist() == [None, None]


def test_a_request_is_one_mget_whatever_the_number_of_views(shop, client):
    client.warm_up()
    client.get(KEYS)
    with redis.Redis.from_url(shop.url) as connection:
        connection.config_resetstat()
        for _ in range(50):
            client.get(KEYS)
            client.get_many([KEYS] * 100)
        calls = {name: said["calls"] for name, said in connection.info("commandstats").items()}
    calls = {name: count for name, count in calls.items() if not name.startswith(("cmdstat_config", "cmdstat_info"))}
    assert calls == {"cmdstat_mget": 100}


def test_a_hundred_thousand_entities_come_in_pieces_of_a_thousand_keys(shop, client):
    rows = [{"id": each % 4, "shop_id": 7} for each in range(100_000)]
    batch = client.get_many(rows)
    assert len(batch) == 100_000
    assert batch.to_dict()["total"][:4] == [None, 3, 4, 5]
    with shop.client(timeout=0.02) as hurried, pytest.raises(OnlineStoreError, match=r"did not answer in time \(0.0"):
        hurried.get_many(rows)


@pytest.mark.parametrize(
    ("entity", "message"),
    [
        ({"id": 1}, "basket_model needs shop_id=..."),
        ({}, "basket_model needs id=..., shop_id=..."),
        ({**KEYS, "shopid": 1}, "basket_model has no key 'shopid'; did you mean 'shop_id'?"),
        ({"id": "x", "shop_id": 7}, "id: 'x' is not a whole number; orders expects int64"),
        ({"id": 1.5, "shop_id": 7}, "id: 1.5 is not a whole number; orders expects int64"),
        ({"id": 2**63, "shop_id": 7}, "id: 9223372036854775808 does not fit into 64 bits; orders expects int64"),
        ({"id": True, "shop_id": 7}, "id: True is not a whole number; orders expects int64"),
        ({"id": [1], "shop_id": 7}, "id: a list is not a whole number; orders expects int64"),
        (7, "basket_model has 2 keys, so name them: id=..., shop_id=...; not 7"),
        ("id=1", "basket_model has 2 keys, so name them: id=..., shop_id=...; not 'id=1'"),
        ([KEYS], "get() takes the keys of one entity, not a list; take get_many()"),
        (pandas.DataFrame([KEYS]), "get() takes the keys of one entity, not a pandas DataFrame; take get_many()"),
    ],
)
def test_a_wrong_entity_is_refused_by_name(client, entity, message):
    with pytest.raises(RequestError) as refused:
        client.get(entity)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        (
            KEYS,
            "entities are a list of mappings, such as [{'id': ..., 'shop_id': ...}], or a frame, and not a dict",
        ),
        ("id", "entities are a list of mappings, such as [{'id': ..., 'shop_id': ...}], or a frame, and not a str"),
        (7, "entities are a list of mappings, such as [{'id': ..., 'shop_id': ...}], or a frame, and not a int"),
        ([KEYS, 7], "entities[1]: basket_model has 2 keys, so name them: id=..., shop_id=...; not 7"),
        ([KEYS, {"id": 1}], "entities[1]: basket_model needs shop_id=..."),
        ([KEYS, {"id": "x", "shop_id": 7}], "entities[1]: id: 'x' is not a whole number; orders expects int64"),
        ([[1, 7]], "a mapping from key to value is needed, not a list"),
        (pandas.DataFrame({"id": [1]}), "the frame has no column 'shop_id', a key of basket_model"),
        (
            pandas.DataFrame([[1, 2, 7]], columns=["id", "id", "shop_id"]),
            "the frame has the column 'id' twice, a key of basket_model",
        ),
        (
            pyarrow.Table.from_arrays([[1], [2], [7]], names=["id", "id", "shop_id"]),
            "the frame has the column 'id' twice, a key of basket_model",
        ),
    ],
)
def test_wrong_entities_are_refused_by_their_place(client, entities, message):
    with pytest.raises(RequestError) as refused:
        client.get_many(entities)
    assert str(refused.value) == message


def test_a_wrong_key_among_many_answers_null_if_the_caller_allows_it(client):
    batch = client.get_many([KEYS, {"id": "x", "shop_id": 7}], on_error="null")
    assert batch.statuses["total"] == ["present", "invalid"]
    assert batch.statuses["region"] == ["present", "present"]
    assert batch.to_dict()["total"] == [3, None]
    assert client.get({"id": "x", "shop_id": 7}, on_error="null").statuses["total"] == "invalid"


@pytest.mark.parametrize("null", [None, math.nan, Decimal("nan"), pandas.NA, pandas.NaT, numpy.float64("nan")])
def test_every_null_of_python_numpy_and_pandas_is_a_null_key(client, null):
    for vector in (client.get(id=null, shop_id=7), client.get_many([{"id": null, "shop_id": 7}])[0]):
        assert vector.statuses["total"] == "missing"
        assert vector["region"] == "north"


def test_arguments_that_make_no_sense_are_refused(shop):
    for wrong, message in [
        ({"service": None}, "name the service and the key prefix under which it was pushed"),
        ({"prefix": ""}, "name the service and the key prefix under which it was pushed"),
        ({"timeout": 0}, "timeout is a number of seconds, such as 0.25, and not 0"),
        ({"timeout": "1"}, "timeout is a number of seconds, such as 0.25, and not '1'"),
        ({"on_drift": "ignore"}, 'on_drift is "raise" or "warn", and not \'ignore\''),
        ({"pin": 7}, "a pin is a file, its JSON or a mapping, and not a int"),
        ({"card": "card.json"}, "name a service with its prefix, or a card, and not both"),
    ]:
        with pytest.raises(RequestError, match=message):
            FeatureClient(shop.url, **{"service": SERVICE, "prefix": "unbuilt", **wrong})
    with shop.client() as client, pytest.raises(RequestError, match='on_error is "raise" or "null"'):
        client.get(KEYS, on_error="ignore")
    with pytest.raises(OnlineStoreError, match="the Redis URL must begin with"):
        FeatureClient("http://x", SERVICE, prefix="unbuilt")


def test_a_service_without_a_card_is_named_with_what_there_is(shop):
    with FeatureClient(shop.url, "basket_mode", prefix="unbuilt") as client, pytest.raises(OnlineStoreError) as missing:
        client.get(KEYS)
    assert str(missing.value) == (
        "Redis has no card of the feature service 'basket_mode' under the key prefix 'unbuilt'; did you mean "
        "'basket_model'?"
    )
    with FeatureClient(shop.url, SERVICE, prefix="unbuild") as client, pytest.raises(OnlineStoreError) as missing:
        client.get(KEYS)
    assert "under the key prefix 'unbuild', which is empty; others are 'unbuilt': name the right one" in str(
        missing.value
    )
    with shop.client() as client:
        assert client.get(KEYS)["total"] == 3


def test_damaged_rows_cards_and_schemas_are_errors_that_name_them(shop, client):
    assert client.get(KEYS)["total"] == 3
    with redis.Redis.from_url(shop.url) as connection:
        whole = connection.get("unbuilt:orders:{1}")
        for damaged in (b"", b"x", whole[:-3], whole + b"x", b"\xc0", b"\x93\xc4\x04abcd\x01\x02"):
            connection.set("unbuilt:orders:{1}", damaged)
            with pytest.raises(OnlineStoreError, match="orders"):
                client.get(KEYS)
            with pytest.raises(OnlineStoreError, match="orders"):
                client.get_many([KEYS, {"id": 2, "shop_id": 7}])
            statuses = client.get_many([KEYS, {"id": 2, "shop_id": 7}], on_error="null").statuses["word"]
            assert statuses == ["invalid", "present"]
        connection.set("unbuilt:orders:{1}", whole)
        card = connection.get("unbuilt:service:basket_model")
        for spoilt in (b"", b"{}", card[:-5], card.replace(b'"int64"', b'"int65"'), b"[1]"):
            connection.set("unbuilt:service:basket_model", spoilt)
            connection.set("unbuilt:revision", spoilt[:9] + b"!")
            with pytest.raises(
                OnlineStoreError, match="unbuilt:service:basket_model in Redis is not a card that can be"
            ):
                client.get(KEYS)
        newer = json.dumps({**json.loads(card), "format": 2})
        connection.set("unbuilt:service:basket_model", newer)
        with pytest.raises(
            OnlineStoreError, match="is a card of format 2, which this version of feature-sync does not read"
        ):
            client.get(KEYS)
        connection.delete("unbuilt:service:basket_model")
        connection.lpush("unbuilt:service:basket_model", "x")
        with pytest.raises(OnlineStoreError, match="has no card"):
            client.get(KEYS)
        connection.delete("unbuilt:service:basket_model")
    shop.push()
    assert client.get(KEYS).to_dict() == ANSWER


def test_a_card_from_a_file_serves_without_the_one_in_redis(shop, client, tmp_path):
    path = tmp_path / "service.json"
    path.write_bytes(client.warm_up().to_json())
    with redis.Redis.from_url(shop.url) as connection:
        connection.delete("unbuilt:service:basket_model", "unbuilt:revision")
    with FeatureClient(shop.url, card=path) as filed:
        assert filed.get(KEYS).to_dict() == ANSWER
        assert filed.get_many([KEYS]).to_dict()["word"] == ["a"]
    with pytest.raises(OnlineStoreError, match=r"nothing\.json cannot be read: No such file"):
        FeatureClient(shop.url, card=tmp_path / "nothing.json")
    path.write_text("{}")
    with pytest.raises(OnlineStoreError, match=r"service\.json is not a card that can be read"):
        FeatureClient(shop.url, card=path)


def test_a_pin_refuses_another_shape_and_warns_of_another_logic(shop, tmp_path):
    with shop.project.open(shop.url) as store:
        pin = store.pin(SERVICE)
        assert (pin.shape, pin.logic) == (store.card(SERVICE).shape, store.card(SERVICE).logic)
    path = tmp_path / "pin.json"
    path.write_text(pin.to_json())
    with shop.client(pin=path) as client, shop.client(pin=pin, on_drift="warn") as warned, shop.client() as plain:
        assert client.get(KEYS).to_dict() == warned.get(KEYS).to_dict() == ANSWER
        shop.orders(TYPED.replace("total::bigint", "total::double"), columns=defaults(mean=0.5))
        shop.push()
        with pytest.raises(PinMismatch) as refused:
            client.get(KEYS)
        assert refused.value.differences == [
            "total: trained as int64, now float64",
            "mean: trained with the default none, now 0.5",
        ]
        assert str(refused.value) == (
            "basket_model no longer has the shape that the model was trained on: total: trained as int64, now float64; "
            "mean: trained with the default none, now 0.5"
        )
        with pytest.raises(PinMismatch):
            client.get_many([KEYS])
        with pytest.raises(PinMismatch):
            plain.get(KEYS, pin=pin)
        assert plain.get(KEYS)["total"] == 3.0
        with pytest.warns(DriftWarning, match="total: trained as int64"):
            assert warned.get(KEYS)["total"] == 3.0
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warned.get(KEYS)  # each card is compared once
    with pytest.raises(RequestError, match="the pin was changed: its shape id does not fit"):
        shop.client(pin=pin.to_json().replace("int64", "bool"))
    with pytest.raises(RequestError, match="that is not a pin"):
        shop.client(pin="{}")


def test_rows_older_than_the_clients_max_age_count_as_expired(shop):
    with shop.client(max_age=timedelta(hours=10)) as client:
        assert client.get(KEYS)["total"] == 3
        vector = client.get(id=3, shop_id=7)
        assert (vector["total"], vector.statuses["total"]) == (None, "expired")
        assert vector.event_timestamps["total"] is not None
        assert client.get_many([KEYS, {"id": 3, "shop_id": 7}]).statuses["word"] == ["present", "expired"]


def test_numpy_and_pandas_have_dtypes_that_never_depend_on_the_values(client):
    full, gaps = client.get_many([KEYS]), client.get_many([{"id": 2, "shop_id": 9}, {"id": None, "shop_id": 7}])
    for dtypes, expected in {
        "numpy": ["float64", "float64", "object", "object", "float64"],
        "nullable": ["Int64", "Float64", "string", "string", "object"],
        "arrow": [
            "int64[pyarrow]",
            "double[pyarrow]",
            "string[pyarrow]",
            "string[pyarrow]",
            "decimal128(10, 2)[pyarrow]",
        ],
    }.items():
        for batch in (full, gaps):
            assert [str(each) for each in batch.to_pandas(dtypes).dtypes] == expected
    assert full.to_arrow().schema == gaps.to_arrow().schema
    assert pyarrow.table(full) == full.to_arrow()
    assert numpy.asarray(client.get(KEYS)).shape == (1, 5)
    assert full.to_numpy().dtype == gaps.to_numpy().dtype == object
    with pytest.raises(RequestError, match=r"dtypes='nunpy' does not exist; did you mean 'numpy'\?"):
        full.to_pandas("nunpy")


def test_an_integer_that_float64_would_round_names_the_way_out(shop):
    shop.orders(TYPED.replace("total::bigint", "(9007199254740990 + total)::bigint"))
    shop.serve({"orders": ["total", "mean"]}, "orders")
    shop.push()
    with shop.client() as client:
        batch = client.get_many([1, 99])
        for convert in (batch.to_numpy, batch.to_pandas, lambda: numpy.asarray(batch[0])):
            with pytest.raises(
                RequestError, match=r'total holds an integer beyond 2\^53.*to_pandas\(dtypes="nullable"\)'
            ):
                convert()
        assert batch.to_pandas("nullable")["total"].tolist() == [2**53 + 1, pandas.NA]
        assert client.get_many([99]).to_numpy().tolist() == [[pytest.approx(math.nan, nan_ok=True)] * 2]


def test_threads_share_a_client(shop, client):
    def ask(number: int) -> bool:
        each = {"id": number % 3 + 1, "shop_id": 7}
        return client.get(each)["total"] == number % 3 + 3 and client.get_many([each] * 3)[2]["region"] == "north"

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(800)))


def asked_in_a_child(client: FeatureClient) -> int:
    return client.get(KEYS)["total"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_another_process_make_connections_of_their_own(client, method):
    assert client.get(KEYS)["total"] == 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads, as servers do it
        with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
            found = [*pool.map(asked_in_a_child, [client] * 4)]
    assert found == [3] * 4
    assert client.get(KEYS)["total"] == 3
    assert pickle.loads(pickle.dumps(client)).get(KEYS)["total"] == 3


def test_tasks_share_a_client_and_one_that_is_cancelled_leaves_no_reply_behind(shop):
    async def run() -> None:
        async with AsyncFeatureClient(shop.url, SERVICE, prefix="unbuilt", timeout=10) as client:
            await client.warm_up()
            chance = random.Random(7)

            async def ask(number: int) -> None:
                each = {"id": number % 3 + 1, "shop_id": 7}
                assert (await client.get(each))["total"] == number % 3 + 3
                assert (await client.get_many([each, KEYS])).to_dict()["total"] == [number % 3 + 3, 3]

            tasks = [asyncio.create_task(ask(number)) for number in range(600)]
            await asyncio.sleep(0)
            for each in tasks:
                if chance.random() < 0.5:
                    each.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(each) for each in results} <= {type(None), asyncio.CancelledError}
            await asyncio.gather(*(ask(number) for number in range(100)))

    asyncio.run(run())


def test_the_asynchronous_client_answers_and_refuses_as_the_other_does(shop, client):
    async def run() -> None:
        async with AsyncFeatureClient(shop.url, SERVICE, prefix="unbuilt", timeout=10) as asynchronous:
            assert await asynchronous.get(KEYS) == client.get(KEYS)
            assert (await asynchronous.get_many([KEYS] * 3)).to_arrow() == client.get_many([KEYS] * 3).to_arrow()
            for wrong in ({"id": 1}, 7, [KEYS]):
                with pytest.raises(RequestError) as refused:
                    client.get(wrong)
                with pytest.raises(RequestError) as also:
                    await asynchronous.get(wrong)
                assert str(also.value) == str(refused.value)
            shop.orders(TYPED, columns=defaults(total=-1))
            shop.push()
            assert (await asynchronous.get(id=99, shop_id=7))["total"] == -1

    asyncio.run(run())


def test_a_redis_that_hangs_or_falls_holds_no_request_for_long(tmp_path):
    with RedisServer() as server:
        made = Shop(tmp_path / "shop", server.url)
        made.push()
        with made.client(timeout=0.25) as client:
            assert client.get(KEYS)["total"] == 3
            os.kill(server.pid, signal.SIGSTOP)
            started = time.monotonic()
            with pytest.raises(OnlineStoreError, match=r"did not answer in time"):
                client.get(KEYS)
            assert time.monotonic() - started < 5
            os.kill(server.pid, signal.SIGCONT)
            assert made.client().get(KEYS)["total"] == 3
            server.kill()
            with pytest.raises(OnlineStoreError, match="cannot be reached"):
                client.get(KEYS)
            server.restart()
            assert made.client().get(KEYS)["total"] == 3
            assert client.get(KEYS)["total"] == 3


def test_the_clients_process_imports_nothing_of_dbt_sql_or_warehouses(shop):
    code = f"""
import json, sys
from feature_sync import FeatureClient
with FeatureClient({shop.url!r}, {SERVICE!r}, prefix="unbuilt", timeout=10) as client:
    print(json.dumps([client.get({KEYS!r})["total"], sorted(sys.modules)]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    total, modules = json.loads(done.stdout)
    assert total == 3
    heavy = {
        "redis",
        "pyarrow",
        "pandas",
        "numpy",
        "sqlglot",
        "jinja2",
        "yaml",
        "click",
        "rich",
        "dbt",
        "duckdb",
        "asyncio",
    }
    assert not heavy & set(modules)
    ours = {each.split(".")[1] for each in modules if each.startswith("feature_sync.")}
    assert not ours & {"dbt", "sql", "warehouses", "definitions", "store", "push", "training", "cli"}


def test_requests_beside_pushes_never_mix_two_cards(shop, client):
    """While pushes change a default between two values, every answer is that of one of them."""
    stop, seen, wrong = threading.Event(), set(), []

    def ask() -> None:
        with shop.client() as own:
            while not stop.is_set():
                try:
                    seen.add(own.get(id=99, shop_id=7)["total"])
                except FeatureSyncError as error:
                    wrong.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for turn in range(6):
            shop.orders(TYPED, columns=defaults(total=-1 - turn % 2))
            shop.push("orders")
            assert client.get(id=99, shop_id=7)["total"] == -1 - turn % 2
    finally:
        stop.set()
        thread.join()
    assert wrong == []
    assert seen <= {None, -1, -2}


@pytest.mark.parametrize("name", ["schema", "push", "lease", "fence"])
def test_a_card_never_stands_at_a_key_of_the_view_called_service(shop, name):
    shop.project.view("service", "select 1::bigint as id, 2::bigint as value", features=["value"])
    shop.project.service(name, {"service": ["value"]}, ["service"])
    warned: list[str] = []
    with shop.project.open(shop.url, warn=warned.append) as store:
        [*store.push_each(gate=False)]
        (warning,) = warned
        assert warning.endswith("its card has a Redis key of the view service; rename one of them")
        assert warning.startswith(f"the feature service {name} is not served as it is defined: ")
        assert store.get_feature_vector("service", 1)["value"] == 2


def test_an_old_card_leads_to_no_removed_row_while_a_push_prunes(shop, client):
    """A service that moves to another view is never answered with the defaults of the one that it left."""
    assert client.get(KEYS)["total"] == 3
    stop, answers = threading.Event(), set()

    def ask() -> None:
        with shop.client() as own:
            while not stop.is_set():
                answers.add(own.get(KEYS)["total"])

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        a_view_is_renamed_and_the_old_one_pruned(shop, client, shop.client())
    finally:
        stop.set()
        thread.join()
    assert answers <= {3, 4}


PUSHER = "+ping +info +time +eval +get +set +del +unlink +hset +hgetall +sadd +smembers +scan +watch +multi +exec +srem"


def test_the_rights_that_the_page_of_pushes_names_suffice(tmp_path):
    assert " ".join((EXAMPLE / "docs" / "pushing.md").read_text().split()).count(PUSHER.removesuffix(" +srem")) == 1
    with RedisServer() as server:
        made = Shop(tmp_path / "shop", server.url)
        acl = ["ACL", "SETUSER", "user", "on", ">secret", "resetkeys", "~unbuilt:*", "-@all"]
        server.client().execute_command(*acl, *PUSHER.split())
        made.url = server.url.replace("unix://", "unix://user:secret@")
        made.push()
        made.project.exposures.clear()
        made.push(prune=True)
        made.serve({"orders": ["total"]}, "orders")
        made.push()
        server.client().execute_command(*acl, "+mget", "+hmget")
        with made.client() as client:
            assert client.get(1)["total"] == 3
            assert client.get_many([1, 2]).to_dict() == {"total": [3, 4]}
            with pytest.raises(OnlineStoreError, match="has no card of the feature service 'other'"):
                FeatureClient(made.url, "other", prefix="unbuilt", timeout=10).get(1)


OTHER = TYPED.replace("id::bigint as id", "(id + 2)::bigint as shop").replace("total::bigint", "(total + 100)::bigint")


def test_a_view_of_another_entity_with_keys_of_the_same_type_is_never_read_as_the_one_before(shop, client, tmp_path):
    """Rows of shop 3 stand where those of customer 3 stood: whoever knows an older card is refused."""
    assert client.get(KEYS)["total"] == 3
    card = tmp_path / "card.json"
    card.write_bytes(client.warm_up().to_json())
    shop.orders(OTHER, entities={"shop": "shop"})
    old = {"id": 3, "shop_id": 7}
    with shop.project.open(shop.url) as store, FeatureClient(shop.url, card=card, timeout=10) as filed:
        for pushed in store.push_each(["orders"], gate=False, allow_removals=True, allow_breaking=True):
            assert pushed.failed is None
            for reader in (client, filed):
                with pytest.raises(OnlineStoreError, match=r"orders.*pushed with other keys"):
                    reader.get(old)
                with pytest.raises(OnlineStoreError, match=r"orders.*pushed with other keys"):
                    reader.get_many([old, KEYS])
                assert reader.get(old, on_error="null").statuses["total"] == "invalid"
        with pytest.raises(RequestError, match="basket_model has no key 'id'; choose from shop, shop_id"):
            client.get(old)  # the card that the push has published
        with pytest.raises(OnlineStoreError, match=r"orders.*pushed with other keys"):
            filed.get(old)


def test_a_card_that_stays_while_a_view_is_held_back_never_leads_to_another_entity(shop, client):
    assert client.get(KEYS)["total"] == 3
    shop.orders(OTHER, entities={"shop": "shop"})
    shop.serve({"orders": ["total", "mean", "word"], "home": home("shops", "region", "share", "extra")})
    shop.project.nodes["model.unbuilt.shops"]["config"]["meta"]["feature_view"]["features"].append("extra")
    shop.push("orders")
    with pytest.raises(OnlineStoreError, match=r"orders.*pushed with other keys"):
        client.get({"id": 3, "shop_id": 7})


def test_views_are_not_pruned_while_a_card_still_leads_to_them(shop, client):
    assert client.get(KEYS)["total"] == 3
    del shop.project.nodes["model.unbuilt.orders"]
    shop.orders(TYPED, name="purchases")
    shop.serve({"purchases": ["total"], "home": home("shops", "region")}, "purchases", "shops")
    warned: list[str] = []
    with shop.project.open(shop.url, warn=warned.append) as store:
        pushed = [each.feature_view for each in store.push_each(["shops"], gate=False, prune=True)]
    assert pushed == ["shops"]
    assert "orders is not removed from Redis: the card of basket_model still leads to it" in warned
    assert client.get(KEYS).to_dict() == ANSWER
    shop.push(prune=True)
    assert client.get(KEYS).to_dict() == {"total": 3, "region": "north"}
    with redis.Redis.from_url(shop.url) as connection:
        assert [*connection.scan_iter("unbuilt:orders:{*")] == []


def test_a_card_of_a_newer_version_or_manifest_is_left_alone(shop):
    def push(**options) -> list[str]:
        warned: list[str] = []
        with shop.project.open(shop.url, warn=warned.append) as store:
            path = shop.project.folder / "target" / "manifest.json"
            manifest = json.loads(path.read_text())
            manifest["metadata"]["generated_at"] = "2024-01-01T00:00:00Z"
            path.write_text(json.dumps(manifest))
            [*store.push_each(gate=False, **options)]
        return warned

    with redis.Redis.from_url(shop.url) as connection:
        key = "unbuilt:service:basket_model"
        card = json.loads(connection.get(key))
        for newer in ({**card, "format": 2}, {**card, "manifest_at": "2999-01-01T00:00:00Z"}):
            connection.set(key, json.dumps(newer))
            shop.project.exposures.clear()
            assert any("newer" in each for each in push(prune=True))
            assert json.loads(connection.get(key)) == newer
            shop.serve({"orders": ["total"]}, "orders")
            assert any("newer" in each for each in push())
            assert [each["view"] for each in json.loads(connection.get(key))["selections"]] == ["orders", "shops"]


@pytest.mark.parametrize(
    ("column", "default", "reason"),
    [
        ("share", 0.125, "decimal(10,2) does not hold it exactly"),
        ("share", 123456789, "decimal(10,2) does not hold it exactly"),
        ("wall", "2020-01-01T00:00:00+02:00", "it has a time zone, which the type has not"),
        ("big", 2**63, "it does not fit into 64 bits"),
    ],
)
def test_a_default_that_its_type_does_not_hold_is_refused_where_it_stands(shop, column, default, reason):
    query = "select 1::bigint as id, 0.5::decimal(10, 2) as share, timestamp '2020-01-01' as wall, 1::bigint as big"
    shop.project.view("odd", query, features=[column], columns=defaults(**{column: default}))
    with pytest.raises(FeatureSyncError, match=reason.replace("(", r"\(").replace(")", r"\)")):
        shop.push("odd")


def test_a_default_is_served_as_it_is_trained(shop):
    query = (
        "select 1::bigint as id, 0.5::decimal(10, 2) as share, 0.5::real as single, 0.5::double as double, "
        "1::decimal(18, 0) as whole"
    )
    named = {"share": 1, "single": 0.1, "double": -0.0, "whole": 100}
    shop.project.view("odd", query, features=[*named], columns=defaults(**named))
    shop.push("odd")
    with shop.project.open(shop.url) as store:
        trained = store.get_training_set(
            "odd", pandas.DataFrame({"id": [9], "event_timestamp": [datetime(2024, 1, 1)]})
        )
        served = store.get_online_features("odd", [9])
        assert served.to_arrow() == trained.to_arrow().select([*named])
        assert repr(served[0].to_dict()) == repr(trained.to_arrow().select([*named]).to_pylist()[0])


def test_vectors_survive_pickling_and_the_callers_own_changes(shop, client):
    entity = dict(KEYS)
    kept = [client.get(entity), client.get(entity)]
    entity["id"] = 2
    assert [each.entity for each in kept] == [KEYS, KEYS]
    batch = client.get_many([KEYS, {"id": 99, "shop_id": 7}])
    for copied in (pickle.loads(pickle.dumps(batch)), copy.deepcopy(batch)):
        assert copied.to_arrow() == batch.to_arrow()
        assert copied.statuses == batch.statuses
    assert pickle.loads(pickle.dumps(kept[0])) == kept[0]
    shop.orders(TYPED, features=["total", "mean"])
    shop.project.exposures.clear()
    shop.push("orders")
    gone = pickle.loads(pickle.dumps(client.get(KEYS, on_error="null")))
    assert (gone["word"], gone.statuses["word"]) == (None, "gone")


def test_one_deadline_bounds_a_request_in_which_the_card_changed(shop):
    with (
        Proxy(shop.url.removeprefix("unix://")) as proxy,
        FeatureClient(proxy.url, SERVICE, prefix="unbuilt", timeout=0.5) as client,
    ):
        assert client.get(KEYS)["total"] == 3
        shop.orders(TYPED, columns=defaults(total=-1))
        shop.push()
        proxy.delay = 0.3
        started = time.monotonic()
        with pytest.raises(OnlineStoreError, match=r"did not answer in time \(0\.5 s\)"):
            client.get(KEYS)
        assert time.monotonic() - started < 0.75
