"""Fills Redis with views of numbers and publishes the cards of services, as pushes do; every call into them is here."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.engines import WrongAnswer
from bench.online import empty_redis, listen
from bench.serving.names import KEY, PREFIX, SERVICES, VIEWS, features_of
from feature_sync.definitions import Entity, Feature, FeatureService, FeatureView, Relation, selection_of, service_of
from feature_sync.errors import Location
from feature_sync.online.codec import RowSchema, row_schema_of
from feature_sync.online.keys import ViewKeys
from feature_sync.online.redis.store import RedisStore
from feature_sync.serving.composing import Origin, compose_card
from feature_sync.value_types import ValueType, to_microseconds

_ROWS_PER_PIPELINE = 1_000


@dataclass(frozen=True)
class Served:
    """What Redis holds, and where it is."""

    unix: str
    tcp: str
    entities: int
    columns: dict[str, dict[str, list[Any]]]
    """The values of each view, by feature, in the order of the entities 0, 1, 2..."""

    @property
    def urls(self) -> dict[str, str]:
        """The URLs by what they lead through."""
        return {"a unix socket": self.unix, "TCP": self.tcp}

    def check(self, who: str, service: str, things: Sequence[int], found: Sequence[Sequence[Any]]) -> None:
        """Compare an answer with the data.

        Raises:
            WrongAnswer: They differ.
        """
        columns = [column for view in SERVICES[service] for column in self.columns[view].values()]
        for thing, row in zip(things, found, strict=True):
            right = [column[thing] for column in columns]
            if list(row) != right:
                raise WrongAnswer(f"{who} of {service}, entity {thing}: {list(row)[:3]}..., not {right[:3]}...")


@contextmanager
def served(entities: int) -> Iterator[Served]:
    """Start a Redis, fill it, and lend it."""
    columns = {view: _columns(view, entities) for view in VIEWS}
    with empty_redis() as (url, client):
        tcp = f"redis://{listen(client)}"
        with closing(RedisStore(url, key_prefix=PREFIX)) as store:
            views = {view: _view(view) for view in VIEWS}
            schemas = {view: _fill(store, client, views[view], columns[view]) for view in VIEWS}
            for name, members in SERVICES.items():
                service = service_of([selection_of(views[each]) for each in members], name=name)
                _publish(store, service, {views[each].reference: schemas[each] for each in members})
        yield Served(url, tcp, entities, columns)


def _columns(view: str, entities: int) -> dict[str, list[Any]]:
    chance = random.Random(view)  # noqa: S311 - not for secrets
    return {
        name: [chance.randrange(1_000_000) if kind == "int64" else chance.random() * 100 for _ in range(entities)]
        for name, kind in features_of(view).items()
    }


def _view(name: str) -> FeatureView:
    return FeatureView(
        name=name,
        relation=Relation(name=name, unique_id=f"model.bench.{name}", location=Location("bench", name), columns={}),
        entities=(Entity(name="thing", join_keys=(KEY,)),),
        features=tuple(Feature(name=each) for each in features_of(name)),
        event_timestamp="happened_at",
    )


def _fill(store: RedisStore, client: Any, view: FeatureView, columns: dict[str, list[Any]]) -> dict[bytes, RowSchema]:
    kinds = {name: ValueType(kind) for name, kind in features_of(view.name).items()}
    schema = row_schema_of(view, {KEY: ValueType("int64")}, kinds, fence=1)
    held = store.view(view.reference)
    client.hset(ViewKeys(held.name).schemas, schema.id, schema.to_json())
    count = len(next(iter(columns.values())))
    now = to_microseconds(datetime.now(UTC))
    whole = [[*range(count)], [now] * count, [None] * count, *columns.values()]
    with client.pipeline(transaction=False) as pipeline:
        for key, content, _ in held.encoder(schema, lag=None, expires=True).encode(whole):
            pipeline.set(key, content)
            if len(pipeline) >= _ROWS_PER_PIPELINE:
                pipeline.execute()
        pipeline.execute()
    return {schema.id: schema}


def _publish(store: RedisStore, service: FeatureService, schemas: dict[str, dict[bytes, RowSchema]]) -> None:
    card = compose_card(service, schemas, key_prefix=PREFIX, origin=Origin())
    store.publish(service.name, lambda stored, revision: (card.to_json(), True))
