"""Writes rows to a cluster at full speed: one script a slot, all nodes at once, the next rows encoded meanwhile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from feature_sync.online.redis.cluster_scripts import WRITE, Call, script_call
from feature_sync.online.redis.cluster_sender import ClusterSender
from feature_sync.online.redis.cluster_slots import SlotKeys
from feature_sync.online.rows import Row
from feature_sync.online.slots import row_slots
from feature_sync.online.topology import Node

_ROWS_AT_ONCE = 50_000
"""So many that a slot gets three rows: each script call costs as much as a few rows."""
_Slots = Mapping[int, Sequence[Row]]


class _Part(NamedTuple):
    """What is sent to one node: rows by slot, their bytes, and the replies that must come."""

    rows: _Slots
    content: bytes
    replies: bytes


def set_rows(
    sender: ClusterSender, slots: SlotKeys, begin: bytes, fence: bytes, batches: Iterable[Sequence[Row]]
) -> None:
    """Set rows. Redis stores nothing for a row that has expired already.

    Args:
        sender: Sends to the nodes.
        slots: The view's keys and fields in the slots.
        begin: What all row keys of the view begin with, up to the opening brace.
        fence: The fence of the push.
        batches: The rows.
    """
    writing = _Writing(sender, slots, begin, fence)
    chunk: list[Row] = []
    for rows in batches:
        chunk += rows
        if len(chunk) >= _ROWS_AT_ONCE:
            writing.send(chunk)
            chunk = []
    writing.send(chunk)
    writing.confirm()


class _Writing:
    def __init__(self, sender: ClusterSender, slots: SlotKeys, begin: bytes, fence: bytes) -> None:
        self._sender = sender
        self._slots = slots
        self._begin = begin
        self._fence = fence
        self._head = b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % WRITE.name.encode()
        self._fenced = _bulk(slots.fence) + _bulk(fence)
        self._on_the_wire: dict[Node, _Part] = {}

    def send(self, rows: Sequence[Row]) -> None:
        """Send rows after those before are confirmed: only one chunk can be lost, and sent again."""
        groups: dict[int, list[Row]] = defaultdict(list)
        for slot, row in zip(row_slots(self._begin, [key for key, _, _ in rows]), rows, strict=True):
            groups[slot].append(row)
        parts: dict[Node | None, dict[int, list[Row]]] = {}
        for slot, some in groups.items():
            parts.setdefault(self._sender.owner(slot), {})[slot] = some
        packed = {node: self._pack(part) for node, part in parts.items() if node is not None}
        self.confirm()
        self._resend(parts.get(None, {}))
        for node, part in packed.items():
            self._on_the_wire[node] = part
            self._sender.send(node, part.content)

    def confirm(self) -> None:
        """Wait for all replies. Calls whose replies are lost, or not as they must be, are sent again one by one."""
        parts, self._on_the_wire = self._on_the_wire, {}
        again: dict[int, Sequence[Row]] = {}
        for node, part in parts.items():
            if not self._sender.expect(node, part.replies):
                again.update(part.rows)
        self._resend(again)

    def _resend(self, rows: _Slots) -> None:
        if rows:
            self._sender.run([self._call(slot, some) for slot, some in rows.items()])

    def _call(self, slot: int, rows: Sequence[Row]) -> Call:
        keys = [self._slots.key(slot), *(key for key, _, _ in rows)]
        content = [part for _, value, end in rows for part in (value, b"" if end is None else b"%d" % end)]
        return script_call(WRITE, slot, keys, [self._slots.fence, self._fence, *content])

    def _pack(self, slots: _Slots) -> _Part:
        parts: list[bytes] = []
        for slot, rows in slots.items():
            count = len(rows) + 1
            keys = [b"$%d\r\n%b\r\n" % (len(key), key) for key, _, _ in rows]
            values = [
                b"$%d\r\n%b\r\n$0\r\n\r\n" % (len(value), value)
                if end is None
                else b"$%d\r\n%b\r\n$%d\r\n%d\r\n" % (len(value), value, len(b"%d" % end), end)
                for _, value, end in rows
            ]
            number = b"*%d\r\n" % (3 * count + 3)
            parts += [number, self._head, _bulk(b"%d" % count), _bulk(self._slots.key(slot))]
            parts += [*keys, self._fenced, *values]
        replies = [b":%d\r\n" % len(rows) for rows in slots.values()]
        return _Part(slots, b"".join(parts), b"".join(replies))


def _bulk(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)
