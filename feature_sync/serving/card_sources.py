"""Where clients find the card of their service, without input or output: generators that yield commands of Redis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from feature_sync.online.keys import card_key, revision_key
from feature_sync.serving.absence import why_no_card
from feature_sync.serving.card import Card, read_card

Command = Sequence[bytes | str]
Answer = TypeVar("Answer")
Request = Generator[Sequence[Command], Sequence[Any], Answer]
"""Yields commands, gets a reply for each, and returns the answer."""


class CardSource(ABC):
    """Where a client finds its card."""

    watches: bytes | None = None
    """The Redis key of the revision that each request reads; None if the card never changes."""

    @abstractmethod
    def read(self, *, in_turn: bool = False) -> Request[tuple[Card, bytes | None]]:
        """Read the card, and the revision at the same moment or before.

        Args:
            in_turn: They may be on different servers: wait for the revision before the card is read.

        Raises:
            OnlineStoreError: There is no card, or it cannot be read.
        """


class RedisCard(CardSource):
    """The card that pushes write."""

    def __init__(self, key_prefix: str, service: str) -> None:
        self.key_prefix = key_prefix
        self.service = service
        self.watches = revision_key(key_prefix).encode()

    def read(self, *, in_turn: bool = False) -> Request[tuple[Card, bytes | None]]:
        """See `CardSource`."""
        key = card_key(self.key_prefix, self.service)
        keys = revision_key(self.key_prefix), key
        if in_turn:
            ((revision,),) = yield [("MGET", keys[0])]
            ((content,),) = yield [("MGET", keys[1])]
        else:
            ((revision, content),) = yield [("MGET", *keys)]
        if content is None:
            raise (yield from why_no_card(self.key_prefix, self.service))
        return read_card(content, f"{key} in Redis"), revision


class FixedCard(CardSource):
    """A card from a file, which pushes do not change."""

    def __init__(self, card: Card) -> None:
        self.card = card

    def read(self, *, in_turn: bool = False) -> Request[tuple[Card, bytes | None]]:
        """See `CardSource`."""
        del in_turn  # there is no revision
        return self.card, None
        yield []  # a generator, as the others are
