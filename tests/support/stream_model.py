"""A model of a view with two writers: pushes of snapshots of the warehouse, and a stream that runs ahead of them.

Each actor is a generator that yields wherever another one may come between, or where it may die. A message is
(event time, partition, offset, key, value); a value of None deletes. `without` names rules of the protocol to leave
out.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

KEYS, PARTITIONS, STEPS = 3, 2, 450
RULES = {
    "blind": "a push replaces rows that its snapshot could not have seen",
    "nojournal": "a push leaves alone what the stream wrote and the warehouse did not keep",
    "stalewrite": "a writer writes rows that the snapshot has seen",
    "noreplay": "writers do not go back to the watermark after a push",
    "nogate": "the watermark in Redis is raised when the push has ended, not before its first row",
    "posthook": "a model's watermark is taken after it has read",
    "own_watermark": "a model takes what has landed for its watermark, not what its parent has seen",
    "notombstone": "a deletion leaves no entry in the journal",
    "staleentry": "a push that writes a key leaves the stream's entry for it in the journal",
    "future": "a row below the watermark counts as seen although it was still to come",
}


class Row(NamedTuple):
    """A row, ordered as a stream orders: rows of other sources have no partition, and give way to streamed ones."""

    event: int
    partition: int
    offset: int
    value: int | None


@dataclass
class Redis:
    """What Redis holds; each change is atomic."""

    rows: dict[int, Row] = field(default_factory=dict)
    journal: dict[int, Row] = field(default_factory=dict)
    watermark: list[int] | None = None
    until: int = -1
    mark: tuple | None = None
    epoch: int = 0

    def copy(self) -> Redis:
        first = None if self.watermark is None else [*self.watermark]
        return Redis({**self.rows}, {**self.journal}, first, self.until, self.mark, self.epoch)

    def has_seen(self, row: Row, *, without: frozenset[str]) -> bool:
        is_due = row.event <= self.until or "future" in without
        return row.partition >= 0 and row.offset < self.watermark[row.partition] and is_due


@dataclass
class Snapshot:
    """The rows of a push, and what they have seen by their watermark and in truth."""

    rows: dict[int, Row]
    watermark: list[int]
    truth: list[int]
    now: int


class World:
    """The log, the warehouse and Redis."""

    restarts = (0, 0, 0.15)

    def __init__(self, chance: random.Random, without: frozenset[str]) -> None:
        self.chance, self.without = chance, without
        self.clock = 0
        self.log: list[list[tuple[int, Row]]] = [[] for _ in range(PARTITIONS)]
        self.landed = [0] * PARTITIONS
        self.dropped: set[tuple[int, int]] = set()
        self.batch: dict[int, Row] = {}
        self.staging: list[tuple[int, Row]] = []
        self.staging_mark, self.staging_truth = [0] * PARTITIONS, [0] * PARTITIONS
        self.view: list[tuple[int, Row]] = []
        self.view_mark, self.view_truth = [0] * PARTITIONS, [0] * PARTITIONS
        self.redis, self.history, self.run, self.fence = Redis(), [], 0, 0
        self.committed, self.state = None, {}
        self.unfinished: list[int] = []
        self.listed: set[int] = set()
        self.is_full_unfinished = False
        self.ended: tuple[Snapshot, int, int] | None = None
        self.regressions = 0
        self.builds: list[Iterator[None]] = []

    # Redis may lose its last changes when it restarts

    def remember(self) -> None:
        self.history.append(self.redis.copy())

    def restart(self) -> None:
        if self.history:
            self.redis = self.history[-self.chance.randint(1, min(8, len(self.history)))].copy()
            self.history, self.run = [], self.run + 1

    # Sources

    def send(self) -> None:
        self.clock += 1
        key = self.chance.randrange(KEYS)
        partition = key % PARTITIONS if self.chance.random() < 0.8 else self.chance.randrange(PARTITIONS)
        event = self.clock + self.chance.choice([0, 0, 0, -2, -4, -8, 3])
        value = None if self.chance.random() < 0.15 else self.chance.randrange(100)
        self.log[partition].append((key, Row(event, partition, len(self.log[partition]), value)))

    def edit(self) -> None:
        """Change another source of the view, or decide that the model drops a message, or keeps one after all."""
        kind, key = self.chance.random(), self.chance.randrange(KEYS)
        if kind < 0.1:
            self.batch.pop(key, None)
        elif kind < 0.3:
            self.clock += 1
            self.batch[key] = Row(self.clock - self.chance.choice([0, 2, 5]), -1, -1, self.chance.randrange(100))
        else:
            partition = self.chance.randrange(PARTITIONS)
            if log := self.log[partition]:
                self.dropped ^= {(partition, max(0, len(log) - self.chance.randint(1, 3)))}

    def land(self) -> None:
        partition = self.chance.randrange(PARTITIONS)
        if (behind := len(self.log[partition]) - self.landed[partition]) > 0:
            self.landed[partition] += self.chance.randint(1, behind)
        elif not self.builds and self.chance.random() < 0.1:  # rebuilt from less, while no model reads it
            self.landed[partition] = self.chance.randint(0, self.landed[partition])

    # dbt: a model's watermark is taken before it reads, and holds once it is built

    def build_staging(self) -> Iterator[None]:
        seen = [*self.landed]
        self.staging_mark = self.lowered(self.staging_mark, seen)
        yield
        truth = [*self.landed]
        rows = [each for log, first in zip(self.log, truth, strict=True) for each in log[:first]]
        rows = [(key, row) for key, row in rows if (row.partition, row.offset) not in self.dropped]
        yield
        self.staging, self.staging_truth = rows, truth
        yield
        self.staging_mark = [*self.landed] if "posthook" in self.without else seen

    def build_view(self) -> Iterator[None]:
        seen = [*(self.landed if "own_watermark" in self.without else self.staging_mark)]
        self.view_mark = self.lowered(self.view_mark, seen)
        yield
        truth, rows = [*self.staging_truth], [*self.batch.items(), *self.staging]
        yield
        self.view, self.view_truth = rows, truth
        yield
        self.view_mark = [*self.staging_mark] if "posthook" in self.without else seen

    def lowered(self, mark: list[int], seen: list[int]) -> list[int]:
        """Before a build: where it is going to have seen less than the one before, that holds at once."""
        return [min(pair) for pair in zip(mark, seen, strict=True)]

    def snapshot(self) -> Snapshot:
        rows = newest((key, row) for key, row in self.view if row.event <= self.clock)
        return Snapshot(present(rows), [*self.view_mark], [*self.view_truth], self.clock)

    # The push

    def push(self) -> Iterator[None]:  # noqa: C901, PLR0911, PLR0912, PLR0915 - its order is what is proven
        self.remember()
        self.fence += 1
        fence, run, push = self.fence, self.run, self.fence

        def may_write() -> bool:
            return self.fence == fence and self.run == run

        snapshot = self.snapshot()
        mark, journal_only = self.redis.mark, {"nojournal"} <= self.without
        follows = self.committed is not None and not self.is_full_unfinished and mark is not None
        follows = follows and (mark == ("done", self.committed) or mark[1] in self.unfinished)
        yield
        if self.fence != fence:
            return
        known = self.state if follows else {}
        changed = {key for key in {*snapshot.rows, *known} if snapshot.rows.get(key) != known.get(key)}
        changed |= self.listed if follows else set()
        is_nothing = follows and not changed and not self.unfinished
        if not is_nothing:
            self.listed, self.unfinished = changed, [*(self.unfinished if follows else ()), push]
            self.is_full_unfinished = not follows
        yield
        if not may_write():
            return
        if not is_nothing:
            self.remember()
            self.redis.mark = ("sending", push)
            yield
        if not may_write():
            return
        if "nogate" not in self.without or self.redis.watermark is None:
            self.open(snapshot)
        yield
        todo = [*changed] if follows else [*{*snapshot.rows, *self.redis.rows}]
        self.chance.shuffle(todo)
        for key in todo:
            if not may_write():
                return
            self.write(key, snapshot.rows.get(key), snapshot)
            yield
        seen = [key for key, row in self.redis.journal.items() if self.snapshot_has_seen(snapshot, row)]
        for key in () if journal_only else seen:
            if not may_write():
                return
            self.write(key, snapshot.rows.get(key) if follows else None, snapshot)
            yield
        if not may_write():
            return
        self.remember()
        if "nogate" in self.without:
            self.open(snapshot)
        if not is_nothing:
            self.redis.mark = ("done", push)
            yield
        if not may_write():
            return
        self.remember()
        self.redis.epoch = fence
        yield
        if not may_write():
            return
        if not is_nothing:
            self.state, self.committed = snapshot.rows, push
            self.unfinished, self.listed, self.is_full_unfinished = [], set(), False
        self.ended = snapshot, self.run, fence

    def open(self, snapshot: Snapshot) -> None:
        self.remember()
        self.redis.watermark, self.redis.until = [*snapshot.watermark], snapshot.now

    def snapshot_has_seen(self, snapshot: Snapshot, row: Row) -> bool:
        seen = Redis(watermark=snapshot.watermark, until=snapshot.now)
        return seen.has_seen(row, without=self.without)

    def write(self, key: int, row: Row | None, snapshot: Snapshot) -> None:
        """Write or delete a row of the snapshot, unless the stream wrote a newer one that this has not seen."""
        self.remember()
        redis, held = self.redis, self.redis.journal.get(key)
        is_ahead = held is not None and not self.snapshot_has_seen(snapshot, held)
        if is_ahead and "blind" not in self.without and (row is None or held.event >= row.event):
            return
        shown = redis.rows.get(key)
        unseen = held is not None and (held.offset >= snapshot.watermark[held.partition] or held.event > snapshot.now)
        if unseen and shown == held and (row is None or row.event < held.event):
            self.regressions += 1
        if row is None:
            redis.rows.pop(key, None)
        else:
            redis.rows[key] = Row(row.event, -1, -1, row.value)
        if "staleentry" not in self.without:
            redis.journal.pop(key, None)

    # The stream

    def writer(self) -> Iterator[None]:
        """A writer without a state of its own: it starts at the watermark, and goes back there in every new epoch."""
        place, epoch = None, None
        while True:
            redis = self.redis
            if redis.watermark is None:
                yield
                continue
            if place is None or epoch[0] != self.run or ("noreplay" not in self.without and epoch[1] != redis.epoch):
                place, epoch = [*redis.watermark], (self.run, redis.epoch)
            partition = self.chance.randrange(PARTITIONS)
            if place[partition] >= len(self.log[partition]):
                yield
                continue
            key, row = self.log[partition][place[partition]]
            yield  # fetched; anything may happen before it is written
            if self.run != epoch[0]:
                continue
            self.stream(key, row)
            place[partition] += 1
            yield

    def stream(self, key: int, row: Row) -> None:
        self.remember()
        redis = self.redis
        if redis.watermark is None or ("stalewrite" not in self.without and redis.has_seen(row, without=self.without)):
            return
        held, shown = redis.journal.get(key), redis.rows.get(key)
        wins = row[:3] > held[:3] if held is not None else shown is None or row.event >= shown.event
        if not wins:
            return
        if row.value is None:
            redis.rows.pop(key, None)
        else:
            redis.rows[key] = row
        if row.value is not None or "notombstone" not in self.without:
            redis.journal[key] = row

    # What must hold

    has_slots = False

    def is_right_now(self) -> bool:
        """True if each slot holds what its own last push and the stream make of it; without slots not asked."""
        raise NotImplementedError

    def is_right_after(self, snapshot: Snapshot, keys=range(KEYS)) -> bool:
        """True if Redis holds, key by key, the newest of the snapshot and of what it could not have seen."""
        first = [min(pair) for pair in zip(snapshot.watermark, snapshot.truth, strict=True)]
        ahead = [each for log, seen in zip(self.log, first, strict=True) for each in log[seen:]]
        pushed = {key: Row(row.event, -1, -1, row.value) for key, row in snapshot.rows.items()}
        expected = present(newest([*pushed.items(), *ahead]))
        return all(
            self.shows(key, expected.get(key)) or self.shows_later(key, expected.get(key), snapshot) for key in keys
        )

    def shows(self, key: int, row: Row | None) -> bool:
        shown = self.redis.rows.get(key)
        return (shown and (shown.event, shown.value)) == (row and (row.event, row.value))

    def shows_later(self, key: int, expected: Row | None, snapshot: Snapshot) -> bool:
        """True if Redis shows a row of the stream, or a deletion, that was still to come when the push began."""
        held = self.redis.journal.get(key)
        is_later = held is not None and held.event > snapshot.now and (expected is None or held.event >= expected.event)
        return is_later and self.shows(key, None if held.value is None else held)


def newest(rows) -> dict[int, Row]:
    """The newest row of each key; of two at one event time the streamed one."""
    found: dict[int, Row] = {}
    for key, row in rows:
        if key not in found or row[:3] > found[key][:3]:
            found[key] = row
    return found


def present(rows: dict[int, Row]) -> dict[int, Row]:
    return {key: row for key, row in rows.items() if row.value is not None}


def wrong(seed: int, without: frozenset[str] = frozenset(), *, kind: type[World] = World) -> str | None:
    """Run one schedule in a world of a kind; returns what was wrong, None if nothing was."""
    chance = random.Random(seed)
    world = kind(chance, without)
    writers, pushes, builds = [world.writer(), world.writer()], [], world.builds
    weights = {
        "send": chance.choice([1, 3, 6]),
        "edit": chance.choice([1, 4]),
        "land": chance.choice([1, 4]),
        "write": chance.choice([1, 5, 15]),
        "build": chance.choice([2, 8]),
        "push": chance.choice([4, 12]),
        "restart": chance.choice(world.restarts),
        "swap": 0.3,
    }
    has_two, dies = chance.random() < 0.3, chance.choice([0, 0.01, 0.05])
    for action in chance.choices([*weights], [*weights.values()], k=STEPS):
        if action == "write":
            next(chance.choice(writers))
        elif action == "swap":
            writers[chance.randrange(2)] = world.writer()
        elif action == "build":
            _step(builds, [chance.choice([world.build_staging, world.build_view])], world, dies)
        elif action == "push":
            is_second = has_two and len(pushes) == 1 and chance.random() < 0.05
            world.ended = None
            _step(pushes, [world.push] if not pushes or is_second else [], world, dies)
            if world.ended is not None and not pushes and chance.random() < 0.5:
                snapshot, run, _ = world.ended
                if run == world.run and _drain(world, writers) == "drained" and not world.is_right_after(snapshot):
                    return "after a push"
        else:
            getattr(world, action)()
            if action == "restart" and not pushes and world.has_slots:
                _drain(world, writers)
                if not world.is_right_now():
                    return "after a failover"
    return _at_the_end(world, writers)


def _step(actors: list, begin: list, world: World, dies: float) -> None:
    """Let one of the actors take a step, or die."""
    if begin and (not actors or begin[0] == world.push):
        actors.append(begin[0]())
    actor = world.chance.choice(actors)
    if world.chance.random() < dies or next(actor, "over") == "over":
        actors.remove(actor)


def _drain(world: World, writers: list) -> str:
    for writer in writers * 2:
        for _ in range(60 + 8 * sum(map(len, world.log))):
            next(writer)
    return "drained"


def _at_the_end(world: World, writers: list) -> str | None:
    """Land, build and push everything: then Redis equals the warehouse."""
    world.clock += 10
    world.landed = [len(log) for log in world.log]
    for actor in (world.build_staging(), world.build_view(), world.push()):
        for _ in actor:
            pass
    _drain(world, writers)
    if world.regressions:
        return "a push put an older row in the place of one that it could not have seen"
    rows = present(newest(world.view))
    return None if all(world.shows(key, rows.get(key)) for key in range(KEYS)) else "at the end"
