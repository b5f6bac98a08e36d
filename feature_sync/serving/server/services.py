"""The feature services that a server serves: their cards, and one client for each that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feature_sync.errors import OnlineStoreError, RequestError, did_you_mean
from feature_sync.online.keys import card_key, services_key
from feature_sync.serving.absence import NoCard
from feature_sync.serving.async_client import AsyncFeatureClient
from feature_sync.serving.async_socket import open_async_socket
from feature_sync.serving.card import Card, read_card
from feature_sync.serving.entities import Entities
from feature_sync.serving.server.documents import FeaturesRequest, ServedFeature, ServedService, Typed
from feature_sync.serving.server.feast import AnswerWriter
from feature_sync.serving.server.settings import ServerSettings
from feature_sync.serving.vectors import FeatureVectors

_MICROSECONDS = 1_000_000


class NotServed(RequestError):
    """The server does not serve a service of this name."""


class ServedServices:
    """The services of one server process; what a push changes holds from the next request on."""

    def __init__(self, settings: ServerSettings) -> None:
        """Prepare to serve; connects with the first request.

        Raises:
            OnlineStoreError: The URL of Redis cannot be read.
        """
        self._settings = settings
        self._socket = open_async_socket(settings.redis_url, timeout=settings.timeout, client_name="feature-sync-serve")
        self._clients: dict[str, AsyncFeatureClient] = {}
        self._writers: dict[str, AnswerWriter] = {}

    async def answer(self, request: FeaturesRequest, entities: Entities, *, on_error: str) -> tuple[bytes, Any]:
        """Answer a request in JSON; returns also how many values have each status.

        Raises:
            NotServed: There is no such service.
            OnlineStoreError: Redis failed, or holds a row that cannot be read.
            RequestError: A key is missing, unknown or of the wrong type.
        """
        name = request.feature_service
        client = self._clients.get(name) or await self._client(name)
        try:
            vectors = await client.get_many(entities, on_error=on_error)
        except NoCard as gone:
            await self._drop(name)
            raise await self._unknown(name) from gone
        return self._writer(name, vectors).write(vectors, full_names=request.full_feature_names)

    async def describe(self, name: str) -> ServedService:
        """Return the public part of a card.

        Raises:
            NotServed: There is no such service.
            OnlineStoreError: Redis failed, or the card cannot be read.
        """
        return described(await self._card(name))

    async def describe_all(self) -> list[ServedService]:
        """Return the public part of every card, by name.

        Raises:
            OnlineStoreError: Redis failed, or a card cannot be read.
        """
        names = sorted(self._settings.services) or await self._names()
        if not names:
            return []
        keys = [card_key(self._settings.key_prefix, each) for each in names]
        (contents,) = await self._socket.run([("MGET", *keys)])
        found = zip(keys, contents, strict=True)
        return [described(read_card(content, f"{key} in Redis")) for key, content in found if content is not None]

    async def check(self) -> None:
        """Check that Redis answers, and that every service which was named has a card.

        Raises:
            OnlineStoreError: It does not, or one has none.
        """
        named = self._settings.services
        keys = [card_key(self._settings.key_prefix, each) for each in named]
        found = await self._socket.run([("EXISTS", each) for each in keys or [services_key(self._settings.key_prefix)]])
        if missing := [name for name, is_there in zip(named, found, strict=False) if not is_there]:
            raise OnlineStoreError(f"Redis has no card of {', '.join(map(repr, missing))}; push the project")

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()
        self._clients = {}
        await self._socket.close()

    async def _client(self, name: str) -> AsyncFeatureClient:
        """Make the client of a service, once it is known to have a card: anyone may ask for any name."""
        await self._card(name)
        settings = self._settings
        return self._clients.setdefault(
            name, AsyncFeatureClient(settings.redis_url, name, prefix=settings.key_prefix, timeout=settings.timeout)
        )

    async def _drop(self, name: str) -> None:
        self._writers.pop(name, None)
        if (client := self._clients.pop(name, None)) is not None:
            await client.close()

    def _writer(self, name: str, vectors: FeatureVectors) -> AnswerWriter:
        writer = self._writers.get(name)
        if writer is None or writer.service is not vectors.service:
            writer = self._writers[name] = AnswerWriter(vectors.service)
        return writer

    async def _card(self, name: str) -> Card:
        named = self._settings.services
        if named and name not in named:
            raise await self._unknown(name)
        key = card_key(self._settings.key_prefix, name)
        (content,) = await self._socket.run([("GET", key)])
        if content is None:
            raise await self._unknown(name)
        return read_card(content, f"{key} in Redis")

    async def _unknown(self, name: str) -> NotServed:
        """Return the error for a name; it says nothing of what else Redis holds, as those of a client do."""
        known = self._settings.services or await self._names()
        return NotServed(f"this server serves no feature service {name!r:.100}{did_you_mean(name[:100], known)}")

    async def _names(self) -> Sequence[str]:
        (members,) = await self._socket.run([("SMEMBERS", services_key(self._settings.key_prefix))])
        return sorted(each.decode() for each in members)


def described(card: Card) -> ServedService:
    """Return the public part of a card: no key of Redis."""
    return ServedService(
        name=card.service,
        keys=[Typed(name, kind) for name, kind in card.keys],
        features=[
            ServedFeature(
                feature.output,
                feature.type,
                selection.view,
                None if selection.ttl is None else selection.ttl / _MICROSECONDS,
            )
            for selection in card.selections
            for feature in selection.features
        ],
        shape=card.shape,
        logic=card.logic,
    )
