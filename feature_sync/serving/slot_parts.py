"""Commands cut by hash slot: a Redis Cluster takes a command only with keys of one slot, at the node that serves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feature_sync.online.slots import slot_of
from feature_sync.online.topology import Node, Topology
from feature_sync.serving.endpoint import Command

_KEYLESS = ("PING", "SCAN")
_CURSOR = b"%d-%b"
"""A cursor of SCAN through a cluster: which primary, and the cursor of its own SCAN."""
_END = b"0"


class Part:
    """What one node is asked for one command, or for some keys of an MGET."""

    __slots__ = ("at", "command", "places", "slot", "target")

    def __init__(self, command: Command, slot: int, at: int, places: list[int] | None = None) -> None:
        """Take a part.

        Args:
            command: The words.
            slot: The hash slot of its keys.
            at: Which of the commands it is of.
            places: Where its values belong in the reply to an MGET; None if its reply is the whole reply.
        """
        self.command = command
        self.slot = slot
        self.at = at
        self.places = places
        self.target: Node | None = None
        """Another node to ask once, which is taking the slot over."""

    def owner(self, topology: Topology) -> Node | None:
        """Return the node to ask; None if nobody serves the slot."""
        return topology.owners[self.slot]

    def keep(self, reply: Any, replies: list[Any]) -> None:
        """Put a reply where it belongs."""
        if self.places is None:
            replies[self.at] = reply
        else:
            whole = replies[self.at]
            for place, value in zip(self.places, reply, strict=True):
                whole[place] = value

    def split(self) -> list[Part]:
        """Return a part for each key: of a slot that moves, a node may have some keys, and another the others."""
        if self.places is None:
            return [self]
        pairs = zip(self.command[1:], self.places, strict=True)
        return [Part(("MGET", key), self.slot, self.at, [place]) for key, place in pairs]


class _KeylessPart(Part):
    """A command without a key: SCAN goes through the primaries one by one, and others ask the first."""

    __slots__ = ("_at_node", "_is_last", "_is_scan")

    def __init__(self, command: Command, at: int) -> None:
        super().__init__(command, 0, at)
        self._is_scan = command[0] == "SCAN"
        self._at_node, self._is_last = 0, False
        if self._is_scan and b"-" in (cursor := _bytes(command[1])):
            number, _, own = cursor.partition(b"-")
            self._at_node, self.command = int(number), ("SCAN", own, *command[2:])

    def owner(self, topology: Topology) -> Node | None:
        """See `Part.owner`."""
        primaries = topology.primaries
        self._is_last = self._at_node + 1 >= len(primaries)
        return primaries[min(self._at_node, len(primaries) - 1)] if primaries else None

    def keep(self, reply: Any, replies: list[Any]) -> None:
        """Put a reply where it belongs; SCAN goes on at the next primary."""
        if self._is_scan and (reply[0] != _END or not self._is_last):
            is_done = reply[0] == _END
            reply = [_CURSOR % (self._at_node + is_done, reply[0]), reply[1]]
        replies[self.at] = reply


def parts_of(commands: Sequence[Command]) -> tuple[list[Part], list[Any]]:
    """Cut commands by slot; returns also a list for the replies, in which those to MGET await their values."""
    parts: list[Part] = []
    replies: list[Any] = []
    for at, command in enumerate(commands):
        if command[0] == "MGET":
            parts += _parts_of_mget(command, at)
            replies.append([None] * (len(command) - 1))
        else:
            is_keyless = command[0] in _KEYLESS
            parts.append(_KeylessPart(command, at) if is_keyless else Part(command, slot_of(_bytes(command[1])), at))
            replies.append(None)
    return parts, replies


def only_slot(command: Command) -> int | None:
    """Return the slot of a command whose keys share it; None for another, or one without a key."""
    if command[0] in _KEYLESS:
        return None
    slot = slot_of(_bytes(command[1]))
    if command[0] == "MGET":
        for key in command[2:]:
            if slot_of(_bytes(key)) != slot:
                return None
    return slot


def _parts_of_mget(command: Command, at: int) -> list[Part]:
    by_slot: dict[int, tuple[list[bytes | str], list[int]]] = {}
    for place, key in enumerate(command[1:]):
        slot = slot_of(key if isinstance(key, bytes) else key.encode())
        found = by_slot.get(slot)
        if found is None:
            by_slot[slot] = [key], [place]
        else:
            found[0].append(key)
            found[1].append(place)
    return [Part(("MGET", *keys), slot, at, places) for slot, (keys, places) in by_slot.items()]


def _bytes(key: bytes | str) -> bytes:
    return key if isinstance(key, bytes) else key.encode()
