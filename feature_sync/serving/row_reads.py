"""The rows of many entities in a Redis Cluster: an MGET that is cut by node, and decoded as each node answers."""

from __future__ import annotations

from array import array
from binascii import crc_hqx
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, groupby, repeat
from typing import Any, NamedTuple

from feature_sync.online.slots import SLOTS
from feature_sync.online.topology import Node, Topology
from feature_sync.serving.layouts import Row

Decode = Callable[[Sequence[bytes | None]], list[Row] | None]
"""Reads rows; None if they need a closer look."""
_CHECKSUMS = 65_536


class Places(NamedTuple):
    """Which node has which keys.

    Args:
        nodes: The primaries; None for one that serves nothing.
        of_checksum: For the CRC-16 of the text in a key's braces, which of the nodes; so too for a slot.
    """

    nodes: tuple[Node | None, ...]
    of_checksum: array[int]


def places_of(topology: Topology) -> Places:
    """Return the places of keys; takes a millisecond."""
    nodes: list[Node | None] = []
    known: dict[Node | None, int] = {}
    places = array("H")
    for node, slots in groupby(topology.owners):
        if node not in known:
            known[node] = len(nodes)
            nodes.append(node)
        places.extend([known[node]] * sum(1 for _ in slots))
    return Places(tuple(nodes), places * (_CHECKSUMS // SLOTS))


class _Commands(dict[int, tuple[bytes, ...]]):
    """The command that reads an entity's rows: what is before, between and after its tags, by the length of a tag."""

    def __init__(self, begins: Sequence[bytes]) -> None:
        self._begins = begins

    def __missing__(self, length: int) -> tuple[bytes, ...]:
        head = b"*2\r\n$3\r\nGET" if len(self._begins) == 1 else b"*%d\r\n$4\r\nMGET" % (len(self._begins) + 1)
        keys = [b"\r\n$%d\r\n%b" % (len(begin) + length + 1, begin) for begin in self._begins]
        pieces = (head + keys[0], *(b"}" + key for key in keys[1:]), b"}\r\n")
        self[length] = pieces
        return pieces


_commands_of = lru_cache(maxsize=1_000)(_Commands)


class RowGroup(NamedTuple):
    """Selections of the same entities: their keys have the same tags, so that the rows of an entity share a slot.

    Args:
        selections: Which selections.
        begins: What the keys of each begin with, up to the opening brace.
        tags: For each entity the text in the braces of its keys.
    """

    selections: tuple[int, ...]
    begins: tuple[bytes, ...]
    tags: Sequence[bytes]

    def by_place(self, places: Places) -> list[list[bytes]]:
        """Return, for each node, the tags that it has."""
        found: list[list[bytes]] = [[] for _ in places.nodes]
        of_checksum = places.of_checksum
        for tag in self.tags:
            found[of_checksum[crc_hqx(tag, 0)]].append(tag)
        return found

    def packed(self, tags: Sequence[bytes]) -> bytes:
        """Encode a command for each tag, a GET, or an MGET if there are several selections."""
        commands = _commands_of(self.begins)
        return b"".join([tag.join(commands[len(tag)]) for tag in tags])


class RowReads(Sequence[bytes | str]):
    """Reads all rows of a request, as an MGET does; a cluster cuts it by node, and hands over what each node answers.

    Rows are decoded at once, while other nodes are awaited.
    """

    __slots__ = ("_chunks", "_columns", "_decoders", "_rows", "_tags", "found", "groups")

    def __init__(
        self, columns: Sequence[Sequence[bytes]], begins: Sequence[bytes], decoders: Sequence[Decode | None]
    ) -> None:
        """Take what to read.

        Args:
            columns: The row keys by selection.
            begins: What they begin with, up to the opening brace, which has no braces before it.
            decoders: How rows are read; None for a selection whose rows are read later.
        """
        self._columns = columns
        self._tags = [
            [key[width:-1] for key in column] for column, width in zip(columns, map(len, begins), strict=True)
        ]
        self.groups = tuple(_groups(self._tags, begins))
        self.found: dict[tuple[int, bytes], bytes | None] = {}
        """What was found at keys that were asked for one by one, by selection and tag."""
        self._decoders = decoders
        self._rows: list[dict[bytes, Row] | None] = [None if each is None else {} for each in decoders]
        self._chunks: list[tuple[int, Sequence[bytes], Sequence[bytes | None]]] = []

    def __len__(self) -> int:
        return 1 + sum(map(len, self._columns))

    def __getitem__(self, at: Any) -> Any:
        return ("MGET", *chain.from_iterable(self._columns))[at]

    def keep(self, selection: int, tags: Sequence[bytes], contents: Sequence[bytes | None]) -> None:
        """Keep what a node answers, and decode it unless rows of the selection need a closer look."""
        self._chunks.append((selection, tags, contents))
        decode, known = self._decoders[selection], self._rows[selection]
        if decode is None or known is None:
            return
        rows = decode(contents)
        if rows is None:
            self._rows[selection] = None
        else:
            known.update(zip(tags, rows, strict=True))

    def contents(self) -> list[bytes | None]:
        """Return what was found, in the order of the keys: the reply to an MGET."""
        found = dict(self.found)
        for selection, tags, contents in self._chunks:
            found.update(zip(zip(repeat(selection), tags), contents, strict=True))
        return [found[selection, tag] for selection, tags in enumerate(self._tags) for tag in tags]

    def rows(self) -> list[list[Row]] | None:
        """Return the rows of each selection, in the order of its keys; None unless all are decoded."""
        if self.found or None in self._rows:
            return None
        return [
            [*map(known.__getitem__, tags)]
            for known, tags in zip(self._rows, self._tags, strict=True)
            if known is not None
        ]


def _groups(tags: Sequence[Sequence[bytes]], begins: Sequence[bytes]) -> Iterator[RowGroup]:
    """Put selections of the same entities together."""
    left = [*range(len(tags))]
    while left:
        alike = [each for each in left if tags[each] == tags[left[0]]]
        yield RowGroup(tuple(alike), tuple(begins[each] for each in alike), tags[left[0]])
        left = [each for each in left if each not in alike]
