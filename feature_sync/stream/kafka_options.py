"""Where the messages of a stream come from: URLs, and the options of Kafka's client that no URL should hold."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from feature_sync.errors import ProfileError, RequestError, did_you_mean

KAFKA, REDIS_STREAMS = "kafka", ("redis-stream", "rediss-stream")
VARIABLE = "FEATURE_SYNC_STREAM_SOURCE"
OPTION_VARIABLES = "FEATURE_SYNC_KAFKA_"
"""What the names of variables begin with that hold options of Kafka's client: ..._SASL_PASSWORD for sasl.password."""
SETTINGS = ("source", "schema_registry", "kafka")
_FORMS = "kafka://broker[:port][,broker...][/topic], redis-stream://[host[:port][/database]] or rediss-stream://..."
_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:\d{1,5})?", re.ASCII)
_OURS = {
    "bootstrap.servers": "the URL names the brokers",
    "auto.offset.reset": "a stream that cannot go on where it must is an error",
    "enable.auto.commit": "a stream begins where the warehouse ends, not at committed offsets",
    "enable.auto.offset.store": "a stream begins where the warehouse ends, not at committed offsets",
    "partition.assignment.strategy": "processes give over single partitions",
    "enable.partition.eof": "a stream reports its lag by it",
}
"""Options of Kafka's client that are not the user's to set, each with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAddress:
    """Where a topic is.

    Args:
        scheme: `kafka`, `redis-stream` or `rediss-stream`.
        servers: The brokers as Kafka's client takes them; or the URL of Redis, which may hold a password, or nothing
            for the Redis of the online store.
        topic: The topic, if the URL names one; None for that of the view.
        options: Options of Kafka's client, which may hold secrets.
    """

    scheme: str
    servers: str = field(repr=False)
    topic: str | None = None
    options: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """What the profile says under `stream` in its block `feature_sync`; it may hold secrets."""

    source: str | None = field(default=None, repr=False)
    schema_registry: str | None = field(default=None, repr=False)
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_settings(value: Any, where: str) -> StreamSettings:
    """Read the profile's settings.

    Args:
        value: The block, rendered; None if there is none.
        where: File and YAML key, for errors.

    Raises:
        ProfileError: A key is unknown, or its value is wrong; the value is not in the text.
    """
    if value is None:
        return StreamSettings()
    if not isinstance(value, Mapping):
        raise ProfileError(f"{where}: must be a mapping of {', '.join(SETTINGS)}")
    for key in value:
        if key not in SETTINGS:
            raise ProfileError(f"{where}.{key}: unknown key{did_you_mean(str(key), SETTINGS)}")
    for key in ("source", "schema_registry"):
        if not isinstance(value.get(key), str | None):
            raise ProfileError(f"{where}.{key}: must be a URL")
    options = value.get("kafka") or {}
    if not isinstance(options, Mapping) or any(isinstance(each, list | Mapping) for each in options.values()):
        raise ProfileError(f"{where}.kafka: must be a mapping of options of Kafka's client, such as sasl.username")
    texts = {str(name): _option_text(each) for name, each in options.items()}
    return StreamSettings(source=value.get("source"), schema_registry=value.get("schema_registry"), kafka=texts)


def _option_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_source(given: str | None, settings: StreamSettings) -> StreamAddress:
    """Read where the messages come from: as given, else of the environment, else of the profile.

    Options of Kafka's client come from the profile, then the environment, then the URL, the last of which counts.

    Raises:
        RequestError: No source is named, or its URL cannot be read; its text is not in the message.
    """
    url = given or os.environ.get(VARIABLE) or settings.source
    if not url:
        raise RequestError(
            f"say where the messages come from with --from or {VARIABLE}, or as source under stream in the profile's "
            f"block feature_sync: {_FORMS}"
        )
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in (KAFKA, *REDIS_STREAMS):
        raise RequestError(
            f"the source of a stream must begin with kafka://, redis-stream:// or rediss-stream://: {_FORMS}"
        )
    if scheme != KAFKA:
        return StreamAddress(scheme=scheme, servers=f"{scheme.removesuffix('-stream')}://{rest}" if rest else "")
    return _kafka(rest, {**settings.kafka, **_environment()})


def _kafka(rest: str, options: dict[str, str]) -> StreamAddress:
    where, _, query = rest.partition("?")
    servers, _, topic = where.partition("/")
    if not all(_BROKER.fullmatch(each) for each in servers.split(",")):
        raise RequestError(
            "the brokers in a kafka:// URL cannot be read: write kafka://broker[:port][,broker...][/topic]; user and "
            f"password are options, best kept in {OPTION_VARIABLES}SASL_USERNAME and {OPTION_VARIABLES}SASL_PASSWORD"
        )
    options |= dict(parse_qsl(query, keep_blank_values=True))
    for name, reason in _OURS.items():
        if name in options:
            raise RequestError(f"the option {name} of Kafka's client cannot be set: {reason}")
    return StreamAddress(scheme=KAFKA, servers=servers, topic=unquote(topic) or None, options=options)


def _environment() -> dict[str, str]:
    """Return the options of Kafka's client in the environment."""
    return {
        name.removeprefix(OPTION_VARIABLES).lower().replace("_", "."): value
        for name, value in os.environ.items()
        if name.startswith(OPTION_VARIABLES) and value
    }
