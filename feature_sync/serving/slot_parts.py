"""Commands cut by hash slot: a Redis Cluster takes a command only with keys of one slot, at the node that serves it.

The rows of an entity are asked for by an MGET, those of one view by a GET. An MGET that meets a slot that moves, of
which a node may have some keys, and another the others, becomes a GET for each key.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hiredis import ReplyError

from feature_sync.online.slots import slot_of
from feature_sync.online.topology import Node, Topology
from feature_sync.serving.endpoint import Command, Packed
from feature_sync.serving.row_reads import Places, RowGroup, RowReads

_ASKING = ("ASKING",)
_KEYLESS = ("PING", "SCAN")
_CURSOR = b"%d-%b"
"""A cursor of SCAN through a cluster: which primary, and the cursor of its own SCAN."""
_END = b"0"
_ENTITIES_PER_BATCH = 200


class Item(ABC):
    """What one node is asked."""

    __slots__ = ()

    @property
    @abstractmethod
    def count(self) -> int:
        """How many replies there are."""

    @abstractmethod
    def words(self) -> Iterable[Command | Packed]:
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

    def __init__(self, command: Command, slot: int, at: int, place: Any = None) -> None:
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


class Rows(Item):
    """The rows of entities that one node has: the way of nearly all keys, so without an object for each."""

    __slots__ = ("at", "group", "reads", "tags")

    def __init__(self, at: int, reads: RowReads, group: RowGroup, tags: Sequence[bytes]) -> None:
        """Take what to read.

        Args:
            at: Which of the commands it is of.
            reads: That command.
            group: Of which selections.
            tags: The text in the braces of each entity's keys.
        """
        self.at = at
        self.reads = reads
        self.group = group
        self.tags = tags

    @property
    def count(self) -> int:
        """See `Item`."""
        return len(self.tags)

    def words(self) -> Iterator[Packed]:
        """See `Item`."""
        for begin in range(0, len(self.tags), _ENTITIES_PER_BATCH):
            tags = self.tags[begin : begin + _ENTITIES_PER_BATCH]
            yield Packed(self.group.packed(tags), len(tags))

    def parts(self) -> list[Part]:
        """See `Item`."""
        return [part for tag in self.tags for part in self._parts(tag)]

    def _parts(self, tag: bytes) -> list[Part]:
        keyed = zip(self.group.selections, self.group.begins, strict=True)
        return [
            Part(("GET", b"%b%b}" % (begin, tag)), slot_of(b"{%b}" % tag), self.at, (selection, tag))
            for selection, begin in keyed
        ]

    def keep(self, replies: Sequence[Any], whole: list[Any]) -> list[tuple[Part, ReplyError]]:
        """See `Item`."""
        is_single = len(self.group.selections) == 1
        if ReplyError in set(map(type, replies)):
            rows = zip(replies) if is_single else replies
            pairs = zip(self.tags, replies, rows, strict=True)
            return [refused for tag, reply, row in pairs for refused in self._keep_one(tag, reply, row, whole)]
        columns = [replies] if is_single else zip(*replies, strict=True)
        for selection, contents in zip(self.group.selections, columns, strict=True):
            self.reads.keep(selection, self.tags, contents)
        return []

    def _keep_one(self, tag: bytes, reply: Any, row: Sequence[Any], whole: list[Any]) -> list[tuple[Part, ReplyError]]:
        """Keep the reply for one entity, some of which are refused; the keys of an MGET may be on two nodes."""
        parts = self._parts(tag)
        if isinstance(reply, ReplyError) and len(parts) > 1:
            return [(part, reply) for part in parts]
        return [refused for part, each in zip(parts, row, strict=True) for refused in part.keep((each,), whole)]


def parts_of(commands: Sequence[Command]) -> list[Part]:
    """Return the parts of commands; those of rows are cut by `rows_of`."""
    parts: list[Part] = []
    for at, command in enumerate(commands):
        if command[0] in _KEYLESS:
            parts.append(_KeylessPart(command, at))
        elif isinstance(command, RowReads):
            continue
        elif command[0] != "MGET":
            parts.append(Part(command, slot_of(_bytes(command[1])), at))
        else:
            keys = map(_bytes, command[1:])
            parts += [Part(("GET", key), slot_of(key), at, place) for place, key in enumerate(keys)]
    return parts


def rows_of(reads: RowReads, at: int, places: Places) -> tuple[dict[Node, list[Rows]], list[Part]]:
    """Return rows by node, and those whose slot nobody serves.

    Args:
        reads: The command that reads them.
        at: Which of the commands it is.
        places: Which node has which keys.
    """
    found: dict[Node, list[Rows]] = {}
    unserved: list[Part] = []
    for group in reads.groups:
        for node, tags in zip(places.nodes, group.by_place(places), strict=True):
            if tags and node is None:
                unserved += Rows(at, reads, group, tags).parts()
            elif tags and node is not None:
                found.setdefault(node, []).append(Rows(at, reads, group, tags))
    return found, unserved


def only_slot(command: Command) -> int | None:
    """Return the slot of a command whose keys share it; None for another, or one without a key."""
    if isinstance(command, RowReads) or command[0] in _KEYLESS:
        return None
    slot = slot_of(_bytes(command[1]))
    if command[0] == "MGET":
        for key in command[2:]:
            if slot_of(_bytes(key)) != slot:
                return None
    return slot


def _bytes(key: bytes | str) -> bytes:
    return key if isinstance(key, bytes) else key.encode()
