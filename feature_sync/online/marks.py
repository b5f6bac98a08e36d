"""What the online store itself knows of pushes: which one wrote a view last, whether it ended, and who pushes now."""

from __future__ import annotations

from datetime import datetime

import msgspec

from feature_sync.errors import OnlineStoreError

SENDING, DONE = "sending", "done"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The newest push of a view that touched its rows.

    `warehouse` names the table that it pushed, by the warehouse's address; `warehouse_id` is what that warehouse calls
    itself, empty in marks of older versions. `evicted_keys` is how many keys this run of Redis had evicted by then.
    """

    push: str
    status: str
    warehouse: str
    warehouse_id: str = ""
    run_id: str = ""
    evicted_keys: int = 0

    def to_json(self) -> bytes:
        """Write the mark as Redis holds it."""
        return msgspec.json.encode(self)


def read_mark(content: bytes | None, key: str) -> Mark | None:
    """Read a mark from Redis; None where there is none.

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
    """Who holds the lease of a view; `since` is by the store's own clock, in UTC."""

    who: str
    since: datetime
    token: str


def read_holder(content: bytes | None) -> Holder | None:
    """Read who holds a lease; None where nobody does.

    Raises:
        OnlineStoreError: It is not what a push writes.
    """
    try:
        return None if content is None else msgspec.json.decode(content, type=Holder)
    except (msgspec.DecodeError, RecursionError, ValueError) as unreadable:
        raise OnlineStoreError(f"a lease in Redis cannot be read ({unreadable}); delete it") from unreadable
