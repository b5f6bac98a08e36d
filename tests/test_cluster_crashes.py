"""Pushers to a cluster and its nodes are killed, replicas elect themselves, slots move; the next push puts it right.

`PROOF_TIMES=1000` lets that many things befall pushes, `PROOF_SEED=7` repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest

from feature_sync.online.slots import SLOTS
from tests.support.clusters import Cluster, Process, until
from tests.support.meters import Meters, build_meters
from tests.support.pusher import PushServer
from tests.test_push_crashes import METERS, PATIENT, SEED, Chance, tell

pytestmark = pytest.mark.slow

TIMES = int(os.environ.get("PROOF_TIMES", "24"))
VIEW = "latest_readings"
MOST_TRIES = 10
KILLED = {
    "a pusher": 4,
    "a primary": 3,
    "a primary ahead of its replica": 1,
    "a primary, back before the election": 1,
    "a replica": 1,
    "": 2,
}
"""How often each is killed in twelve pushes; slots move where nothing is."""


class FailingCluster(Cluster):
    """A cluster whose primaries have one replica each, which elects itself, also where it lacks the newest writes."""

    def __init__(self) -> None:
        super().__init__(
            replicas=1, settings=("--cluster-node-timeout", "600", "--cluster-replica-validity-factor", "0")
        )
        self.elections = 0

    def serving(self) -> list[Process]:
        """The primaries that serve slots."""
        found = self.run(self.processes[0], "CLUSTER", "SLOTS")
        ports = {port for _, _, (_, port, *_), *_ in found}
        return [each for each in self.processes if each.port in ports]

    def replica_of(self, primary: Process) -> Process:
        return next(each for each in self.processes if self._follows(each, primary))

    def cut_off(self, primary: Process) -> None:
        """Let the replica of a primary get no more of its writes."""
        self.run(primary, "ACL", "SETUSER", "default", "-psync", "-sync")
        self.run(primary, "CLIENT", "KILL", "TYPE", "replica")

    def lose(self, primary: Process) -> None:
        """Kill a primary; it comes back, empty, once its replica has elected itself, and follows it."""
        replica = self.replica_of(primary)
        primary.kill()
        until(lambda: self.role(replica) == "master", "the replica does not elect itself")
        self.elections += 1
        self.primaries = [replica if each is primary else each for each in self.primaries]
        primary.start()
        self.heal()

    def restart(self, node: Process) -> None:
        """Kill a node, which is back, empty, before the others have noticed."""
        node.kill()
        node.start()
        self.heal()

    def heal(self) -> None:
        until(self.is_whole, "the cluster did not heal")
        self.primaries = self.serving()

    def _follows(self, node: Process, primary: Process) -> bool:
        told = self._replication(node)
        return (told["role"], told.get("master_port")) == ("slave", primary.port)


@pytest.fixture
def meters(tmp_path):
    built = build_meters(tmp_path / "meters", "duckdb", {})
    with FailingCluster() as cluster:
        opened = Meters(built, cluster.url)
        opened.cluster = cluster
        opened.reset()
        yield opened
        opened.close()


def test_whatever_is_killed_and_moves_the_next_push_puts_redis_right(meters):
    chance, choose = Chance(meters), random.Random(SEED)
    kills, outcomes, cluster = Counter(), Counter(), meters.cluster
    with PushServer(meters.project) as pushes:
        meters.many(METERS)
        began = time.monotonic()
        repair(meters, pushes)
        duration = time.monotonic() - began
        for number, what in enumerate(befalling(choose, TIMES)):
            chance.change_table()
            said = befall(meters, pushes, what, choose, duration)
            assert said.partition(":")[0] in ("ok", "killed", "OnlineStoreError", "LeaseLost"), (SEED, number, said)
            outcomes[said.partition(":")[0]] += 1
            kills.update([what] if what else [])
            if chance.happens(0.6):
                continue  # the next push meets what this one left
            if chance.happens(0.5):
                chance.change_table()
            began = time.monotonic()
            repair(meters, pushes)
            duration = 0.8 * duration + 0.2 * (time.monotonic() - began)
            assert meters.differences() == [], (SEED, number, what)
        repair(meters, pushes)
        assert meters.differences() == [], SEED
    said = ", ".join(f"{count} x {name}" for name, count in kills.items())
    tell(f"cluster, seed {SEED}: killed were {said}; {cluster.elections} elections. Pushes: {dict(outcomes)}")
    assert kills.total() >= TIMES * 9 // 12
    assert cluster.elections >= TIMES * 3 // 12


def befalling(choose: random.Random, times: int) -> Iterator[str]:
    """Say what is killed, push by push: each as often as it should, in a random order."""
    while times > 0:
        deck = [what for what, count in KILLED.items() for _ in range(count)]
        choose.shuffle(deck)
        yield from deck[:times]
        times -= len(deck)


def befall(meters, pushes, what: str, choose: random.Random, duration: float) -> str:
    """Push, and let something happen meanwhile, or right afterwards; returns what became of the push."""
    cluster = meters.cluster
    primary = choose.choice(cluster.primaries)
    if what == "a primary ahead of its replica":
        cluster.cut_off(primary)
    # Acknowledgements are not asked for: then a push may count whose writes are lost.
    pid = pushes.start(meters.redis_url, [VIEW], replicas_acknowledge=0, **PATIENT)
    if what == "a primary ahead of its replica":
        said = pushes.wait()
        cluster.lose(primary)
        return said
    time.sleep(choose.uniform(0, duration))
    if what == "a pusher":
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    elif what == "a primary":
        cluster.lose(primary)
    elif what:
        cluster.restart(primary if "primary" in what else cluster.replica_of(primary))
    else:
        move_some(cluster, choose)
    return pushes.wait()


def move_some(cluster: FailingCluster, choose: random.Random) -> None:
    for _ in range(20):
        slot = choose.randrange(SLOTS)
        owner = cluster.owner(slot)
        cluster.move(slot, choose.choice([each for each in cluster.primaries if each is not owner]))


def repair(meters, pushes) -> None:
    """Push until a push ends well."""
    said: list[str] = []
    for _ in range(MOST_TRIES):
        said.append(pushes.push(meters.redis_url, [VIEW], **PATIENT))
        if said[-1] == "ok":
            return
    raise AssertionError((SEED, said))
