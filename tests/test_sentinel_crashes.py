"""Pushers, stream writers, primaries and Sentinels are killed, and Sentinels fail over, during pushes and streams.

`PROOF_TIMES=1000` lets that many things befall pushes, `PROOF_SEED=7` repeats a run.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import suppress

import pytest
import redis

from feature_sync.errors import OnlineStoreError
from tests.support.clusters import Sentinels, until
from tests.support.pusher import PushServer
from tests.support.streamed_meters import TOPIC, StreamedMeters, build_streamed_meters
from tests.support.streamer import PARTITIONS, Log, Stream, StreamServer
from tests.test_stream_crashes import METERS, PATIENT, SEED, World, expected, shown

pytestmark = pytest.mark.slow

TIMES = int(os.environ.get("PROOF_TIMES", "20"))
VIEW = "latest_readings"
MOST_TRIES = 10
SECONDS_TO_TELL = 3
"""After so long all Sentinels know of a failover that one of them has done."""
KILLED = {"a pusher": 3, "a stream writer": 3, "the primary": 2, "a Sentinel": 1, "": 1}
"""How often each is killed in ten pushes; where nothing is, a Sentinel is asked to fail over."""


class FailingSentinels(Sentinels):
    """Three Sentinels, a primary and a replica, which takes its place."""

    failovers = 0

    @property
    def epochs(self) -> list[int]:
        """Numbers that each failover raises, also one that nobody asked for, as soon as a Sentinel knows of it."""
        found = []
        for each in self.sentinels:
            with each.client() as client:
                found.append(client.sentinel_master("features")["config-epoch"])
        return found

    def lose_primary(self) -> None:
        """Kill the primary; it comes back, empty, once the Sentinels name another, and follows that."""
        lost = self.primary
        lost.kill()
        until(lambda: self.primary is not lost, "the Sentinels do not fail over")
        lost.start()
        self._follow(lost)

    def swap(self) -> None:
        """Let the Sentinels fail over although nothing is lost."""
        old = self.primary
        until(lambda: self._asked() or self.primary is not old, "the Sentinels do not fail over")
        until(lambda: self.primary is not old, "the Sentinels do not fail over")
        self._follow(old)

    def lose_sentinel(self, number: int) -> None:
        self.sentinels[number].kill()
        self.sentinels[number].start()

    def _asked(self) -> bool:
        with suppress(redis.ResponseError):  # one is under way, or has just been
            self.fail_over()
            return True
        return False

    def _follow(self, old) -> None:
        """Let the old primary follow the new one at once; the Sentinels would after ten seconds."""
        self.failovers += 1
        primary = self.primary
        with old.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", primary.port)
        until(self._is_followed, "the old primary does not follow the new one")

    def _is_followed(self) -> bool:
        with self.primary.client() as client:
            return client.info("replication")["connected_slaves"] == 1


class FailingWorld(World):
    """The log and all chance, where at any moment a replica that lacks the newest writes may become the primary."""

    def __init__(self, meters: FailingMeters, log: Log, sentinels: FailingSentinels) -> None:
        super().__init__(meters, log)
        self._sentinels = sentinels
        self._watched = sentinels.epochs

    def watch(self, seconds: float) -> None:
        """Look for a while that no meter which is only streamed goes back, as long as the primary is the same."""
        try:
            super().watch(seconds)
        except (AssertionError, redis.RedisError):
            time.sleep(SECONDS_TO_TELL)
            if self._sentinels.epochs == self._watched:
                raise
        if self._sentinels.epochs != self._watched:
            self.forget_newest()
            self._watched = self._sentinels.epochs


class FailingMeters(StreamedMeters):
    """The meters, behind Sentinels."""

    server: Primary

    @property
    def client(self) -> redis.Redis:
        return self.server.client()


class Primary:
    """The primary as tests look into it."""

    def __init__(self, sentinels: Sentinels) -> None:
        self._sentinels = sentinels

    def client(self) -> redis.Redis:
        return self._sentinels.primary.client()


@pytest.fixture
def sentinels():
    with FailingSentinels() as started:
        yield started


@pytest.fixture
def meters(postgres, sentinels, tmp_path, monkeypatch):
    environment = {**postgres.environment, "METERS_SCHEMA": "sentinel_crashes"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    opened = FailingMeters(build_streamed_meters(tmp_path / "streams", "postgres", environment), sentinels.url)
    opened.server = Primary(sentinels)
    opened.reset()
    opened.has_seen(**{f"p{each}": 0 for each in range(PARTITIONS)})
    opened.read(*((f"m{each}", -1, 0.0) for each in range(METERS)))
    yield opened
    opened.close()


class Streams:
    """Two stream writers, each of which is replaced when it is killed."""

    def __init__(self, server: StreamServer) -> None:
        self._server = server
        self._running = [server.start(), server.start()]

    def kill(self, number: int) -> None:
        self._server.kill(self._running[number])
        self._running[number] = self._server.start()


def test_whatever_is_killed_behind_sentinels_pushes_and_streams_come_right(meters, sentinels, tmp_path):
    log = Log(tmp_path / "log")
    world = FailingWorld(meters, log, sentinels)
    kills, outcomes, chance = Counter(), Counter(), world.chance
    with (
        PushServer(meters.project) as pushes,
        StreamServer(meters.project, meters.redis_url, tmp_path / "log") as server,
    ):
        repair(meters, pushes)
        streams = Streams(server)
        for number in range(TIMES):
            if number % 10 == 0:
                deck = [what for what, count in KILLED.items() for _ in range(count)]
                chance.shuffle(deck)
            world.send()
            if chance.random() < 0.7:
                world.land()
            if chance.random() < 0.4:
                world.correct()
            kills.update([what] if (what := deck[number % 10]) else [])
            process = pushes.start(meters.redis_url, [VIEW], **PATIENT)
            world.watch(chance.uniform(0, 0.6))
            befall(what, process, sentinels, streams, world)
            said = pushes.wait()
            assert said.partition(":")[0] in ("ok", "killed", "OnlineStoreError", "LeaseLost"), (SEED, number, said)
            outcomes[said.partition(":")[0]] += 1
            if chance.random() < 0.4:
                assert_right(world, pushes, sentinels)
        world.land(everything=True)
        assert_right(world, pushes, sentinels)
        assert meters.differences() == []
        assert meters.online.stream_record().ahead == 0
    said = ", ".join(f"{count} x {name}" for name, count in kills.items())
    print(  # noqa: T201 - kept by pytest
        f"Sentinels, seed {SEED}: killed were {said}; {sentinels.failovers} failovers. Pushes: {dict(outcomes)}"
    )
    assert kills.total() >= TIMES * 9 // 10
    assert sentinels.failovers >= TIMES * 3 // 10


def befall(what: str, pusher: int, sentinels: FailingSentinels, streams: Streams, world: World) -> None:
    """Kill something while a push runs."""
    if what == "a pusher":
        with suppress(ProcessLookupError):
            os.kill(pusher, signal.SIGKILL)
    elif what == "a stream writer":
        streams.kill(world.chance.randrange(2))
    elif what == "a Sentinel":
        sentinels.lose_sentinel(world.chance.randrange(3))
    else:
        (sentinels.lose_primary if what else sentinels.swap)()


def assert_right(world: World, pushes: PushServer, sentinels: FailingSentinels) -> None:
    """Push until a push ends well, stream what is left, and compare; again if the primary was lost meanwhile."""
    for _ in range(MOST_TRIES):
        epochs = sentinels.epochs
        repair(world.meters, pushes)
        with suppress(OnlineStoreError):
            Stream(world.meters.online, world.log, TOPIC).run(until_end=True)
            found, right = shown(world), expected(world)
            if found == right:
                world.watch(0)
                return
            time.sleep(SECONDS_TO_TELL)
            assert sentinels.epochs != epochs, (SEED, {*found.items()} ^ {*right.items()})
    raise AssertionError("the primary is lost all the time")


def repair(meters, pushes: PushServer) -> None:
    """Push until a push ends well."""
    said: list[str] = []
    for _ in range(MOST_TRIES):
        said.append(pushes.push(meters.redis_url, [VIEW], **PATIENT))
        if said[-1] == "ok":
            return
        time.sleep(0.2)
    raise AssertionError((SEED, said))
