"""Cards of feature services and the revision in Redis: each change is one transaction, under WATCH of what it read."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, cast

import redis

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import ComposeCard
from feature_sync.online.codec import RowSchema
from feature_sync.online.keys import ViewKeys, card_key, name_of, revision_key, services_key
from feature_sync.online.redis.lease import server_time
from feature_sync.online.redis.retries import ASKING, with_retry
from feature_sync.online.redis.schemas import readable_schemas
from feature_sync.value_types import to_microseconds

_MOST_TRIES = 50


def new_revision(now: datetime) -> str:
    """Return a revision that no other is equal to; see `set_revision`."""
    return f"{to_microseconds(now)}-{secrets.token_hex(4)}"


def set_revision(client: redis.Redis, key: str) -> tuple[str, str, str]:
    """Return the command that sets a new revision.

    It grows by the clock of Redis. The random part makes it new also after Redis has lost its newest writes or its
    data: readers compare revisions for equality.

    Args:
        client: The client of Redis.
        key: The Redis key of the revision.
    """
    return "SET", key, new_revision(server_time(client))


def publish_card(client: redis.Redis, key_prefix: str, service: str, compose: ComposeCard) -> None:
    """Store a card; see `OnlineStore.publish`.

    Args:
        client: The client of Redis.
        key_prefix: The key prefix of the store.
        service: The name of the service.
        compose: Makes the card.

    Raises:
        OnlineStoreError: Others change the card or its schemas without end.
    """
    for _ in range(_MOST_TRIES):
        if with_retry(lambda: _publish_once(client, key_prefix, service, compose), ASKING):
            return
    raise OnlineStoreError(f"the card of {service} is changed by others all the time; push again")


def _publish_once(client: redis.Redis, key_prefix: str, service: str, compose: ComposeCard) -> bool:
    """Try once; False if what was read has changed meanwhile."""
    key, revision = card_key(key_prefix, service), revision_key(key_prefix)
    with client.pipeline(transaction=True) as opened:
        pipeline: Any = opened

        def schemas_of(reference: str) -> Mapping[bytes, RowSchema]:
            schemas = ViewKeys(name_of(key_prefix, reference)).schemas
            pipeline.watch(schemas)
            found = readable_schemas(schemas, cast("dict[bytes, bytes]", pipeline.hgetall(schemas)), strict=False)
            # another program's field may look like a schema, but not have its id
            return {schema_id: schema for schema_id, schema in found.items() if schema.id == schema_id}

        pipeline.watch(key)
        composed = compose(pipeline.get(key), schemas_of)
        if composed is None:
            return True
        content, is_new = composed
        command = set_revision(client, revision)
        pipeline.multi()
        pipeline.set(key, content)
        pipeline.sadd(services_key(key_prefix), service)
        if is_new:
            pipeline.execute_command(*command)
        try:
            pipeline.execute()
        except redis.WatchError:
            return False
        return True


def withdraw_cards(client: redis.Redis, key_prefix: str, services: Collection[str]) -> None:
    """Remove cards; see `OnlineStore.withdraw`.

    Args:
        client: The client of Redis.
        key_prefix: The key prefix of the store.
        services: The names of the services.
    """
    command = set_revision(client, revision_key(key_prefix))

    def remove() -> None:
        with client.pipeline(transaction=True) as opened:
            pipeline: Any = opened
            pipeline.delete(*(card_key(key_prefix, each) for each in services))
            pipeline.srem(services_key(key_prefix), *services)
            pipeline.execute_command(*command)
            pipeline.execute()

    with_retry(remove, ASKING)
