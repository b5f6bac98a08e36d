"""A streamed view on a cluster: pushers, stream writers and nodes are killed, replicas elect themselves, slots move.

`PROOF_TIMES=200` lets that many things befall it, `PROOF_SEED=7` repeats a run.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import suppress

import pytest
from redis.cluster import RedisCluster

from tests.support.pusher import PushServer
from tests.support.streamed_meters import TOPIC, StreamedMeters, build_streamed_meters
from tests.support.streamer import PARTITIONS, Log, Stream, StreamServer
from tests.test_cluster_crashes import FailingCluster, move_some, repair
from tests.test_push_crashes import tell
from tests.test_stream_crashes import METERS, PATIENT, SEED, World, expected, shown

pytestmark = pytest.mark.slow

TIMES = int(os.environ.get("PROOF_TIMES", "12"))
VIEW = "latest_readings"
KILLED = ("a pusher", "a pusher", "a primary", "a replica", "a writer", "")
SECONDS = 60


class Clients:
    """Reads a cluster as the tests of one server read theirs."""

    def __init__(self, cluster: FailingCluster) -> None:
        self._cluster = cluster

    def client(self) -> RedisCluster:
        node = self._cluster.primaries[0]
        return _Reader(host="127.0.0.1", port=node.port)


class _Reader(RedisCluster):
    def mget(self, keys):
        return self.mget_nonatomic(keys)


@pytest.fixture
def meters(tmp_path, monkeypatch):
    built = build_streamed_meters(tmp_path / "streams", "duckdb", {"METERS_SCHEMA": "main"})
    with FailingCluster() as cluster:
        opened = StreamedMeters(built, cluster.url)
        opened.cluster, opened.server = cluster, Clients(cluster)
        opened.reset()
        opened.has_seen(**{f"p{each}": 0 for each in range(PARTITIONS)})
        opened.read(*((f"m{each}", -1, 0.0) for each in range(METERS)))
        yield opened
        opened.close()


def test_whatever_is_killed_and_moves_pushes_and_streams_put_redis_right(meters, tmp_path):
    log, cluster = Log(tmp_path / "log"), meters.cluster
    world = World(meters, log)
    kills, outcomes, chance = Counter(), Counter(), world.chance
    with (
        PushServer(meters.project) as pushes,
        StreamServer(meters.project, meters.redis_url, tmp_path / "log") as streams,
    ):
        repair(meters, pushes)
        writers = [streams.start(), streams.start()]
        for number in range(TIMES):
            change(world)
            what = KILLED[number % len(KILLED)]
            pid = pushes.start(meters.redis_url, [VIEW], replicas_acknowledge=0, **PATIENT)
            world.watch(chance.uniform(0, 1))
            befall(meters, what, pid, writers, streams, chance)
            kills.update([what] if what else [])
            said = pushes.wait().partition(":")[0]
            assert said in ("ok", "killed", "OnlineStoreError", "LeaseLost"), (SEED, number, said)
            outcomes[said] += 1
            world.forget_newest()  # what a failover lost comes back older
            if chance.random() < 0.5:
                continue  # the next push meets what this one left
            repair(meters, pushes)
            settle(meters, log)
            assert shown(world) == expected(world), (SEED, number, what)
        world.land(everything=True)
        repair(meters, pushes)
        settle(meters, log)
        assert meters.differences() == []
        assert meters.online.stream_record().ahead == 0
    said = ", ".join(f"{count} x {name}" for name, count in kills.items())
    tell(f"streams on a cluster, seed {SEED}: {said}; {cluster.elections} elections. Pushes: {dict(outcomes)}")


def change(world: World) -> None:
    world.send()
    if world.chance.random() < 0.7:
        world.land()
    if world.chance.random() < 0.4:
        world.correct()


def befall(meters, what, pid, writers, streams, chance) -> None:
    cluster = meters.cluster
    primary = chance.choice(cluster.primaries)
    if what == "a pusher":
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    elif what == "a writer":
        victim = chance.choice(writers)
        streams.kill(victim)
        writers[writers.index(victim)] = streams.start()
    elif what == "a primary":
        cluster.lose(primary)
    elif what == "a replica":
        cluster.restart(cluster.replica_of(primary))
    else:
        move_some(cluster, chance)


def settle(meters, log: Log) -> None:
    """Stream all that is left; nodes may have just changed."""
    Stream(meters.online, log, TOPIC).run(until_end=True)
