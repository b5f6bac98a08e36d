"""Streams: how many messages a second one process brings from Kafka to Redis, and how long one takes to be served."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import perf_counter, sleep, time
from typing import Any

from bench.online import empty, empty_redis
from bench.report import Table, Target, number
from feature_sync.online.codec import split_row
from tests.support.kafka import KafkaCluster
from tests.support.memory import peak_bytes
from tests.support.streamed import PREFIX, StreamedOrders

_MESSAGES, _PARTITIONS, _ROUNDS = 300_000, 8, 3
_LEAST_A_SECOND = 100_000
_OFFERED, _SECONDS, _HIGHEST_P99 = 20_000, 10, 0.1
_BACKLOGS, _PARTITIONS_OF_BACKLOGS, _HIGHEST_GROWTH = (200_000, 1_000_000, 3_000_000), 32, 1.1
_KEYS, _MESSAGES_PER_PROBE, _MESSAGES_PER_PAUSE = 1_000, 1_000, 20
_SECONDS_PER_LOOK, _SECONDS_TO_COME, _SECONDS_PER_COUNT = 0.001, 60, 0.2
_FEATURES = {"amount": "float64", "note": "string", "mean": "float64", "count": "int64", "share": "float64"}


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Stream from librdkafka's own brokers, in the bench's process, by `feature-sync stream` in another."""
    with _cluster() as cluster, empty_redis() as (url, client):
        yield _throughput(folder, url, client, cluster, max(10_000, round(_MESSAGES * scale)))
        empty(client)
        yield _latency(folder, url, cluster, max(1, round(_SECONDS * scale)))
    with _cluster() as cluster, empty_redis() as (url, client):
        yield _memory(folder, url, client, cluster, [max(1, round(each * scale)) for each in _BACKLOGS])


@contextmanager
def _cluster() -> Iterator[KafkaCluster]:
    cluster = KafkaCluster()
    try:
        yield cluster
    finally:
        cluster.close()


def _orders(folder: Path, url: str, topic: str) -> StreamedOrders:
    orders = StreamedOrders(folder / topic, url, topic=topic)
    orders.features = dict(_FEATURES)
    orders.define(features=list(_FEATURES), stream={"topic": topic})
    orders.push({})
    return orders


def _message(key: int, amount: float) -> bytes:
    row = {"id": key, "at": "2024-01-01T12:00:00Z", "amount": amount, "note": f"category_{key % 50}"}
    return json.dumps({**row, "mean": key * 0.25, "count": key, "share": 0.125}).encode()


def _throughput(folder: Path, url: str, client: Any, cluster: KafkaCluster, messages: int) -> Table:
    cluster.create("backlog", _PARTITIONS)
    backlog = ((at % _PARTITIONS, None, _message(at, 0.5)) for at in range(messages))
    cluster.produce("backlog", backlog, **{"compression.type": "zstd", "batch.num.messages": 10_000})
    rates = []
    for _ in range(_ROUNDS):
        empty(client)
        done = _orders(folder, url, "backlog").stream(cluster.url, "--log-format", "json")
        lines = [json.loads(each) for each in done.stderr.splitlines()]
        ended = next(each for each in lines if each["event"] == "stream ended")
        if ended["applied"] != messages:
            raise RuntimeError(f"{ended} instead of {messages:,} rows")
        rates.append(ended["messages_per_second"])
    table = Table("A backlog of Kafka, in JSON, by one process", ("messages", "rows a second"))
    table.add(number(messages), number(statistics.median(rates)))
    table.targets.append(
        Target("rows a second", statistics.median(rates), _LEAST_A_SECOND, at_least=True, is_ratio=False)
    )
    table.notes.append("Brokers, Redis and the stream share the machine; the start of the process is left out.")
    return table


def _memory(folder: Path, url: str, client: Any, cluster: KafkaCluster, backlogs: Sequence[int]) -> Table:
    """Stream backlogs, each of keys of its own, and read the highest memory of the process when all is written."""
    table = Table("Memory of a stream at a backlog of Kafka", ("messages", "peak memory"))
    peaks = []
    for messages in backlogs:
        topic = f"backlog{messages}"
        cluster.create(topic, _PARTITIONS_OF_BACKLOGS)
        backlog = ((at % _PARTITIONS_OF_BACKLOGS, None, _message(at, 0.5)) for at in range(messages))
        cluster.produce(topic, backlog, **{"compression.type": "zstd", "batch.num.messages": 10_000})
        empty(client)
        orders = _orders(folder, url, topic)
        running = orders.start(cluster.url)
        while client.hlen(f"{PREFIX}:orders:journal") < messages:
            if running.process.poll() is not None:
                raise RuntimeError(running.done().stderr)
            sleep(_SECONDS_PER_COUNT)
        peaks.append(peak_bytes(running.process.pid) / 1024**2)
        running.stop()
        table.add(number(messages), f"{peaks[-1]:,.0f} MB")
    name = f"{number(backlogs[-1])} messages, times the peak of {number(backlogs[0])}"
    table.targets.append(Target(name, peaks[-1] / peaks[0], _HIGHEST_GROWTH))
    return table


def _latency(folder: Path, url: str, cluster: KafkaCluster, seconds: int) -> Table:
    cluster.create("live", _PARTITIONS)
    orders = _orders(folder, url, "live")
    running = orders.start(cluster.url)
    running.wait_for_text("partitions assigned")
    producing = Thread(target=_offer, args=(cluster, seconds))
    producing.start()
    taken = _probe(orders, seconds)
    producing.join()
    running.stop()
    taken.sort()
    middle, high = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
    table = Table("From the producer to a reader of Redis", ("messages a second", "p50", "p99"))
    table.add(number(_OFFERED), f"{middle * 1_000:.0f} ms", f"{high * 1_000:.0f} ms")
    table.targets.append(Target("seconds at p99", high, _HIGHEST_P99, is_ratio=False))
    table.notes.append("Clients wait for messages 20 ms at most, since these brokers answer a waiting fetch only then.")
    return table


def _offer(cluster: KafkaCluster, seconds: int) -> None:
    """Send messages of few keys at an even rate; some among them have a key of their own, and are waited for."""
    begun = perf_counter()

    def messages() -> Iterator[tuple[int, None, bytes]]:
        for at in range(_OFFERED * seconds):
            if at % _MESSAGES_PER_PAUSE == 0:
                sleep(max(0.0, begun + at / _OFFERED - perf_counter()))
            probe, rest = divmod(at, _MESSAGES_PER_PROBE)
            yield at % _PARTITIONS, None, _message(at % _KEYS if rest else _KEYS + probe, time())

    cluster.produce("live", messages(), **{"linger.ms": 2})


def _probe(orders: StreamedOrders, seconds: int) -> list[float]:
    """Wait for one probe after the other; returns how long each took."""
    taken: list[float] = []
    for probe in range(_OFFERED * seconds // _MESSAGES_PER_PROBE):
        key = f"shop:orders:{{{_KEYS + probe}}}"
        give_up = time() + _SECONDS_TO_COME
        while (found := orders.client.get(key)) is None:
            if time() > give_up:
                raise RuntimeError(f"{key} did not come")
            sleep(_SECONDS_PER_LOOK)
        taken.append(time() - float(split_row(found)[2][0]))
    return taken
