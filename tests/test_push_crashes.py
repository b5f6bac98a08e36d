"""Pushers are killed at random moments, and Redis with them: the next push puts everything right, every time.

`PROOF_TIMES=1000` kills that many pushers on each warehouse, `PROOF_SEED=7` repeats a run.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress

import pytest

from tests.support.meters import NOON, Meters, build_meters
from tests.support.pusher import PushServer
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.slow

TIMES = int(os.environ.get("PROOF_TIMES", "60"))
SEED = int(os.environ.get("PROOF_SEED") or random.SystemRandom().randrange(1_000_000))
METERS = 4_000
KEYS = "meters:latest_readings:"
PATIENT = {"lease": 0.3, "wait": True, "allow_removals": True}  # a killed pusher's lease has to end first


@pytest.fixture(params=["duckdb", "postgres"])
def meters(request, tmp_path, monkeypatch):
    environment = {} if request.param == "duckdb" else request.getfixturevalue(request.param).environment
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    built = build_meters(tmp_path / "meters", request.param, environment)
    with RedisServer() as server:
        opened = Meters(built, server.url)
        opened.server = server
        opened.reset()
        yield opened
        opened.close()


@pytest.fixture
def pushes(meters):
    with PushServer(meters.project) as server:
        yield server


class Chance:
    """All that is random: what changes in the table, when a pusher is killed, what happens to Redis."""

    def __init__(self, meters) -> None:
        self._random = random.Random(SEED)
        self._meters = meters
        self._backups = []
        self._loads = 0

    def change_table(self) -> None:
        """A few changes, or changes of a few shares of all rows, of every kind."""
        for _ in range(self._random.randint(1, 4)):
            changes = [self._insert, self._correct, self._late, self._older, self._delete, self._arrive]
            change = self._random.choice(changes)
            change(self._random.choice([1, 20, METERS // 10, METERS]), self._random.randrange(METERS))
        if self._meters.run("select count(*) from {t}")[0][0] > 4 * METERS:
            self._meters.run("delete from {t} where kwh < 0.7")

    def _some(self, count: int, first: int, minutes: str, loaded: str, *, name: str = "m") -> None:
        """Insert readings of a row of meters, which wraps around."""
        self._loads += 1
        numbers = f"range({count})" if self._meters.project.target == "duckdb" else f"generate_series(0, {count - 1})"
        moment = f"timestamp '{NOON}' + interval '1 minute'"
        self._meters.run(
            f"insert into {{t}} select '{name}' || ((i + {first}) % {METERS}), {moment} * {minutes}, "
            f"{moment} * {loaded}, {self._random.random()}, 'load {self._loads}' from {numbers} as numbers(i)"
        )

    def remember_table(self) -> None:
        """Keep the table that a complete push has sent."""
        self._meters.run("drop table if exists {s}.sent", "create table {s}.sent as select * from {t}")

    def take_back(self) -> None:
        """Undo, for some or all meters, whatever has changed since: what a killed push has sent is wrong then."""
        some = f"length(meter) + ascii(right(meter, 1)) > {self._random.choice([0, 50, 54, 57])}"
        self._meters.run(f"delete from {{t}} where {some}", f"insert into {{t}} select * from {{s}}.sent where {some}")

    def _arrive(self, count: int, first: int) -> None:
        """Meters that were never seen before."""
        self._some(count // 4 + 1, first, str(self._loads), str(self._loads), name=f"new {self._loads} ")

    def _insert(self, count: int, first: int) -> None:
        self._some(count, first, str(self._loads), str(self._loads))

    def _late(self, count: int, first: int) -> None:
        """Rows below every earlier timestamp: they answer only for entities that have no other."""
        self._some(count, first, f"(-1000 - {self._loads})", str(self._loads))

    def _correct(self, count: int, first: int) -> None:
        """Rows with timestamps that are there already, loaded later."""
        self._some(count, first, str(self._random.randint(0, self._loads)), str(self._loads))

    def _older(self, *_: int) -> None:
        """The newest rows were wrong and go; older ones answer again, or return."""
        below = self._random.randint(0, self._loads)
        self._meters.run(f"delete from {{t}} where note = 'load {below}'")

    def _delete(self, count: int, first: int) -> None:
        self._meters.run(f"delete from {{t}} where kwh < 0.8 and meter between 'm{first}' and 'm{first + count // 4}'")

    def moment(self, seconds: float) -> tuple[str | None, float]:
        """When to kill within a push that takes so long: after seconds from its beginning, or from a mark in Redis."""
        mark = self._random.choices([None, "sending", "done"], [5, 4, 1])[0]
        return mark, self._random.uniform(0, seconds * 1.05 if mark is None else 0.02)

    def happens(self, chance: float) -> bool:
        return self._random.random() < chance

    def befall_redis(self) -> str:
        """What happens to Redis between two pushes, mostly nothing."""
        server, what = self._meters.server, self._random.random()
        if what < 0.06:
            server.lose_tail(keep=self._random.randint(max(server.bytes_written - 50_000, 0), server.bytes_written))
            return "lost its tail"
        if what < 0.10:
            server.restart()
            return "was killed"
        if what < 0.12:
            self._meters.client.flushall()
            return "was emptied"
        if what < 0.18 and self._backups:
            server.restore(self._random.choice(self._backups))
            return "was restored"
        if what < 0.28:
            self._back_up()
        return "rested"

    def _back_up(self) -> None:
        if len(self._backups) == 3:
            shutil.rmtree(self._backups.pop(self._random.randrange(3)))
        self._backups.append(self._meters.server.backup(f"copy{self._random.getrandbits(60)}"))


def footprint(meters) -> dict:
    """What a push leaves behind step by step: its lease, the warehouse's record, the mark in Redis, the commit."""
    client = meters.client
    states = {}
    with suppress(Exception):  # there is no schema before the first push
        rows = meters.run(f"select feature_view, online_store, content from {meters.sync_schema}.state")
        states = {store: json.loads(content) for view, store, content in rows if view == "meters:latest_readings"}
    state = states.get((client.get("meters:store") or b"").decode(), {})
    mark = json.loads(client.get(f"{KEYS}push") or "{}")
    return {
        "fence": client.get(f"{KEYS}fence"),
        "unfinished": ((state.get("unfinished") or {}).get("pushes") or [None])[-1],
        "last": (state.get("last") or {}).get("at"),
        "mark": (mark.get("push"), mark.get("status")),
    }


