"""The model of `stream_model` on a cluster: each slot has its own rows, journal, watermark, epoch and mark.

A slot fails over by itself, and may lose its last changes; no step of a push or a writer spans two slots.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.support.stream_model import KEYS, PARTITIONS, Redis, Row, Snapshot, World

SLOTS = 2
SLOT_RULES = {
    "one_epoch": "a writer notices a new epoch or a failover only in the first slot",
    "home_mark": "a push judges all slots by the mark of the first",
    "early_done": "a slot is marked before its rows are written",
}


def slot_of(key: int) -> int:
    return key % SLOTS


class SlotWorld(World):
    """The log and the warehouse as before; `redis` and `history` are those of the slot last turned to."""

    restarts = (0, 0.3, 1)
    has_slots = True

    def __init__(self, chance: random.Random, without: frozenset[str]) -> None:
        super().__init__(chance, without)
        self.slots = [Redis() for _ in range(SLOTS)]
        self.histories: list[list[Redis]] = [[] for _ in range(SLOTS)]
        self.runs = [0] * SLOTS
        self.snapshots: dict[int, Snapshot] = {}

    def is_right_now(self) -> bool:
        """True if each slot in which a push has ended holds that push's snapshot and the stream, whatever others do.

        While a slot has no watermark, writers pause for the whole view: rows then come late.
        """
        if any(each.watermark is None for each in self.slots):
            return True
        return all(
            self.is_right_after(self.snapshots[each.epoch], [key for key in range(KEYS) if slot_of(key) == slot])
            for slot, each in enumerate(self.slots)
            if each.mark == ("done", each.epoch)
        )

    def turn_to(self, slot: int) -> None:
        self.redis, self.history = self.slots[slot], self.histories[slot]

    def restart(self) -> None:
        slot = self.chance.randrange(SLOTS)
        self.turn_to(slot)
        before = self.run
        super().restart()
        self.slots[slot], self.histories[slot] = self.redis, self.history
        self.runs[slot] += self.run - before

    def write(self, key: int, row: Row | None, snapshot: Snapshot) -> None:
        self.turn_to(slot_of(key))
        super().write(key, row, snapshot)

    def stream(self, key: int, row: Row) -> None:
        self.turn_to(slot_of(key))
        super().stream(key, row)

    def shows(self, key: int, row: Row | None) -> bool:
        self.turn_to(slot_of(key))
        return super().shows(key, row)

    def set_mark(self, slot: int, status: str, push: int) -> None:
        self.turn_to(slot)
        self.remember()
        self.redis.mark = (status, push)

    def follows(self, slot: int) -> bool:
        """True if a change list leads from what the slot holds to the snapshot; a slot under repair has lost rows."""
        mark = self.slots[0 if "home_mark" in self.without else slot].mark
        if self.committed is None or mark is None or mark[0] == "repairing":
            return False
        return mark == ("done", self.committed) or mark[1] in self.unfinished

    def push(self) -> Iterator[None]:
        self.fence += 1
        fence, run = self.fence, self.run

        def may_write() -> bool:
            return self.fence == fence and self.run == run

        snapshot = self.snapshots[fence] = self.snapshot()
        lost = {slot for slot in range(SLOTS) if not self.follows(slot)}
        yield
        if self.fence != fence:
            return
        changed = {key for key in range(KEYS) if snapshot.rows.get(key) != self.state.get(key)} | self.listed
        self.listed, self.unfinished = changed, [*self.unfinished, fence]
        steps = [lambda slot=slot: self.begin(slot, fence, is_lost=slot in lost) for slot in range(SLOTS)]
        steps += [lambda slot=slot: self.open_slot(slot, snapshot) for slot in range(SLOTS)]
        todo = [key for key in range(KEYS) if key in changed or slot_of(key) in lost]
        self.chance.shuffle(todo)
        steps += [lambda key=key: self.write(key, snapshot.rows.get(key), snapshot) for key in todo]
        # The entries are read when the changed rows are written; the writer may have added none that is seen.
        steps += [lambda key=key: self.write_seen(key, snapshot) for key in range(KEYS)]
        done = [lambda slot=slot: self.set_mark(slot, "done", fence) for slot in range(SLOTS)]
        steps = [*steps[:SLOTS], *done, *steps[SLOTS:]] if "early_done" in self.without else [*steps, *done]
        steps += [lambda slot=slot: self.end(slot, fence) for slot in range(SLOTS)]
        for step in steps:
            yield
            if not may_write():
                return
            step()
        yield
        if not may_write():
            return
        self.state, self.committed = snapshot.rows, fence
        self.unfinished, self.listed = [], set()
        self.ended = snapshot, self.run, fence

    def begin(self, slot: int, push: int, *, is_lost: bool) -> None:
        self.set_mark(slot, "repairing" if is_lost else "sending", push)

    def open_slot(self, slot: int, snapshot: Snapshot) -> None:
        self.turn_to(slot)
        self.open(snapshot)

    def write_seen(self, key: int, snapshot: Snapshot) -> None:
        held = self.slots[slot_of(key)].journal.get(key)
        if held is not None and self.snapshot_has_seen(snapshot, held):
            self.write(key, snapshot.rows.get(key), snapshot)

    def end(self, slot: int, fence: int) -> None:
        self.turn_to(slot)
        self.remember()
        self.redis.epoch = fence

    def epochs(self) -> tuple[tuple[int, int], ...]:
        seen = tuple(zip(self.runs, (each.epoch for each in self.slots), strict=True))
        return seen[:1] if "one_epoch" in self.without else seen

    def writer(self) -> Iterator[None]:
        """Goes back to the lowest watermark of all slots whenever one of them has a new epoch or another run."""
        place, epochs = None, None
        while True:
            marks = [each.watermark for each in self.slots]
            if None in marks:  # a slot that no push has opened: its rows would be passed over
                place = None
                yield
                continue
            if place is None or epochs != self.epochs():
                place, epochs = [min(each) for each in zip(*marks, strict=True)], self.epochs()
            partition = self.chance.randrange(PARTITIONS)
            if place[partition] >= len(self.log[partition]):
                yield
                continue
            key, row = self.log[partition][place[partition]]
            runs = [*self.runs]
            yield  # fetched; anything may happen before it is written
            if self.runs[slot_of(key)] != runs[slot_of(key)]:
                continue
            self.stream(key, row)
            place[partition] += 1
            yield
