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
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import msgspec
import redis

from feature_sync.errors import LeaseHeld, OnlineStoreError
from feature_sync.online.keys import ViewKeys
from feature_sync.online.marks import Holder, read_holder

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


@contextmanager
def hold_lease(
    client: redis.Redis, view: ViewKeys, *, duration: timedelta, wait: bool, stopped: Callable[[], bool]
) -> Iterator[int]:
    """Take the lease of a view, renew it in the background, and give it back; returns the fence.

    Args:
        client: A connection whose user may run scripts.
        view: The keys of the view.
        duration: How long Redis waits for a renewal.
        wait: Wait while another pusher has the lease.
        stopped: Ends the waiting when it returns True.

    Raises:
        LeaseHeld: Another pusher has it, and `wait` is False.
    """
    keys = [view.lease, view.fence]
    run: Callable[..., Any] = client.eval
    milliseconds = duration // timedelta(milliseconds=1)
    mine = _holder(client)
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
        time.sleep(_SECONDS_BETWEEN_TRIES)
    ended = Event()

    def renew() -> None:
        while not ended.wait(duration.total_seconds() / _RENEWALS_PER_LEASE):
            with suppress(redis.RedisError):  # the next renewal, or the next write, will tell
                run(_RENEW, len(keys), *keys, mine, milliseconds, fence)

    renewing = Thread(target=renew, name=f"lease of {view.name}", daemon=True)
    renewing.start()
    try:
        yield int(fence)
    finally:
        ended.set()
        renewing.join()
        with suppress(redis.RedisError):  # then the lease ends by itself
            run(_GIVE_BACK, 1, keys[0], mine)


def _holder(client: redis.Redis) -> bytes:
    since = server_time(client)
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
        return "somebody"
