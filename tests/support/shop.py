"""Feature views and services in Redis as pushes leave them, with their cards: no dbt project and no warehouse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import redis

from feature_sync.definitions import Entity, Feature, FeatureView, Relation, selection_of, service_of
from feature_sync.errors import Location
from feature_sync.online.codec import RowSchema, encode_row, row_schema_of
from feature_sync.online.keys import ViewKeys, key_writer, name_of
from feature_sync.online.redis.store import RedisStore
from feature_sync.push.publishing import publish_cards
from feature_sync.serving.composing import Origin
from feature_sync.value_types import parse, to_microseconds
from tests.support.orders import NOON, VALUES

PREFIX = "shop"
EVERY_TYPE = {
    **VALUES,
    "instant": ("timestamptz", 1_704_110_400_000_001),
    "reals": ("array<float64>", [0.5, None]),
    "pair": ('struct<"a" date, "b" array<decimal(4,1)>>', {"a": 1, "b": ["1.5", None]}),
}
"""A feature of every type: its type and a value in wire form."""


class Shop:
    """What pushes left under the key prefix `shop`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = redis.Redis.from_url(url)
        self.online = RedisStore(url, key_prefix=PREFIX)
        self.views: dict[str, tuple[FeatureView, RowSchema]] = {}
        self._fence = 0

    def define(
        self,
        name: str,
        keys: Mapping[str, str],
        features: Mapping[str, str],
        *,
        defaults: Mapping[str, Any] | None = None,
        ttl: timedelta | None = None,
        as_of: datetime | None = None,
    ) -> None:
        """Write the newest row schema of a view; types are texts."""
        self._fence += 1
        view = FeatureView(
            name=name,
            relation=Relation(
                name=name, unique_id=f"model.shop.{name}", location=Location(f"models/{name}.yml", name), columns={}
            ),
            entities=(Entity(name=name, join_keys=tuple(keys)),),
            features=tuple(Feature(name=each, default=(defaults or {}).get(each)) for each in features),
            event_timestamp="at",
            ttl=ttl,
        )
        types = [{each: parse(kind) for each, kind in named.items()} for named in (keys, features)]
        schema = row_schema_of(view, *types, as_of=as_of, fence=self._fence)
        self.views[name] = view, schema
        self.client.hset(ViewKeys(name_of(PREFIX, name)).schemas, schema.id, schema.to_json())
        self.client.sadd(f"{PREFIX}:views", name)

    def write(self, name: str, key: Sequence[Any], *values: Any, at: datetime | None = NOON) -> bytes:
        """Write a row by its key and values in wire form; returns its Redis key."""
        _, schema = self.views[name]
        (redis_key,) = key_writer(ViewKeys(name_of(PREFIX, name)).rows, [kind for _, kind in schema.keys])(
            [[each] for each in key]
        )
        self.client.set(redis_key, encode_row([schema.id, None if at is None else to_microseconds(at), *values]))
        return redis_key

    def publish(self, service: str, selected: Mapping[str, Sequence[str] | None]) -> None:
        """Publish the card of a service: its views, and for each the features or None for all."""
        selections = [selection_of(self.views[view][0], features) for view, features in selected.items()]
        unpublished = list(
            publish_cards(
                self.online, [service_of(selections, name=service)], lambda _: Origin(logic="0123456789abcdef")
            )
        )
        assert not unpublished, unpublished

    def close(self) -> None:
        self.online.close()
        self.client.close()


def fill(shop: Shop, *, rows: int = 1) -> Shop:
    """Define `orders` with a feature of every type and `customers` of two, some rows, and a service `fraud` of both."""
    shop.define(
        "orders", {"order_id": "int64"}, {name: kind for name, (kind, _) in EVERY_TYPE.items()}, defaults={"whole": 42}
    )
    shop.define("customers", {"customer": "string"}, {"tier": "string", "spend": "float64"})
    for number in range(1, rows + 1):
        shop.write("orders", [number], *(value for _, value in EVERY_TYPE.values()))
        shop.write("customers", [f"c{number}"], "gold", None)
    shop.publish("fraud", {"orders": None, "customers": None})
    shop.publish("tiers", {"customers": None})
    return shop