def phase(before: dict, after: dict) -> str:
    """How far a killed push came."""
    if after["last"] != before["last"]:
        return "6 committed"
    if after["mark"] != before["mark"]:
        return {"sending": "4 sending", "done": "5 before the commit"}[after["mark"][1]]
    if after["unfinished"] != before["unfinished"]:
        return "3 before the mark"
    return "2 staging" if after["fence"] != before["fence"] else "1 before the lease"


def until_killed(meters, pushes, mark: str | None, seconds: float) -> str:
    """Push, and kill the pusher at a moment; returns how far it came."""
    before = footprint(meters)
    process = pushes.start(meters.redis_url, ["latest_readings"], **PATIENT)
    wait_for(meters, process, before, mark, seconds)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    assert pushes.wait() in ("killed", "ok")
    return phase(before, footprint(meters))


def wait_for(meters, process: int, before: dict, mark: str | None, seconds: float) -> None:
    """Wait for a moment of a push, or until it has ended."""
    client = meters.client
    with suppress(ProcessLookupError):
        while mark is not None:
            os.kill(process, 0)
            found = json.loads(client.get(f"{KEYS}push") or "{}")
            if found.get("push") != before["mark"][0] and found.get("status") == mark:
                break
        time.sleep(seconds)


def test_a_push_after_any_number_of_killed_ones_makes_redis_equal_to_the_warehouse(meters, pushes):
    chance, phases, fates = Chance(meters), Counter(), Counter()
    meters.many(METERS)
    chance.remember_table()
    assert pushes.push(meters.redis_url, ["latest_readings"], **PATIENT) == "ok"
    duration, kills = 0.5, 0
    while kills < TIMES:
        chance.change_table()
        while kills < TIMES:
            phases[until_killed(meters, pushes, *chance.moment(duration))] += 1
            kills += 1
            fates[chance.befall_redis()] += 1
            if chance.happens(0.4):
                chance.take_back()
            elif chance.happens(0.6):
                chance.change_table()
            if chance.happens(0.6):
                break
        free_lease(meters)
        began = time.monotonic()
        assert pushes.push(meters.redis_url, ["latest_readings"], **PATIENT) == "ok", (SEED, kills)
        duration = 0.8 * duration + 0.2 * (time.monotonic() - began)
        assert is_right(meters), (SEED, kills)
        chance.remember_table()
    said = ", ".join(f"{name}: {count}" for name, count in sorted(phases.items()))
    tell(f"{meters.project.target}, seed {SEED}: {kills} pushers were killed at {said}. Redis: {dict(fates)}")
    assert {"2 staging", "4 sending"} <= phases.keys()


