"""Feature services in Redis: their cards, read with or without a project."""

from __future__ import annotations

from typing import Any

import msgspec

from feature_sync.cli.options import open_store
from feature_sync.serving.card import Card
from feature_sync.serving.client import FeatureClient

_SECONDS = 10.0


def read_service_card(service: str, options: dict[str, Any]) -> str:
    """Read the card of a service, as JSON for people; a project is opened unless the options say where Redis is.

    Args:
        service: The name of the service.
        options: The shared options of commands, by name.

    Raises:
        FeatureSyncError: Redis failed or has no such card, or the project cannot be read.
    """
    url, prefix, timeout = options["redis_url"], options["key_prefix"], options["redis_timeout"]
    if url and prefix:
        with FeatureClient(url, service, prefix=prefix, timeout=float(timeout or _SECONDS)) as client:
            return _written(client.warm_up())
    with open_store(options) as store:
        return _written(store.card(service))


def _written(card: Card) -> str:
    return msgspec.json.format(card.to_json(), indent=2).decode() + "\n"
