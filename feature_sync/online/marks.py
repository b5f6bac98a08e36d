"""What the online store records of pushes: the newest push of a view, whether it ended, and who pushes now."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec

from feature_sync.errors import OnlineStoreError

SENDING, DONE = "sending", "done"
REPAIRING = "repairing"
"""The status of a slot of a cluster whose rows are all being sent anew."""


class SlotMark(NamedTuple):
    """The newest push that touched a hash slot of a cluster: its status (`SENDING`, `DONE`, `REPAIRING`) and id."""

    status: str
    push: str


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The newest push of a view that touched its rows.

    Args:
        push: The id of the push.
        status: `SENDING` or `DONE`.
        warehouse: The address of the warehouse, and the relation pushed.
        warehouse_id: The random id kept in that warehouse; empty in marks of older versions.
        run_id: The run of Redis that it was pushed to.
        evicted_keys: How many keys that run had evicted when the push began.
    """

    push: str
    status: str
    warehouse: str
    warehouse_id: str = ""
    run_id: str = ""
    evicted_keys: int = 0

    def to_json(self) -> bytes:
        """Return the mark as Redis holds it."""
        return msgspec.json.encode(self)


def read_mark(content: bytes | None, key: str) -> Mark | None:
    """Read the mark stored at a Redis key; None if there is none.

    Raises:
        OnlineStoreError: It is not what a push writes.
    """
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=Mark)
    except (msgspec.DecodeError, RecursionError, ValueError) as unreadable:
        raise OnlineStoreError(
            f"{key} in Redis cannot be read ({unreadable}); delete it and push again"
        ) from unreadable


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the lease of a view; `since` is by the store's own clock, in UTC.

    `token` is random: it makes two leases of one process differ.
    """

    who: str
    since: datetime
    token: str


def read_holder(content: bytes | None) -> Holder | None:
    """Read the holder of a lease; None if it is free.

    Raises:
        OnlineStoreError: It is not what a push writes.
    """
    try:
        return None if content is None else msgspec.json.decode(content, type=Holder)
    except (msgspec.DecodeError, RecursionError, ValueError) as unreadable:
        raise OnlineStoreError(f"a lease in Redis cannot be read ({unreadable}); delete it") from unreadable
