"""The lease of a feature view: one pusher at a time, and a fence that tells late ones that they are out.

Both live in Redis and are timed by Redis. Whoever takes the lease raises the fence, at least to the milliseconds of
Redis's clock: so a number never comes back, even after Redis was emptied or restored. Each write of a push is made only
while the fence stands where that push raised it. So a pusher that was suspended, and wakes up when its lease has gone
to another, writes nothing more.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import msgspec
import redis

from feature_sync.errors import LeaseHeld, OnlineStoreError

_RENEWALS_PER_LEASE = 3
_SECONDS_BETWEEN_TRIES = 0.2
_TAKE = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  local holder = redis.call('GET', KEYS[1])
  if holder ~= ARGV[1] then return {0, holder} end
end
local now = redis.call('TIME')
local fence = math.max((redis.call('GET', KEYS[2]) or 0) + 1, now[1] * 1000 + math.floor(now[2] / 1000))
redis.call('SET', KEYS[2], string.format('%.0f', fence))
return {fence, ''}
"""
"""Run again because the answer was lost, it finds the lease taken by the very one who asks."""
_RENEW = """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] or (not holder and redis.call('GET', KEYS[2]) == ARGV[3]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
return 0
"""
_GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lease, as Redis keeps it; `since` is by Redis's own clock, in UTC."""

    who: str
    since: datetime
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease that this process holds: writes are made while `fence_key` holds `fence`."""

    view_prefix: str
    fence: int

    @property
    def fence_key(self) -> str:
        """Where the fence stands."""
        return fence_key(self.view_prefix)


def lease_key(view_prefix: str) -> str:
    """Where the lease of a view stands."""
    return f"{view_prefix}lease"


def fence_key(view_prefix: str) -> str:
    """Where the fence of a view stands."""
    return f"{view_prefix}fence"


def read_holder(content: bytes | None) -> Holder | None:
    """Read who holds a lease; None where nobody does."""
    try:
        return None if content is None else msgspec.json.decode(content, type=Holder)
    except (msgspec.DecodeError, RecursionError, ValueError) as unreadable:
        raise OnlineStoreError(f"a lease in Redis cannot be read ({unreadable}); delete it") from unreadable


@contextmanager
def hold_lease(
    client: Any, view_prefix: str, *, duration: timedelta, wait: bool, stopped: Callable[[], bool]
) -> Iterator[Lease]:
    """Take the lease of a view, renew it in the background, and give it back.

    Raises:
        LeaseHeld: Another pusher has it, and we do not `wait`.
    """
    keys = [lease_key(view_prefix), fence_key(view_prefix)]
    milliseconds = duration // timedelta(milliseconds=1)
    mine = _holder(client)
    while True:
        fence, other = client.eval(_TAKE, len(keys), *keys, mine, milliseconds)
        if fence:
            break
        holder = read_holder(other)
        if not wait and holder is not None:
            since = f"{holder.since:%Y-%m-%d %H:%M:%S}Z"
            raise LeaseHeld(f"{view_prefix}: {holder.who} has been pushing it since {since}; wait with --wait")
        if stopped():
            raise OnlineStoreError("stopped while waiting for another push")
        time.sleep(_SECONDS_BETWEEN_TRIES)
    ended = Event()

    def renew() -> None:
        while not ended.wait(duration.total_seconds() / _RENEWALS_PER_LEASE):
            with suppress(redis.RedisError):  # the next renewal, or the next write, will tell
                client.eval(_RENEW, len(keys), *keys, mine, milliseconds, fence)

    renewing = Thread(target=renew, name=f"lease of {view_prefix}", daemon=True)
    renewing.start()
    try:
        yield Lease(view_prefix=view_prefix, fence=int(fence))
    finally:
        ended.set()
        renewing.join()
        with suppress(redis.RedisError):  # then the lease ends by itself
            client.eval(_GIVE_BACK, 1, keys[0], mine)


def _holder(client: Any) -> bytes:
    seconds, microseconds = client.time()
    since = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
    who = f"{_user()}@{socket.gethostname()}, process {os.getpid()},"
    return msgspec.json.encode(Holder(who=who, since=since, token=secrets.token_hex(8)))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        return "somebody"