def tell(text: str) -> None:
    """Leave a line that `make proof` shows at the end."""
    print(text)  # noqa: T201 - pytest keeps it with the test


def is_right(meters) -> bool:
    """Compare Redis with the warehouse, naively and by `verify`, which must agree."""
    differences = meters.differences()
    (verified,) = meters.store.verify(["latest_readings"])
    assert verified.is_equal == (not differences), (differences[:5], verified)
    return not differences


def free_lease(meters) -> None:
    """Wait until the lease of a killed pusher has ended, so that the next push can be timed."""
    while meters.client.exists(f"{KEYS}lease"):
        time.sleep(0.02)


def test_a_push_after_redis_was_killed_under_another_makes_redis_equal_to_the_warehouse(meters, pushes):
    chance, outcomes = Chance(meters), Counter()
    meters.many(METERS)
    chance.remember_table()
    assert pushes.push(meters.redis_url, ["latest_readings"], **PATIENT) == "ok"
    duration = 0.4
    for turn in range(max(TIMES // 4, 1)):
        chance.change_table()
        written = meters.server.bytes_written
        before, moment = footprint(meters), chance.moment(duration)
        process = pushes.start(meters.redis_url, ["latest_readings"], **PATIENT)
        wait_for(meters, process, before, *moment)
        if chance.happens(0.5):
            meters.server.lose_tail(keep=max(written, meters.server.bytes_written - 2_000))
        else:
            meters.server.restart()
        outcome = pushes.wait()
        outcomes[outcome.partition(";")[0]] += 1
        assert outcome == "ok" or "restarted" in outcome or "cannot be reached" in outcome or "LeaseLost" in outcome
        free_lease(meters)
        if chance.happens(0.5):
            chance.take_back()
        began = time.monotonic()
        assert pushes.push(meters.redis_url, ["latest_readings"], **PATIENT) == "ok", (SEED, turn)
        duration = 0.8 * duration + 0.2 * (time.monotonic() - began)
        assert is_right(meters), (SEED, turn)
        chance.remember_table()
    tell(f"{meters.project.target}, seed {SEED}: {dict(outcomes)}")


def test_two_pushers_at_once_leave_what_the_warehouse_holds(meters, pushes):
    chance = Chance(meters)
    meters.many(METERS)
    with PushServer(meters.project) as others:
        for turn in range(max(TIMES // 5, 1)):
            chance.change_table()
            pushes.start(meters.redis_url, ["latest_readings"], lease=30, wait=True, allow_removals=True)
            others.start(meters.redis_url, ["latest_readings"], lease=30, wait=True, allow_removals=True)
            assert (pushes.wait(), others.wait()) == ("ok", "ok"), (SEED, turn)
            assert is_right(meters), (SEED, turn)
