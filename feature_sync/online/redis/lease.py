"""The lease of a feature view, which admits one pusher at a time, and the fence, which stops late ones.

Both live in Redis and are timed by Redis. Taking the lease raises the fence, at least to the milliseconds of Redis's
clock: so a number never comes back, even after Redis was emptied or restored. Each write of a push takes effect only
while the fence has that push's number. So a pusher that was suspended until another took the lease writes nothing more.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import msgspec
import redis

from feature_sync.errors import LeaseHeld, OnlineStoreError
from feature_sync.online.keys import ViewKeys
from feature_sync.online.marks import Holder, read_holder

RENEWALS_PER_LEASE = 3
SECONDS_BETWEEN_TRIES = 0.2
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
"""Returns the fence, or 0 and the holder. Idempotent: run again after a lost reply, it finds its own token as holder.

`%.0f` because Lua writes large numbers with an exponent."""
_RENEW = """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] or (not holder and redis.call('GET', KEYS[2]) == ARGV[3]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
return 0
"""
"""Also takes back a lease that expired, unless another pusher has taken it since: then the fence is higher."""
_GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@contextmanager
def hold_lease(
    client: redis.Redis, view: ViewKeys, *, duration: timedelta, wait: bool, stopped: Callable[[], bool]
) -> Iterator[int]:
    """Take the lease of a view, renew it in the background, and give it back at the exit; yields the fence.

    Args:
        client: A client whose user may run scripts.
        view: The keys of the view.
        duration: How long Redis keeps the lease without a renewal.
        wait: Wait while another pusher holds the lease.
        stopped: Ends the waiting when it returns True.

    Raises:
        LeaseHeld: Another pusher holds it, and `wait` is False.
        OnlineStoreError: `stopped` ended the waiting.
    """
    keys = [view.lease, view.fence]
    run: Callable[..., Any] = client.eval
    milliseconds = duration // timedelta(milliseconds=1)
    mine = new_holder(server_time(client))
    while True:
        fence, other = run(_TAKE, len(keys), *keys, mine, milliseconds)
        if fence:
            break
        holder = read_holder(other)
        if not wait and holder is not None:
            since = f"{holder.since:%Y-%m-%d %H:%M:%S}Z"
            raise LeaseHeld(f"{view.name}: {holder.who} has been pushing it since {since}; wait with --wait")
        if stopped():
            raise OnlineStoreError("stopped while waiting for another push")
        time.sleep(SECONDS_BETWEEN_TRIES)
    ended = Event()

    def renew() -> None:
        while not ended.wait(duration.total_seconds() / RENEWALS_PER_LEASE):
            with suppress(redis.RedisError):  # a later renewal succeeds, or a write finds the fence raised
                run(_RENEW, len(keys), *keys, mine, milliseconds, fence)

    renewing = Thread(target=renew, name=f"lease of {view.name}", daemon=True)
    renewing.start()
    try:
        yield int(fence)
    finally:
        ended.set()
        renewing.join()  # before the lease is given back: a renewal afterwards would take it again
        with suppress(redis.RedisError):  # then the lease expires by itself
            run(_GIVE_BACK, 1, keys[0], mine)


def new_holder(since: datetime) -> bytes:
    """Return who takes a lease at a moment, with a random token, as Redis holds it."""
    who = f"{_user()}@{socket.gethostname()}, process {os.getpid()},"
    return msgspec.json.encode(Holder(who=who, since=since, token=secrets.token_hex(8)))


def server_time(client: redis.Redis) -> datetime:
    """Read the clock of Redis, in UTC."""
    ask: Callable[[], Any] = client.time
    seconds, microseconds = ask()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        return "unknown"
