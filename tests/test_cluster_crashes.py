"""Pushers to a cluster are killed, its primaries fail over and its slots move, at random moments; a push puts it right.

`PROOF_TIMES=1000` makes that many rounds, `PROOF_SEED=7` repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress

import pytest

from feature_sync.online.slots import SLOTS
from tests.support.clusters import Cluster, until
from tests.support.meters import Meters, build_meters
from tests.support.pusher import PushServer
from tests.test_push_crashes import METERS, PATIENT, SEED, Chance

pytestmark = pytest.mark.slow

TIMES = int(os.environ.get("PROOF_TIMES", "12"))
VIEW = "latest_readings"
MOST_TRIES = 10


class FailingCluster(Cluster):
    """A cluster whose primaries have one replica each, which may lack the newest writes when it takes over."""

    def lag(self, primary) -> None:
        """Let the replica of a primary get no more of its writes."""
        self.run(primary, "ACL", "SETUSER", "default", "-psync", "-sync")
        self.run(primary, "CLIENT", "KILL", "TYPE", "replica")

    def take_over(self, primary) -> None:
        """Let the replica of a primary take its place."""
        replica = next(each for each in self.processes if self._follows(each, primary))
        self.run(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        until(lambda: self._follows(primary, replica), "the old primary does not follow the new one")
        self.run(primary, "ACL", "SETUSER", "default", "+@all")
        self.primaries = [replica if each is primary else each for each in self.primaries]
        self.replicas = [primary if each is replica else each for each in self.replicas]
        until(self.is_whole, "the cluster did not heal")

    def _follows(self, node, primary) -> bool:
        told = self.run(node, "INFO", "replication")
        return (told["role"], told.get("master_port")) == ("slave", primary.port)


@pytest.fixture
def meters(tmp_path):
    built = build_meters(tmp_path / "meters", "duckdb", {})
    with FailingCluster(replicas=1) as cluster:
        opened = Meters(built, cluster.url)
        opened.cluster = cluster
        opened.reset()
        yield opened
        opened.close()


def test_whatever_befalls_pushers_and_nodes_the_next_push_puts_redis_right(meters):
    chance, choose, counts = Chance(meters), random.Random(SEED), Counter()
    with PushServer(meters.project) as pushes:
        meters.many(METERS)
        repair(meters, pushes)
        for number in range(TIMES):
            chance.change_table()
            what = choose.choice(["kill", "kill", "fail over", "fail over behind", "move"])
            counts[what, befall(meters, pushes, what, choose)] += 1
            if chance.happens(0.5):
                chance.change_table()
            repair(meters, pushes)
            assert meters.differences() == [], (SEED, number, what)
    print(SEED, counts)  # noqa: T201 - pytest keeps it with the test
    assert sum(count for (what, _), count in counts.items() if what.startswith("fail")) >= TIMES // 6


def befall(meters, pushes, what: str, choose: random.Random) -> str:
    """Push, and let something happen meanwhile or right afterwards; returns what became of the push."""
    cluster = meters.cluster
    primary = choose.choice(cluster.primaries)
    if what == "fail over behind":
        cluster.lag(primary)
    # Acknowledgements are not asked for: then a push may count whose writes are lost.
    pid = pushes.start(meters.redis_url, [VIEW], replicas_acknowledge=0, **PATIENT)
    if what == "fail over behind":
        said = pushes.wait()
        cluster.take_over(primary)
        return said.partition(":")[0]
    time.sleep(choose.uniform(0, 2.5))
    if what == "kill":
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    elif what == "move":
        for _ in range(20):
            slot = choose.randrange(SLOTS)
            owner = cluster.owner(slot)
            cluster.move(slot, choose.choice([each for each in cluster.primaries if each is not owner]))
    else:
        cluster.take_over(primary)
    return pushes.wait().partition(":")[0]


def repair(meters, pushes) -> None:
    """Push until a push ends well."""
    said: list[str] = []
    for _ in range(MOST_TRIES):
        said.append(pushes.push(meters.redis_url, [VIEW], **PATIENT))
        if said[-1] == "ok":
            return
    raise AssertionError((SEED, said))
