"""One feature view in Redis as a push would leave it, with keys of any type: no dbt project and no warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from time import monotonic
from typing import Any

import redis

from feature_sync.definitions import Entity, Feature, FeatureView, Relation, selection_of, service_of
from feature_sync.errors import Location
from feature_sync.online.codec import encode_row, row_schema_of
from feature_sync.online.redis.store import RedisStore
from feature_sync.online.redis.wording import PUSHING
from feature_sync.serving.card_sources import Answer, Request
from feature_sync.serving.client import answer
from feature_sync.serving.composing import DefinedCard, NotPushed
from feature_sync.serving.requests import ServiceRequests
from feature_sync.serving.sockets import RedisSockets
from feature_sync.serving.vectors import FeatureVectors
from feature_sync.store.vectors import why_not_served
from feature_sync.value_types import ValueType, parse, to_microseconds

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
PREFIX, VIEW_PREFIX = "shop", "shop:orders:"
SCHEMA = f"{VIEW_PREFIX}schema"
VALUES = {
    "flag": ("bool", True),
    "whole": ("int64", 7),
    "wide": ("wideint", "1180591620717411303424"),
    "real": ("float64", 0.5),
    "exact": ("decimal(10,2)", "1.50"),
    "words": ("string", "é"),
    "raw": ("bytes", b"\xff"),
    "day": ("date", 19_000),
    "wall": ("timestamp", 1_704_110_400_000_000),
    "instant": ("timestamptz", 1_704_110_400_000_000),
    "span": ("interval", "1 day"),
    "token": ("uuid", "c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10"),
    "document": ("json", "{}"),
    "numbers": ("array<int64>", [1, None]),
    "singles": ("array<float32>", b"\xcd\xcc\xcc\x3d"),
    "pair": ('struct<"a" date, "b" array<decimal(4,1)>>', {"a": 1, "b": ["1.5"]}),
}
"""A feature of every type: its type and a value in wire form."""
DEFAULT = 42


class Orders:
    """The view, pushed at a fixed clock unless `as_of` is None, and readers of it.

    The features are those of `VALUES`; `whole` has a default.
    """

    def __init__(
        self,
        url: str,
        key_types: Sequence[str] = ("int64",),
        *,
        ttl: timedelta | None = None,
        as_of: datetime | None = NOON,
    ) -> None:
        self.client = redis.Redis.from_url(url)
        self.open(url)
        self.keys = {f"k{at}": parse(kind) for at, kind in enumerate(key_types)}
        features = tuple(Feature(name=name, default=DEFAULT if name == "whole" else None) for name in VALUES)
        location = Location("models/orders.yml", "orders")
        self.view = FeatureView(
            name="orders",
            relation=Relation(name="orders", unique_id="model.shop.orders", location=location, columns={}),
            entities=(Entity(name="order", join_keys=tuple(self.keys)),),
            features=features,
            event_timestamp="at",
            ttl=ttl,
        )
        self.schema = row_schema_of(self.view, self.keys, self.types, as_of=as_of, fence=1)
        self.service = service_of([selection_of(self.view)], name="a_model")

    @property
    def types(self) -> dict[str, ValueType]:
        return {name: parse(kind) for name, (kind, _) in VALUES.items()}

    def push(self, *wire_keys: Any, **values: Any) -> bytes:
        """Write the schema, and a row with these join keys in wire form; returns its key."""
        self.client.hset(SCHEMA, self.schema.id, self.schema.to_json())
        self.client.sadd(f"{PREFIX}:views", "orders")
        write_keys = self.online.view("orders").key_writer(list(self.keys.values()))
        (key,) = write_keys([[each] for each in wire_keys or (1,)])
        self.client.set(key, self.row(**values))
        return key

    def row(self, **values: Any) -> bytes:
        wire = {name: value for name, (_, value) in VALUES.items()} | values
        return encode_row([self.schema.id, to_microseconds(NOON), *wire.values()])

    def open(self, url: str, *, timeout: float = 10) -> None:
        """Prepare to read as a feature store does, and to ask the online store why there is nothing to read."""
        self.url, self.timeout = url, timeout
        self.sockets = RedisSockets(url, timeout=timeout, advice=PUSHING)
        self.__dict__.pop("online", None)

    @cached_property
    def online(self) -> RedisStore:
        return RedisStore(self.url, key_prefix=PREFIX, timeout=self.timeout)

    def requests(self) -> ServiceRequests:
        """Return the requests of a new reader, which has read nothing."""
        return ServiceRequests(DefinedCard(self.service, PREFIX))

    def answer(self, request: Request[Answer]) -> Answer:
        try:
            return answer(request, self.sockets, monotonic() + self.timeout)
        except NotPushed as missing:
            raise why_not_served(self.online, self.service, missing) from missing

    def read(self, *rows: Any, as_of: datetime | None = None, lenient: bool = False) -> FeatureVectors:
        """Ask a new reader."""
        return self.answer(self.requests().get_many(rows, moment=as_of, lenient=lenient))

    def close(self) -> None:
        self.disconnect()
        self.client.close()

    def disconnect(self) -> None:
        self.sockets.close()
        if "online" in self.__dict__:
            self.online.close()
