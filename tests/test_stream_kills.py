"""Brokers, Redis and the processes of a stream are killed at random moments, and every message arrives.

`PROOF_TIMES=1000` kills that many, `PROOF_SEED=7` repeats a run. The broker keeps messages in memory alone: what one of
disks would still have is written again, in the same order, when it is back.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from time import monotonic, sleep

import pytest

from tests.support.redis_server import RedisServer
from tests.support.streamed import StreamedOrders, StreamProcess
from tests.support.tansu import TansuBroker
from tests.test_push_crashes import SEED, tell

pytestmark = pytest.mark.slow

TIMES = int(os.environ.get("PROOF_TIMES", "10"))
PARTITIONS, ORDERS = 3, 400
KILLED = {"a stream": 2, "the broker": 2, "Redis": 1}
"""How often each is killed in five turns."""
SECONDS = 120


class Shop:
    """The topic, Redis, and two processes that stream, each of which is started again when it has ended."""

    def __init__(self, orders: StreamedOrders, broker: TansuBroker, server: RedisServer) -> None:
        self.orders, self._broker, self._server = orders, broker, server
        self._sent: list[tuple[int, bytes]] = []
        self.expected: dict[int, tuple[float, float, None]] = {}
        self._broker.create(orders.topic, PARTITIONS)
        orders.push({})
        self._running: list[StreamProcess] = [orders.start(broker.url), orders.start(broker.url)]
        self.ends: Counter[str] = Counter()

    def send(self, choose: random.Random) -> None:
        """Write messages, each newer than all before."""
        first, messages = len(self._sent), []
        for at in range(first, first + choose.choice([1, 50, 400])):
            number = choose.randrange(ORDERS)
            messages.append((number % PARTITIONS, self.orders.message(number, at, float(at))))
            self.expected[number] = (at, float(at), None)
        self._broker.produce(self.orders.topic, messages)
        self._sent += messages

    def kill(self, what: str, choose: random.Random) -> None:
        if what == "a stream":
            choose.choice(self._running).kill()
        elif what == "the broker":
            self._broker.kill()
            sleep(choose.uniform(0, 0.5))
            self._broker.start()
            self._broker.create(self.orders.topic, PARTITIONS)
            self._broker.produce(self.orders.topic, self._sent)
        else:
            self._server.restart()
            if self._server.settings["appendonly"] == "no":
                self.orders.push({})
        self.tend()

    def tend(self) -> None:
        """Start again what has ended, as whoever runs it would."""
        for at, each in enumerate(self._running):
            if each.process.poll() is not None:
                self.ends[_reason(each)] += 1
                self._running[at] = self.orders.start(self._broker.url)

    def await_rows(self) -> None:
        """Wait until Redis holds the newest of all messages."""
        give_up, found = monotonic() + SECONDS, None
        while found != self.expected:
            assert monotonic() < give_up, (SEED, self.ends, {*(found or {}).items()} ^ {*self.expected.items()})
            self.tend()
            sleep(0.1)
            found = self.orders.rows()

    def close(self) -> None:
        for each in self._running:
            each.kill()


def _reason(ended: StreamProcess) -> str:
    """Why a process has ended, which must be one of the reasons that there are."""
    done = ended.done()
    if done.returncode == -9:
        return "killed"
    assert done.returncode == 1, (SEED, done)
    known = {"made anew": "the topic was empty", "Redis at": "Redis was down", "no broker": "no broker answered"}
    (reason,) = [name for text, name in known.items() if text in done.stderr.splitlines()[-1]] or [done.stderr]
    assert reason in known.values(), (SEED, reason)
    return reason


@pytest.fixture
def broker():
    made = TansuBroker()
    yield made
    made.kill()


@pytest.mark.parametrize("appendonly", ["yes", "no"], ids=["Redis on disk", "Redis in memory"])
def test_every_message_arrives_whatever_is_killed(tmp_path, broker, appendonly):
    choose, kills = random.Random(SEED), Counter()
    with RedisServer(appendonly=appendonly) as server:
        shop = Shop(StreamedOrders(tmp_path / "shop", server.url), broker, server)
        try:
            shop.send(choose)
            shop.await_rows()
            for number in range(TIMES):
                if number % 5 == 0:
                    deck = [what for what, count in KILLED.items() for _ in range(count)]
                    choose.shuffle(deck)
                shop.send(choose)
                sleep(choose.uniform(0, 0.6))
                shop.kill(deck[number % 5], choose)
                kills[deck[number % 5]] += 1
                shop.send(choose)
            shop.await_rows()
        finally:
            shop.close()
    said = ", ".join(f"{count} x {name}" for name, count in kills.items())
    tell(f"streams, Redis with appendonly {appendonly}, seed {SEED}: killed were {said}. Streams ended: {shop.ends}")
    assert kills.total() == TIMES
