"""A service with a feature of every kind, in Redis as a push would leave it: no dbt project and no warehouse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import redis

from feature_sync.definitions import Entity, Feature, FeatureService, FeatureView, Relation, Selection
from feature_sync.errors import Location
from feature_sync.online.codec import encode_row, row_schema_of
from feature_sync.online.keys import key_writer
from feature_sync.online.redis.store import RedisStore
from feature_sync.serving.composing import Origin, compose_card
from feature_sync.value_types import parse, to_microseconds

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
PREFIX, SERVICE = "shop", "order_model"
VALUES = {
    "flag": ("bool", True, True),
    "whole": ("int64", 7, 7),
    "wide": ("wideint", "1180591620717411303424", Decimal(1180591620717411303424)),
    "real": ("float64", 0.5, 0.5),
    "exact": ("decimal(10,2)", "1.50", Decimal("1.50")),
    "words": ("string", 'é, "quoted"', 'é, "quoted"'),
    "raw": ("bytes", b"\xff", b"\xff"),
    "day": ("date", 19_000, date(2022, 1, 8)),
    "wall": ("timestamp", 1_704_110_400_000_000, NOON.replace(tzinfo=None)),
    "instant": ("timestamptz", 1_704_110_400_000_000, NOON),
    "token": ("uuid", "c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10", "c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10"),
    "document": ("json", "{}", "{}"),
    "numbers": ("array<int64>", [1, None], [1, None]),
}  # fmt: skip
"""A feature of every type: its type, a value in wire form, and the same in Python."""


class Orders:
    """One view of orders by `order_id`, and a service of it."""

    def __init__(
        self, url: str, *, keys: Mapping[str, str] | None = None, names: Sequence[str] = tuple(VALUES)
    ) -> None:
        self.client = redis.Redis.from_url(url)
        self.store = RedisStore(url, key_prefix=PREFIX)
        self.keys = {name: parse(kind) for name, kind in (keys or {"order_id": "int64"}).items()}
        self.publish(names)

    def publish(self, names: Sequence[str], *, logic: str = "logic") -> None:
        """Push a definition of the service with these features."""
        self.types = {name: parse(VALUES[name][0]) for name in names}
        view = FeatureView(
            name="orders",
            relation=Relation(
                name="orders",
                unique_id="model.shop.orders",
                location=Location("models/orders.yml", "orders"),
                columns={},
            ),
            entities=(Entity(name="order", join_keys=tuple(self.keys)),),
            features=tuple(Feature(name=name) for name in names),
            event_timestamp="at",
        )
        self.schema = row_schema_of(view, self.keys, self.types, fence=1)
        self.client.hset(f"{PREFIX}:{view.reference}:schema", self.schema.id, self.schema.to_json())
        selection = Selection(view=view, alias="orders", features=tuple(names), spine_keys=tuple(self.keys))
        service = FeatureService(name=SERVICE, selections=(selection,), full_names=False)
        schemas = {view.reference: {self.schema.id: self.schema}}
        card = compose_card(service, schemas, key_prefix=PREFIX, origin=Origin(logic=logic))
        self.store.publish(SERVICE, lambda *_: (card.to_json(), True))
        self._write_keys = key_writer(card.selections[0].rows, [*self.keys.values()])

    def put(self, *entities: Any, values: Mapping[str, Any] | None = None) -> None:
        """Write the rows of entities: `VALUES`, but for those given in wire form."""
        row = [(values or {}).get(name, VALUES[name][1]) for name in self.types]
        content = encode_row([self.schema.id, to_microseconds(NOON), *row])
        columns = [*zip(*(each if isinstance(each, tuple) else (each,) for each in entities), strict=True)]
        self.client.mset(dict.fromkeys(self._write_keys(columns), content))

    def close(self) -> None:
        self.store.close()
        self.client.close()
