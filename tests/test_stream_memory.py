"""The memory of a stream: it does not grow with the backlog, whether Redis takes the rows or is gone."""

import json
import signal
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.support.kafka import MOST_BYTES, KafkaCluster
from tests.support.memory import peak_bytes
from tests.support.redis_server import RedisServer
from tests.support.streamed import StreamedOrders

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="another process's peak is in /proc")
MESSAGES, PARTITIONS, NOTE = 200_000, 48, "x" * 1_000
MOST_MEGABYTES = 180
"""The messages alone are 200 MB. The client keeps 32 MB of them, the process some 60 MB without any."""
SECONDS = 120


@pytest.fixture(scope="module")
def backlog():
    """200,000 messages of 1 kB, each of a key of its own."""
    cluster = KafkaCluster()
    assert MESSAGES / PARTITIONS * (len(NOTE) + 200) < MOST_BYTES
    cluster.create("backlog", PARTITIONS)
    row = {"at": "2024-01-01T12:00:00Z", "amount": 1.0, "note": NOTE}
    cluster.produce("backlog", ((at % PARTITIONS, None, json.dumps({"id": at, **row})) for at in range(MESSAGES)))
    yield cluster.url
    cluster.close()


@pytest.mark.parametrize(
    "is_redis_gone",
    [
        pytest.param(False, id="Redis takes the rows"),
        pytest.param(True, id="Redis is gone for a while", marks=pytest.mark.slow),
    ],
)
def test_a_backlog_needs_no_more_memory_than_the_queues_of_the_client(backlog, tmp_path, is_redis_gone):
    with RedisServer(save="", appendonly="no") as server:
        orders = StreamedOrders(tmp_path / "shop", server.url, topic="backlog")
        orders.push({})
        running = orders.start(backlog)
        if is_redis_gone:
            running.wait_for_text("partitions assigned")
            server.stop()
            running.wait_for_text("trying again for 60 seconds")
            server.start()
            running.wait_for_text("waiting for the first push")
            orders.push({})
        wait_for_rows(orders, running.process)
        peak = peak_bytes(running.process.pid)
        assert running.stop() == 128 + signal.SIGTERM
    assert peak < MOST_MEGABYTES * 1_000_000


def wait_for_rows(orders, process):
    give_up = monotonic() + SECONDS
    while (held := orders.client.hlen("shop:orders:journal")) < MESSAGES:
        assert monotonic() < give_up, f"{held} rows"
        assert process.poll() is None, process.communicate()[1]
        sleep(0.05)
