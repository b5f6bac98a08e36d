"""Opens what a stream reads from, and where its dead letters go."""

from __future__ import annotations

from pathlib import Path

from feature_sync.definitions import FeatureView, Stream
from feature_sync.errors import RequestError
from feature_sync.stream.dead_letter_file import DeadLetterFile
from feature_sync.stream.kafka_options import KAFKA, StreamAddress
from feature_sync.stream.source import DeadLetters, Source


def stream_of(view: FeatureView) -> Stream:
    """Return the stream of a view.

    Raises:
        RequestError: It has none.
    """
    if view.stream is None:
        raise RequestError(
            f"{view.relation.location.at('config.meta.feature_view')}: {view.reference} has no stream: name the topic "
            "of its rows, as stream: {topic: ...}"
        )
    return view.stream


def open_source(address: StreamAddress, topic: str, *, group: str, redis_url: str, timeout: float) -> Source:
    """Open where messages come from; connects to nothing yet.

    Args:
        address: Where the topic is.
        topic: The topic.
        group: The name by which the processes of one stream know each other.
        redis_url: The URL of the online store's Redis, where no other is named.
        timeout: How many seconds Redis may take for an answer.

    Raises:
        MissingLibrary: Kafka's client is not installed.
        RequestError: The address is wrong.
    """
    if address.scheme == KAFKA:
        from feature_sync.stream.kafka import KafkaSource

        return KafkaSource(address, topic, group=group)
    from feature_sync.online.redis.stream_entries import StreamEntries
    from feature_sync.stream.redis_streams import RedisStreamSource

    return RedisStreamSource(StreamEntries(address.servers or redis_url, topic, timeout=timeout), topic)


def open_dead_letters(
    stream: Stream, address: StreamAddress, *, folder: Path, redis_url: str, timeout: float
) -> DeadLetters | None:
    """Open the place of a stream's dead letters; None if it names none. A topic is where the stream's own is.

    Args:
        stream: The stream.
        address: Where its topic is.
        folder: The project's folder.
        redis_url: See `open_source`.
        timeout: See `open_source`.
    """
    if stream.dead_letter_file is not None:
        return DeadLetterFile(folder / stream.dead_letter_file)
    if stream.dead_letter_topic is None:
        return None
    if address.scheme == KAFKA:
        from feature_sync.stream.kafka import KafkaDeadLetters

        return KafkaDeadLetters(address, stream.dead_letter_topic)
    from feature_sync.online.redis.stream_entries import StreamEntries
    from feature_sync.stream.redis_streams import RedisDeadLetters

    return RedisDeadLetters(StreamEntries(address.servers or redis_url, stream.dead_letter_topic, timeout=timeout))
