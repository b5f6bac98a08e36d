"""Pushes to a cluster as a small model: slots on nodes that fail over to an earlier moment, and move between nodes.

A key is a number, a value too; a slot is what a node's replica has or lacks as a whole up to a moment. `marks` says
what is marked: `"slots"`, as the product does, or `"view"`, or `"slots, but repaired ones as sending"`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from feature_sync.online.base import ServerState
from feature_sync.online.marks import DONE, REPAIRING, SENDING, Mark, SlotMark
from feature_sync.push.plan import OnlineState, lost_slots
from feature_sync.push.state import Committed, State, Unfinished

SLOTS, NODES, KEYS, ROUNDS = 4, 2, 8, 12
_SERVER = ServerState(run_id="run", evicted_keys=0, may_evict=False, eviction_policy="noeviction")


class Cut(Exception):
    """A push ends here."""


@dataclass
class World:
    """A warehouse and a cluster."""

    chance: random.Random
    marks: str
    table: dict[int, int] = field(default_factory=dict)
    owner: list[int] = field(default_factory=lambda: [slot % NODES for slot in range(SLOTS)])
    rows: list[dict[int, int]] = field(default_factory=lambda: [{} for _ in range(SLOTS)])
    held: list[SlotMark | None] = field(default_factory=lambda: [None] * SLOTS)
    history: list[list[dict[int, tuple[dict[int, int], SlotMark | None]]]] = field(
        default_factory=lambda: [[] for _ in range(NODES)]
    )
    state: State = field(default_factory=State)
    committed_rows: dict[int, int] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    pushes: int = 0
    in_full: int = 0

    def write(self, slot: int, change: Callable[[], object]) -> None:
        """Change a slot; its node's replica may still be at any of the newest moments."""
        node = self.owner[slot]
        mine = (each for each in range(SLOTS) if self.owner[each] == node)
        self.history[node].append({each: (dict(self.rows[each]), self.held[each]) for each in mine})
        change()

    def mark(self, slot: int, status: str, push: str) -> None:
        """Mark a slot."""

        def change() -> None:
            self.held[slot] = SlotMark(status, push)

        self.write(slot, change)

    def fail_over(self) -> None:
        """Let the replica of a node take its place, which lacks some of the newest writes."""
        past = self.history[self.chance.randrange(NODES)]
        if past:
            for slot, (rows, mark) in past[-self.chance.randint(1, min(10, len(past)))].items():
                self.rows[slot], self.held[slot] = dict(rows), mark
            past.clear()

    def move(self) -> None:
        """Move a slot, with all that it holds, whose new replicas have it."""
        self.owner[self.chance.randrange(SLOTS)] = self.chance.randrange(NODES)
        for each in self.history:
            each.clear()

    def change(self) -> None:
        """Change the warehouse's table."""
        for _ in range(self.chance.randint(0, 4)):
            key = self.chance.randrange(KEYS)
            if self.chance.random() < 0.3:
                self.table.pop(key, None)
            else:
                self.table[key] = self.chance.randrange(3)

    def push(self, *, is_cut: bool) -> None:
        """Push; if `is_cut`, it may end anywhere."""
        self.pushes += 1
        push, stage = str(self.pushes), dict(self.table)
        self._may_end(0.1, is_cut=is_cut)
        lost = self._lost()
        is_full = len(lost) == SLOTS
        self.in_full += len(lost)
        gone = {key for slot in lost for key in self.rows[slot]}
        old = {key for key in {*stage, *self.committed_rows} if stage.get(key) != self.committed_rows.get(key)}
        changed = old | self.touched
        before = () if self.state.unfinished is None or is_full else self.state.unfinished.pushes
        self.touched = set(changed)  # what the change table lists
        self.state = State(
            committed=self.state.committed,
            unfinished=Unfinished(pushes=(*before, push), table="", is_full=is_full),
        )
        self._may_end(0.1, is_cut=is_cut)
        repairing = SENDING if "as sending" in self.marks or is_full else REPAIRING
        for slot in self._marked():
            self.mark(slot, repairing if slot in lost else SENDING, push)
            self._may_end(0.03, is_cut=is_cut)
        if is_full:
            self._send([(key, stage.get(key)) for key in {*stage, *gone}], is_cut=is_cut)
        else:
            mine = {key for key in {*self.committed_rows, *gone} if key % SLOTS in lost}
            self._send([(key, self.committed_rows.get(key)) for key in mine], is_cut=is_cut)
            self._send([(key, stage.get(key)) for key in changed], is_cut=is_cut)
        for slot in self._marked():
            self.mark(slot, DONE, push)
            self._may_end(0.03, is_cut=is_cut)
        committed = Committed(push=push, table="", rows=len(stage), definition="", candidates=-1, digest=None)
        self.state, self.committed_rows, self.touched = State(committed=committed), stage, set()

    def _lost(self) -> frozenset[int]:
        held = self.held if self.marks != "view" else [self.held[0]] * SLOTS
        mark = Mark(push="", status=DONE, warehouse="")
        return lost_slots(OnlineState(store="", server=_SERVER, mark=mark, slots=held), self.state)

    def _marked(self) -> range:
        return range(SLOTS) if self.marks != "view" else range(1)

    def _send(self, rows: list[tuple[int, int | None]], *, is_cut: bool) -> None:
        self.chance.shuffle(rows)
        for key, value in rows:
            slot = key % SLOTS
            self._may_end(0.04, is_cut=is_cut)
            if value is None:
                self.write(slot, lambda slot=slot, key=key: self.rows[slot].pop(key, None))  # type: ignore[misc]
            else:
                self.write(slot, lambda slot=slot, key=key, value=value: self.rows[slot].update({key: value}))  # type: ignore[misc]
            if is_cut and self.chance.random() < 0.04:
                self.fail_over()  # a push notices, and ends
                raise Cut

    def _may_end(self, chance: float, *, is_cut: bool) -> None:
        if is_cut and self.chance.random() < chance:
            raise Cut


def ends_wrong(seed: int, marks: str) -> tuple[bool, int]:
    """Run some rounds; returns whether a push that came to its end left something wrong, and how many slots it sent."""
    world = World(random.Random(seed), marks)
    for number in range(ROUNDS):
        world.change()
        is_last = number == ROUNDS - 1 or world.chance.random() < 0.35
        try:
            world.push(is_cut=not is_last)
        except Cut:
            continue
        else:
            if is_last and {key: value for rows in world.rows for key, value in rows.items()} != world.table:
                return True, world.in_full
        finally:
            if world.chance.random() < 0.25:
                world.fail_over()
            if world.chance.random() < 0.15:
                world.move()
    return False, world.in_full
