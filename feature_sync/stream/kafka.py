"""Reads a topic of Kafka, whose partitions the processes of one group share; and writes dead letters to another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

from feature_sync.errors import RequestError
from feature_sync.extras import needed_by
from feature_sync.stream.background import in_background
from feature_sync.stream.kafka_options import StreamAddress
from feature_sync.stream.kafka_wording import UNTRUSTED, no_topic, silent, untrusted
from feature_sync.stream.messages import DeadLetter, Message, StreamError
from feature_sync.stream.source import DeadLetters, Positions, Source

with needed_by("a stream of Kafka"):
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

_LOG = logging.getLogger(__name__)
_SECONDS_TO_ANSWER = 10.0
_SECONDS_TO_CONNECT = 1.0
_SECONDS_TO_BURY = 30.0
_SECONDS_TO_LEAVE = 0.7
_DEFAULTS = {"log_level": "0", "queued.max.messages.kbytes": "32768", "session.timeout.ms": "10000"}
_HOPELESS = (
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - its name for errors of the client
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
)
"""Errors that do not go away by themselves."""


class KafkaSource(Source):
    """A topic of Kafka. Which partitions this process reads, the protocol of consumer groups decides."""

    def __init__(self, address: StreamAddress, topic: str, *, group: str) -> None:
        """Prepare; connects to nothing.

        Args:
            address: The brokers, and options of Kafka's client.
            topic: The topic.
            group: The name of the group, unless the options have one.

        Raises:
            RequestError: Kafka's client refuses an option.
        """
        self.topic, self.where = topic, f"{topic} of kafka://{address.servers}"
        self._positions_of: Callable[[], Positions] = dict
        self._assigned: set[int] = set()
        self._ended: set[int] = set()
        self._unchecked: set[int] = set()
        self._failed: StreamError | None = None
        self._uses_tls = address.options.get("security.protocol", "").lower().endswith("ssl")
        settings = {
            **_DEFAULTS,
            "group.id": group,
            **address.options,
            "bootstrap.servers": address.servers,
            "auto.offset.reset": "error",  # by default the client would skip in silence what it cannot find
            "enable.auto.commit": "false",
            "enable.partition.eof": "true",
            "partition.assignment.strategy": "cooperative-sticky",
        }
        self._consumer: Any = _client(Consumer, settings, self._note_error)

    def start(self, positions_of: Callable[[], Positions]) -> None:
        """See `Source`."""
        self._positions_of = positions_of
        if (refused := self._ask_topic().error) is not None:
            raise self._refusal(refused)
        self._consumer.subscribe(
            [self.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def _ask_topic(self) -> Any:
        """Ask a broker for the topic; an error that does not go away ends it at once."""
        give_up, seconds = monotonic() + _SECONDS_TO_ANSWER, _SECONDS_TO_CONNECT
        while True:
            try:
                ask = partial(self._consumer.list_topics, self.topic, timeout=seconds)
                return in_background(ask).topics[self.topic]
            except KafkaException as failed:
                self._consumer.poll(0)  # which reports the errors of the client
                if self._failed is not None or monotonic() > give_up:
                    raise self._failed or self._refusal(failed.args[0]) from failed
                seconds *= 2  # a far broker that speaks TLS may need longer

    def poll(self, most: int, seconds: float) -> list[Message]:
        """See `Source`."""
        first = self._consumer.poll(seconds)  # `consume` would wait for the last one, too
        found = [] if first is None else [first, *self._consumer.consume(most - 1, 0)]
        if self._failed is not None:
            raise self._failed
        if self._unchecked:
            self._check_bounds()
        messages: list[Message] = []
        for each in found:
            if (error := each.error()) is not None:
                self._note_message_error(error, each.partition())
                continue
            messages.append(_message(each))
            self._ended.discard(each.partition())
        return messages

    @property
    def is_at_end(self) -> bool:
        """See `Source`."""
        return bool(self._assigned) and self._assigned <= self._ended

    def seek(self, positions: Positions) -> None:
        """See `Source`."""
        self._ended.clear()
        self._unchecked = {*self._assigned}
        if parts := self._partitions(positions):
            try:
                self._consumer.incremental_unassign(parts)  # `seek` refuses partitions that are not fetched yet
                self._consumer.incremental_assign(parts)
            except KafkaException as failed:
                raise StreamError(f"{self.where} cannot be read from there: {failed.args[0].str()}") from failed

    def commit(self, positions: Positions) -> None:
        """See `Source`."""
        parts = [each for each in self._partitions(positions) if each.partition in positions]
        if parts:
            with suppress(KafkaException):  # it only shows the lag, and the next one says as much
                self._consumer.commit(offsets=parts, asynchronous=True)

    def lags(self, positions: Positions) -> Mapping[int, int]:
        """See `Source`."""
        behind = sorted(self._assigned - self._ended)
        return dict.fromkeys(self._ended & self._assigned, 0) | {
            each: max(0, self._bounds(each)[1] - positions.get(each, 0)) for each in behind
        }

    def close(self) -> None:
        """See `Source`; a broker that does not answer keeps the group waiting, but not this process."""
        with suppress(TimeoutError):
            in_background(self._consumer.close, seconds=_SECONDS_TO_LEAVE)

    def _partitions(self, positions: Positions) -> list[Any]:
        return [
            TopicPartition(self.topic, each, positions.get(each, OFFSET_BEGINNING)) for each in sorted(self._assigned)
        ]

    def _on_assign(self, consumer: Any, parts: Sequence[Any]) -> None:
        """Begin partitions where the warehouse ends; their committed offsets only show the lag."""
        positions = self._positions_of()
        self._assigned.update(each.partition for each in parts)
        self._unchecked.update(each.partition for each in parts)
        consumer.incremental_assign(
            [
                TopicPartition(self.topic, each.partition, positions.get(each.partition, OFFSET_BEGINNING))
                for each in parts
            ]
        )
        _LOG.info("partitions assigned", extra={"topic": self.topic, "assigned_partitions": sorted(self._assigned)})

    def _on_revoke(self, _consumer: Any, parts: Sequence[Any]) -> None:
        self._assigned.difference_update(each.partition for each in parts)
        self._ended.difference_update(each.partition for each in parts)
        _LOG.info("partitions revoked", extra={"topic": self.topic, "assigned_partitions": sorted(self._assigned)})

    def _check_bounds(self) -> None:
        """Check that partitions hold what is to be read of them next, since not every broker refuses to be asked more.

        A partition whose bounds cannot be asked now is checked with the next messages.
        """
        positions = self._positions_of()
        for each in sorted(self._unchecked & self._assigned & positions.keys()):
            try:
                low, high = self._bounds(each, cached=False)
            except StreamError as failed:
                _LOG.warning("%s", failed)
                return
            if not low <= positions[each] <= high:
                raise self._out_of_range(each)
        self._unchecked.clear()

    def _note_error(self, error: Any) -> None:
        """Keep an error of the client that does not go away; the client itself tries again after others."""
        if error.code() in _HOPELESS or UNTRUSTED in error.str() or error.fatal():
            self._failed = self._refusal(error)
        elif error.code() != KafkaError._TRANSPORT:  # noqa: SLF001 - of one broker; if all are down, it says that, too
            _LOG.warning("Kafka: %s", error.str())

    def _note_message_error(self, error: Any, partition: int) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._ended.add(partition)
            return
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            raise self._out_of_range(partition)
        if error.code() != KafkaError._MAX_POLL_EXCEEDED:  # noqa: SLF001 - the next poll joins the group again
            self._note_error(error)
        if self._failed is not None:
            raise self._failed

    def _out_of_range(self, partition: int) -> StreamError:
        """Explain why a partition has no longer, or not yet, what must be read next."""
        wanted, (low, high) = self._positions_of().get(partition, 0), self._bounds(partition, cached=False)
        if high < wanted:
            return StreamError(
                f"partition {partition} of {self.where} ends at offset {high}, but it was read up to "
                f"{wanted}: the topic was made anew. Land it under another name, build and push, and stream that"
            )
        return StreamError(
            f"partition {partition} of {self.where} begins at offset {low}, but the newest push has seen it only up to "
            f"{wanted}: Kafka has deleted what lies between. If the warehouse has landed it, build and push, and start "
            "the stream again; else land it from another copy. Keep messages longer than the time from push to push"
        )

    def _bounds(self, partition: int, *, cached: bool = True) -> tuple[int, int]:
        try:
            part = TopicPartition(self.topic, partition)
            found = in_background(
                partial(self._consumer.get_watermark_offsets, part, timeout=_SECONDS_TO_ANSWER, cached=cached)
            )
        except KafkaException as failed:
            raise self._refusal(failed.args[0]) from failed
        return found or (0, 0)

    def _refusal(self, error: Any) -> StreamError:
        """Explain an error that does not go away."""
        if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):  # noqa: SLF001
            return StreamError(no_topic(self.topic, self._topics()))
        if UNTRUSTED in error.str():
            return StreamError(untrusted(self.where))
        if error.code() in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN):  # noqa: SLF001
            return StreamError(silent(self.where, error.str(), uses_tls=self._uses_tls))
        return StreamError(f"{self.where} cannot be read: {error.str()}")

    def _topics(self) -> list[str]:
        try:
            topics = self._consumer.list_topics(timeout=_SECONDS_TO_ANSWER).topics
        except KafkaException:
            return []
        return [name for name in topics if not name.startswith("__") and name != self.topic]


class KafkaDeadLetters(DeadLetters):
    """Writes dead letters to a topic: the message as it was, and the reason in its headers."""

    def __init__(self, address: StreamAddress, topic: str) -> None:
        """Prepare; connects to nothing.

        Raises:
            RequestError: Kafka's client refuses an option.
        """
        self.where = f"{topic} of kafka://{address.servers}"
        self._topic = topic
        settings = {**_DEFAULTS, **address.options, "bootstrap.servers": address.servers}
        settings |= {"enable.idempotence": "true", "message.timeout.ms": str(int(_SECONDS_TO_BURY * 1_000))}
        for name in [each for each in settings if each in ("group.id", "queued.max.messages.kbytes")]:
            del settings[name]
        self._producer: Any = _client(Producer, settings, lambda error: _LOG.warning("Kafka: %s", error.str()))

    def bury(self, topic: str, letters: Sequence[DeadLetter]) -> None:
        """See `DeadLetters`."""
        refused: list[str] = []

        def note(error: Any, _message: Any) -> None:
            if error is not None:
                refused.append(error.str())

        try:
            for message, reason in letters:
                headers = {
                    "feature_sync.reason": reason,
                    "feature_sync.topic": topic,
                    "feature_sync.partition": str(message.partition),
                    "feature_sync.offset": str(message.offset),
                }
                self._producer.produce(
                    self._topic, key=message.key, value=message.value, headers=headers, on_delivery=note
                )
            left = in_background(partial(self._producer.flush, _SECONDS_TO_BURY))
        except (KafkaException, BufferError) as failed:
            raise StreamError(f"dead letters cannot be written to {self.where}: {failed}") from failed
        if refused or left:
            raise StreamError(f"dead letters cannot be written to {self.where}: {(refused or ['no answer'])[0]}")

    def close(self) -> None:
        """See `DeadLetters`; every letter was delivered or refused before `bury` returned."""


def _client(kind: Any, settings: Mapping[str, str], note_error: Callable[[Any], None]) -> Any:
    try:
        return kind({**settings, "error_cb": note_error})
    except KafkaException as refused:
        raise RequestError(f"Kafka's client refuses its options: {refused.args[0].str()}") from refused


def _message(found: Any) -> Message:
    kind, timestamp = found.timestamp()
    return Message(found.partition(), found.offset(), timestamp if kind else None, found.key(), found.value())
