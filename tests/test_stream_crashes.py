"""Pushers and stream writers are killed at random moments, and Redis with them: what they wrote comes right every time.

`PROOF_TIMES=1000` kills that many processes on PostgreSQL and a third of them on DuckDB, `PROOF_SEED=7` repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import msgpack
import pytest

from feature_sync.online.streams import read_position
from tests.support.meters import NOON
from tests.support.pusher import PushServer
from tests.support.redis_server import RedisServer
from tests.support.streamed_meters import TOPIC, StreamedMeters, build_streamed_meters
from tests.support.streamer import PARTITIONS, Log, Message, Stream, StreamServer

pytestmark = pytest.mark.slow

TIMES = int(os.environ.get("PROOF_TIMES", "75"))
SEED = int(os.environ.get("PROOF_SEED") or random.SystemRandom().randrange(1_000_000))
METERS, PURE = 1_500, 100
"""The meters, and how many of them are only ever streamed, in order, and never corrected: these must never go back."""
PATIENT = {"lease": 0.3, "wait": True, "allow_removals": True}
NOON_MICROSECONDS = 1_704_110_400_000_000


@pytest.fixture(params=["duckdb", "postgres"])
def meters(request, tmp_path, monkeypatch):
    environment = {} if request.param == "duckdb" else dict(request.getfixturevalue(request.param).environment)
    environment["METERS_SCHEMA"] = "stream_crashes"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    built = build_streamed_meters(tmp_path / "streams", request.param, environment)
    with RedisServer() as server:
        opened = StreamedMeters(built, server.url)
        opened.server = server
        opened.reset()
        opened.has_seen(**{f"p{each}": 0 for each in range(PARTITIONS)})
        opened.read(*((f"m{each}", -1, 0.0) for each in range(METERS)))
        yield opened
        opened.close()


class World:
    """The log, what of it has landed, and all chance."""

    def __init__(self, meters: StreamedMeters, log: Log) -> None:
        self.meters, self.log, self.chance = meters, log, random.Random(SEED)
        self.landed = [0] * PARTITIONS
        self._moment, self._backups = 0, []
        self._newest: dict[bytes, int] = {}

    def send(self) -> None:
        """Append messages: mostly newer, some late, some deletions; no two at one moment."""
        for partition in range(PARTITIONS):
            messages = []
            for _ in range(self.chance.choice([0, 5, 60, 500])):
                self._moment += 10
                meter = self.chance.randrange(METERS // PARTITIONS) * PARTITIONS + partition
                late = 0 if meter < PURE else self.chance.choice([0, 0, 0, 2_003, 40_005])
                deletes = meter >= PURE and self.chance.random() < 0.15
                kwh = None if deletes else round(self.chance.random(), 6)
                messages.append(Message(meter, NOON_MICROSECONDS + self._moment - late, kwh))
            self.log.append(partition, messages)

    def land(self, *, everything: bool = False) -> None:
        """Bring some messages to the warehouse, then say which."""
        rows = []
        for partition in range(PARTITIONS):
            end = self.log.end(partition)
            upto = end if everything else self.chance.randint(self.landed[partition], end)
            for meter, moment, kwh in self.log.read(partition, self.landed[partition], upto - self.landed[partition]):
                at = NOON + timedelta(microseconds=moment - NOON_MICROSECONDS)
                note, amount = ("deleted", 0) if kwh is None else ("streamed", kwh)
                rows.append(f"('m{meter}', timestamp '{at}', timestamp '{at}', {amount}, '{note}')")
            self.landed[partition] = upto
        if rows:
            self.meters.run(f"insert into {{t}} values {', '.join(rows)}")
        self.meters.has_seen(**{f"p{each}": first for each, first in enumerate(self.landed)})

    def correct(self) -> None:
        """Change or drop rows that have landed, as a model may; and rows of other sources."""
        first = self.chance.randint(PURE, METERS)
        some = f"meter between 'm{first}' and 'm{first + 50}' and not meter in ({PURE_METERS})"
        changes = [
            f"delete from {{t}} where {some} and kwh < 0.5",
            f"update {{t}} set kwh = kwh + 1 where {some}",
            f"update {{t}} set read_at = read_at + interval '0.000003 second' where {some} and note = 'streamed'",
        ]
        self.meters.run(self.chance.choice(changes))

    def befall_redis(self) -> str:
        """What happens to Redis, mostly nothing."""
        server, what = self.meters.server, self.chance.random()
        if what < 0.08:
            server.lose_tail(keep=self.chance.randint(max(server.bytes_written - 200_000, 0), server.bytes_written))
            fate = "lost its tail"
        elif what < 0.12:
            server.restart()
            fate = "was killed"
        elif what < 0.14:
            self.meters.client.flushall()
            fate = "was emptied"
        elif what < 0.18 and self._backups:
            server.restore(self._backups[-1])
            fate = "was restored"
        else:
            if what > 0.9:
                self._backups.append(server.backup(f"copy{self.chance.getrandbits(60)}"))
            return "rested"
        self.forget_newest()
        return fate

    def forget_newest(self) -> None:
        """Expect nothing of what Redis held until now: what was lost may come back older."""
        self._newest.clear()

    def watch(self, seconds: float) -> None:
        """Look for a while that no meter which is only streamed goes back."""
        keys = [f"meters:latest_readings:{{m{each}}}".encode() for each in range(PURE)]
        deadline = time.monotonic() + seconds
        with self.meters.server.client() as client:
            while True:
                for key, content in zip(keys, client.mget(keys), strict=True):
                    moment = -1 if content is None else msgpack.unpackb(content)[1]
                    assert moment >= self._newest.get(key, -1), (SEED, key)
                    self._newest[key] = moment
                if time.monotonic() > deadline:
                    return
                time.sleep(0.002)


PURE_METERS = ", ".join(f"'m{each}'" for each in range(PURE))


def expected(world: World) -> dict[str, tuple[int, float]]:
    """The newest row of each meter: of the warehouse's rows, and of the messages from the watermark in Redis on."""
    found: dict[str, tuple[int, int, float | None]] = {}
    rows = world.meters.run("select meter, read_at, kwh from {s}.latest_readings order by read_at")
    for meter, read_at, kwh in rows:
        found[meter] = (NOON_MICROSECONDS + (read_at - NOON) // timedelta(microseconds=1), 0, kwh)
    watermark = world.meters.online.stream_record().snapshot.watermark
    for partition in range(PARTITIONS):
        for meter, moment, kwh in world.log.read(partition, watermark.get(partition, 0)):
            found[f"m{meter}"] = max(found.get(f"m{meter}", (-1,)), (moment, 1, kwh), key=lambda each: each[:2])
    return {meter: (row[0], row[2]) for meter, row in found.items() if row[2] is not None}


def shown(world: World) -> dict[str, tuple[int, float]]:
    with world.meters.server.client() as client:
        keys = [*client.scan_iter("meters:latest_readings:{*", count=10_000)]
        contents = client.mget(keys) if keys else []
    rows = {key: msgpack.unpackb(content) for key, content in zip(keys, contents, strict=True)}
    for row in rows.values():
        assert len(row) == 4 or read_position(row[4]).event_timestamp == row[1]
    return {key.decode().split("{")[1][:-1]: (row[1], row[2]) for key, row in rows.items()}


def test_redis_is_right_after_any_number_of_killed_pushers_and_stream_writers(meters, tmp_path):
    log = Log(tmp_path / "log")
    world = World(meters, log)
    kills, fates, chance = Counter(), Counter(), world.chance
    with (
        PushServer(meters.project) as pushes,
        StreamServer(meters.project, meters.redis_url, tmp_path / "log") as streams,
    ):
        assert pushes.push(meters.redis_url, ["latest_readings"], **PATIENT) == "ok"
        writers, asleep = [streams.start(), streams.start()], set()
        while kills.total() < (TIMES if meters.project.target == "postgres" else TIMES // 3):
            for _ in range(chance.randint(1, 4)):
                world.send()
                if chance.random() < 0.7:
                    world.land()
                if chance.random() < 0.4:
                    world.correct()
                process = pushes.start(meters.redis_url, ["latest_readings"], **PATIENT)
                world.watch(chance.uniform(0, 0.6))
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                assert pushes.wait() in ("killed", "ok")
                kills["pushers"] += 1
                if chance.random() < 0.5:
                    victim = chance.choice(writers)
                    streams.kill(victim)
                    asleep.discard(victim)
                    writers[writers.index(victim)] = streams.start()
                    kills["writers"] += 1
                if chance.random() < 0.3:
                    pid = chance.choice(writers)
                    (streams.wake if pid in asleep else streams.suspend)(pid)
                    asleep ^= {pid}
                fates[world.befall_redis()] += 1
            meters.client.delete("meters:latest_readings:lease")  # of a pusher that was killed
            assert pushes.push(meters.redis_url, ["latest_readings"], **PATIENT) == "ok", SEED
            world.watch(0)
            Stream(meters.online, log, TOPIC).run(until_end=True)
            assert shown(world) == expected(world), (SEED, kills)
        for pid in asleep:
            streams.wake(pid)
        world.land(everything=True)
        assert pushes.push(meters.redis_url, ["latest_readings"], **PATIENT) == "ok"
        Stream(meters.online, log, TOPIC).run(until_end=True)
        assert meters.differences() == []
        assert meters.online.stream_record().ahead == 0
    said = ", ".join(f"{count} {name}" for name, count in kills.items())
    print(f"{meters.project.target}, seed {SEED}: {said} were killed. Redis: {dict(fates)}")  # noqa: T201 - kept by pytest
