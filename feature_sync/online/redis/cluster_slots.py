"""What pushes keep in each hash slot of a cluster: the fence and the mark of each view, and revisions that are due."""

from __future__ import annotations

from collections.abc import Sequence

from feature_sync.online.keys import slot_key
from feature_sync.online.marks import SlotMark
from feature_sync.online.redis.cluster_scripts import Call, command
from feature_sync.online.slots import SLOTS, tags


def due_revision(key: str) -> bytes:
    """Return the field that says that a new revision is due, since the value of a key of the slot has changed."""
    return f"r:{key}".encode()


class SlotKeys:
    """The keys of all slots, and the fields of one view."""

    def __init__(self, key_prefix: str, reference: str) -> None:
        """Name the fields of a view; see `feature_sync.online.keys`."""
        self._keys = [slot_key(key_prefix, tag) for tag in tags()]
        self.fence = f"f:{reference}".encode()
        self.mark = f"m:{reference}".encode()

    def key(self, slot: int) -> bytes:
        """Return the key of a slot's hash."""
        return self._keys[slot]

    def ask_marks(self) -> list[Call]:
        """Return the calls that read the marks of all slots."""
        return [command(self._keys[slot], "HGET", self.mark) for slot in range(SLOTS)]


def read_slot_marks(contents: Sequence[bytes | None]) -> tuple[SlotMark | None, ...]:
    """Read the marks of all slots; None where there is none, or one that no push writes."""
    return tuple(None if each is None else _read(each) for each in contents)


def _read(content: bytes) -> SlotMark | None:
    status, _, push = content.decode(errors="replace").partition(" ")
    return SlotMark(status, push) if push else None
