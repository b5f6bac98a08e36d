"""A service of three views by two entities, in Redis as a push would leave it."""

from __future__ import annotations

from typing import Any

import redis

from feature_sync.definitions import Entity, Feature, FeatureView, Relation, selection_of, service_of
from feature_sync.errors import Location
from feature_sync.online.codec import RowSchema, row_schema_of
from feature_sync.online.keys import ViewKeys
from feature_sync.online.redis.store import RedisStore
from feature_sync.serving.composing import Origin, compose_card
from feature_sync.value_types import ValueType, to_microseconds
from tests.support.served import NOON

PREFIX, SERVICE = "shop", "basket_model"
VIEWS = {"orders": "customer_id", "visits": "customer_id", "prices": "product_id"}
"""The key of each view; each has one feature, called like the view."""
CUSTOMERS, PRODUCTS = range(60), range(40)
_ABSENT = 7
"""Every seventh entity of a view has no row."""


def value_of(view: str, entity: int, push: int = 0) -> int | None:
    """Return the value that a push writes."""
    return None if (entity + len(view)) % _ABSENT == 0 else entity * 1_000 + len(view) * 100 + push


def basket(customer: int, product: int, push: int = 0) -> dict[str, int | None]:
    """Return the right vector."""
    entities = {"customer_id": customer, "product_id": product}
    return {view: value_of(view, entities[key], push) for view, key in VIEWS.items()}


BASKETS = [{"customer_id": each, "product_id": each * 7 % len(PRODUCTS)} for each in CUSTOMERS]
RIGHT = [basket(**{name.removesuffix("_id"): value for name, value in each.items()}) for each in BASKETS]


def fill(url: str, *, default: int | None = None, prefix: str = PREFIX) -> None:
    """Write all rows, and the card of the service."""
    store = RedisStore(url, key_prefix=prefix)
    with redis.Redis.from_url(url) as client:
        views = {name: _view(name, key, default) for name, key in VIEWS.items()}
        schemas = {name: _write(store, client, view) for name, view in views.items()}
    service = service_of([selection_of(each) for each in views.values()], name=SERVICE)
    card = compose_card(
        service, {views[each].reference: schemas[each] for each in views}, key_prefix=prefix, origin=Origin()
    )
    store.publish(SERVICE, lambda *_: (card.to_json(), True))
    store.close()


def _view(name: str, key: str, default: int | None) -> FeatureView:
    return FeatureView(
        name=name,
        relation=Relation(name=name, unique_id=f"model.shop.{name}", location=Location("models", name), columns={}),
        entities=(Entity(name=key.removesuffix("_id"), join_keys=(key,)),),
        features=(Feature(name=name, default=default),),
        event_timestamp="at",
    )


def _write(store: RedisStore, client: redis.Redis, view: FeatureView) -> dict[bytes, RowSchema]:
    integer = ValueType("int64")
    schema = row_schema_of(view, {view.join_keys[0]: integer}, {view.name: integer}, fence=1)
    held = store.view(view.reference)
    client.hset(ViewKeys(held.name).schemas, schema.id, schema.to_json())
    entities = CUSTOMERS if "customer_id" in view.join_keys else PRODUCTS
    there = [each for each in entities if value_of(view.name, each) is not None]
    columns: list[list[Any]] = [
        there, [to_microseconds(NOON)] * len(there), [None] * len(there), [value_of(view.name, each) for each in there],
    ]  # fmt: skip
    for key, content, _ in held.encoder(schema, lag=None, expires=False).encode(columns):
        client.set(key, content)
    return {schema.id: schema}
