"""A cluster of Kafka brokers in this process: librdkafka's own, steered through its C interface."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition

_POINTER, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_FUNCTIONS: Sequence[tuple[str, Any, list[Any]]] = (
    ("rd_kafka_conf_new", _POINTER, []),
    ("rd_kafka_conf_set", _INT, [_POINTER, _TEXT, _TEXT, _TEXT, ctypes.c_size_t]),
    ("rd_kafka_new", _POINTER, [_INT, _POINTER, _TEXT, ctypes.c_size_t]),
    ("rd_kafka_mock_cluster_new", _POINTER, [_POINTER, _INT]),
    ("rd_kafka_mock_cluster_bootstraps", _TEXT, [_POINTER]),
    ("rd_kafka_mock_topic_create", _INT, [_POINTER, _TEXT, _INT, _INT]),
    ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [_POINTER, ctypes.c_int32]),
    ("rd_kafka_mock_broker_set_down", _INT, [_POINTER, ctypes.c_int32]),
    ("rd_kafka_mock_broker_set_up", _INT, [_POINTER, ctypes.c_int32]),
    ("rd_kafka_mock_cluster_destroy", None, [_POINTER]),
    ("rd_kafka_destroy", None, [_POINTER]),
)
_BROKERS = 3
QUICK = "fetch.wait.max.ms=20&session.timeout.ms=2000&heartbeat.interval.ms=200"
"""Options of clients: this cluster answers a waiting fetch, and ends a rebalance, only when their time is up."""
MOST_BYTES = 5 << 20
"""What a partition keeps: older messages are deleted, as by a retention."""


class KafkaCluster:
    """Three brokers, which keep nothing on disk."""

    def __init__(self) -> None:
        library = next((Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka*"))
        self._library = ctypes.CDLL(str(library))
        for name, result, arguments in _FUNCTIONS:
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        why = ctypes.create_string_buffer(512)
        settings = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(settings, b"log_level", b"0", why, len(why))
        self._client = self._library.rd_kafka_new(0, settings, why, len(why))
        assert self._client, why.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, _BROKERS)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 50)
        self.servers: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    @property
    def url(self) -> str:
        return f"kafka://{self.servers}?{QUICK}"

    def create(self, topic: str, partitions: int = 1) -> None:
        assert self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1) == 0

    def stop_brokers(self) -> None:
        for each in range(1, _BROKERS + 1):
            self._library.rd_kafka_mock_broker_set_down(self._cluster, each)

    def start_brokers(self) -> None:
        for each in range(1, _BROKERS + 1):
            self._library.rd_kafka_mock_broker_set_up(self._cluster, each)

    def produce(self, topic: str, messages: Iterable[tuple[Any, ...]], **options: Any) -> None:
        """Write messages: (partition, key, value), and the timestamp in milliseconds where it matters."""
        failed: list[Any] = []
        producer = Producer({"bootstrap.servers": self.servers, "log_level": 0, "linger.ms": 5, **options})
        for partition, key, value, *timestamp in messages:
            named = {"timestamp": timestamp[0]} if timestamp else {}
            while True:
                try:
                    producer.produce(
                        topic,
                        partition=partition,
                        key=key,
                        value=value,
                        on_delivery=lambda error, _: failed.append(error) if error else None,
                        **named,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        assert producer.flush(30) == 0
        assert not failed

    def messages(self, topic: str, count: int, partition: int = 0, seconds: float = 30) -> list[Any]:
        """Read the first messages of a partition, for so many seconds at most."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": "test", "log_level": 0})
        consumer.assign([TopicPartition(topic, partition, 0)])
        found: list[Any] = []
        give_up = monotonic() + seconds
        while len(found) < count and monotonic() < give_up:
            found += [each for each in consumer.consume(count, 0.2) if each.error() is None]
        consumer.close()
        return found

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)
