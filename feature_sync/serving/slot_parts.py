"""Commands cut by hash slot: a Redis Cluster takes a command only with keys of one slot, at the node that serves it.

An MGET becomes a GET for each of its keys, which never waits for a slot that moves: of such a slot a node may have some
keys, and another the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from hiredis import ReplyError

from feature_sync.online.slots import slot_of
from feature_sync.online.topology import Node, Topology
from feature_sync.serving.endpoint import Command, Packed

_ASKING = ("ASKING",)
_KEYLESS = ("PING", "SCAN")
_CURSOR = b"%d-%b"
"""A cursor of SCAN through a cluster: which primary, and the cursor of its own SCAN."""
_END = b"0"
_GET = b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n"
_KEYS_PER_BATCH = 200


class Item(ABC):
    """What one node is asked."""

    __slots__ = ()

    @property
    @abstractmethod
    def count(self) -> int:
        """How many replies there are."""

    @abstractmethod
    def words(self) -> Sequence[Command | Packed]:
        """Return what to send."""

    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """Return what is to be asked again if there is no answer."""

    @abstractmethod
    def keep(self, replies: Sequence[Any], whole: list[Any]) -> list[tuple[Part, ReplyError]]:
        """Put replies where they belong in the replies to all commands; returns what was refused, and how."""


class Part(Item):
    """A command, or one key of an MGET."""

    __slots__ = ("at", "command", "place", "slot", "target")

    def __init__(self, command: Command, slot: int, at: int, place: int | None = None) -> None:
        """Take a part.

        Args:
            command: The words.
            slot: The hash slot of its keys.
            at: Which of the commands it is of.
            place: Where its reply belongs in the reply to an MGET; None if it is the whole reply.
        """
        self.command = command
        self.slot = slot
        self.at = at
        self.place = place
        self.target: Node | None = None
        """Another node to ask once, which is taking the slot over."""

    def owner(self, topology: Topology) -> Node | None:
        """Return the node to ask; None if nobody serves the slot."""
        return self.target or topology.owners[self.slot]

    @property
    def count(self) -> int:
        """See `Item`."""
        return 1 if self.target is None else 2

    def words(self) -> Sequence[Command]:
        """See `Item`."""
        return (self.command,) if self.target is None else (_ASKING, self.command)

    def parts(self) -> Sequence[Part]:
        """See `Item`."""
        self.target = None
        return (self,)

    def keep(self, replies: Sequence[Any], whole: list[Any]) -> list[tuple[Part, ReplyError]]:
        """See `Item`."""
        self.target, reply = None, replies[-1]
        if self.place is not None:
            if isinstance(reply, ReplyError) and str(reply).startswith("WRONGTYPE"):
                reply = None  # as MGET has it
            if not isinstance(reply, ReplyError):
                whole[self.at][self.place] = reply
        elif not isinstance(reply, ReplyError):
            whole[self.at] = self.read(reply)
        return [(self, reply)] if isinstance(reply, ReplyError) else []

    def read(self, reply: Any) -> Any:
        """Return a reply as the caller sees it."""
        return reply


class _KeylessPart(Part):
    """A command without a key: SCAN goes through the primaries one by one, and others ask the first."""

    __slots__ = ("_is_last", "_number")

    def __init__(self, command: Command, at: int) -> None:
        super().__init__(command, 0, at)
        self._number, self._is_last = 0, False
        if command[0] == "SCAN" and b"-" in (cursor := _bytes(command[1])):
            number, _, own = cursor.partition(b"-")
            self._number, self.command = int(number), ("SCAN", own, *command[2:])

    def owner(self, topology: Topology) -> Node | None:
        """See `Part.owner`."""
        primaries = topology.primaries
        self._is_last = self._number + 1 >= len(primaries)
        return primaries[min(self._number, len(primaries) - 1)] if primaries else None

    def read(self, reply: Any) -> Any:
        """See `Part.read`; SCAN goes on at the next primary."""
        if self.command[0] != "SCAN" or (reply[0] == _END and self._is_last):
            return reply
        return [_CURSOR % (self._number + (reply[0] == _END), reply[0]), reply[1]]


class Keys(Item):
    """Some keys of an MGET, all of which one node has: the way of nearly all keys, so without an object for each."""

    __slots__ = ("at", "keys", "places")

    def __init__(self, at: int) -> None:
        """Take which of the commands it is of."""
        self.at = at
        self.keys: list[bytes] = []
        self.places: list[int] = []

    @property
    def count(self) -> int:
        """See `Item`."""
        return len(self.keys)

    def words(self) -> Sequence[Packed]:
        """See `Item`."""
        batches = (self.keys[at : at + _KEYS_PER_BATCH] for at in range(0, len(self.keys), _KEYS_PER_BATCH))
        return [Packed(b"".join([_GET % (len(key), key) for key in batch]), len(batch)) for batch in batches]

    def parts(self) -> Sequence[Part]:
        """See `Item`."""
        return [
            Part(("GET", key), slot_of(key), self.at, place) for key, place in zip(self.keys, self.places, strict=True)
        ]

    def keep(self, replies: Sequence[Any], whole: list[Any]) -> list[tuple[Part, ReplyError]]:
        """See `Item`."""
        if ReplyError in set(map(type, replies)):
            pairs = zip(self.parts(), replies, strict=True)
            return [refused for part, reply in pairs for refused in part.keep((reply,), whole)]
        values = whole[self.at]
        for place, value in zip(self.places, replies, strict=True):
            values[place] = value
        return []


def parts_of(commands: Sequence[Command]) -> list[Part]:
    """Return the parts of commands other than MGET."""
    parts: list[Part] = []
    for at, command in enumerate(commands):
        if command[0] in _KEYLESS:
            parts.append(_KeylessPart(command, at))
        elif command[0] != "MGET":
            parts.append(Part(command, slot_of(_bytes(command[1])), at))
    return parts


def keys_of(command: Command, at: int, topology: Topology) -> tuple[dict[Node, Keys], list[Part]]:
    """Return the keys of an MGET by node, and those whose slot nobody serves.

    Args:
        command: The MGET.
        at: Which of the commands it is.
        topology: Which node serves which slot.
    """
    owners = topology.owners
    found: dict[Node, Keys] = {}
    unserved: list[Part] = []
    for place, word in enumerate(command[1:]):
        key = word if isinstance(word, bytes) else word.encode()
        slot = slot_of(key)
        node = owners[slot]
        if node is None:
            unserved.append(Part(("GET", key), slot, at, place))
            continue
        some = found.get(node)
        if some is None:
            some = found[node] = Keys(at)
        some.keys.append(key)
        some.places.append(place)
    return found, unserved


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


def _bytes(key: bytes | str) -> bytes:
    return key if isinstance(key, bytes) else key.encode()
