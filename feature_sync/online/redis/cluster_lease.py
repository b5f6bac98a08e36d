"""The lease of a feature view on a cluster, and its fence, which stands in every hash slot.

The lease is one key. Its script also raises the fence of that key's slot, which numbers the lease; then the fences of
all other slots are raised to it. Only then marks are read and rows written: a pusher with a lower fence writes nothing
more, in any slot. A failover may lose a lease or some fences, and nodes' clocks may differ: where a slot has a higher
fence, the lease takes a number above it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Event, Thread

from feature_sync.errors import LeaseHeld, OnlineStoreError
from feature_sync.online.keys import ViewKeys
from feature_sync.online.marks import read_holder
from feature_sync.online.redis.cluster_nodes import ClusterNodes
from feature_sync.online.redis.cluster_scripts import GIVE_BACK, RAISE, RENEW, TAKE, Call, Script, script_call
from feature_sync.online.redis.cluster_sender import PAUSES_PUSHING, ClusterSender
from feature_sync.online.redis.cluster_slots import SlotKeys
from feature_sync.online.redis.lease import RENEWALS_PER_LEASE, SECONDS_BETWEEN_TRIES
from feature_sync.online.slots import SLOTS, slot_of

_MOST_RAISES = 20


class ClusterLease:
    """The lease of one view, for one push."""

    def __init__(self, nodes: ClusterNodes, view: ViewKeys, slots: SlotKeys, duration: timedelta, mine: bytes) -> None:
        """Prepare to take the lease.

        Args:
            nodes: The nodes of the cluster.
            view: The keys of the view.
            slots: Its keys and fields in the slots.
            duration: How long a node keeps the lease without a renewal.
            mine: Who takes it, and a random token.
        """
        self._nodes = nodes
        self._view = view
        self._slots = slots
        self._mine = mine
        self._duration = duration
        self._milliseconds = b"%d" % (duration // timedelta(milliseconds=1))
        self._slot = slot_of(view.lease.encode())

    def take(self, *, wait: bool, stopped: Callable[[], bool]) -> int:
        """Take the lease, and raise the fences of all slots; returns the fence.

        Raises:
            LeaseHeld: Another pusher holds it, and `wait` is False.
            OnlineStoreError: `stopped` ended the waiting, or the cluster failed.
        """
        least = 0
        with self._sending() as sender:
            for _ in range(_MOST_RAISES):
                fence = self._take(sender, least, wait=wait, stopped=stopped)
                text = b"%d" % fence
                highest = max(map(int, sender.run([self._raise(slot, text) for slot in range(SLOTS)])))
                if highest == fence:
                    return fence
                least = highest + 1
        raise OnlineStoreError(f"{self._view.name}: others take its lease all the time; push again")

    @contextmanager
    def renewed(self, fence: int) -> Iterator[None]:
        """Renew the lease in the background, and give it back at the exit."""
        ended = Event()
        text = b"%d" % fence

        def renew() -> None:
            while not ended.wait(self._duration.total_seconds() / RENEWALS_PER_LEASE):
                with suppress(OnlineStoreError), self._sending() as sender:  # a later one succeeds, or a write fails
                    sender.run([self._call(RENEW, self._slots.fence, self._mine, self._milliseconds, text)])

        renewing = Thread(target=renew, name=f"lease of {self._view.name}", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()  # before the lease is given back: a renewal afterwards would take it again
            with suppress(OnlineStoreError), self._sending() as sender:  # else the lease expires by itself
                sender.run([script_call(GIVE_BACK, self._slot, [self._view.lease], [self._mine])])

    def _take(self, sender: ClusterSender, least: int, *, wait: bool, stopped: Callable[[], bool]) -> int:
        call = self._call(TAKE, self._slots.fence, self._mine, self._milliseconds, b"%d" % least)
        while True:
            fence, other = sender.run([call])[0]
            if int(fence):
                return int(fence)
            holder = read_holder(other)
            if not wait and holder is not None:
                since = f"{holder.since:%Y-%m-%d %H:%M:%S}Z"
                raise LeaseHeld(f"{self._view.name}: {holder.who} has been pushing it since {since}; wait with --wait")
            if stopped():
                raise OnlineStoreError("stopped while waiting for another push")
            time.sleep(SECONDS_BETWEEN_TRIES)

    def _raise(self, slot: int, fence: bytes) -> Call:
        return script_call(RAISE, slot, [self._slots.key(slot)], [self._slots.fence, fence])

    def _call(self, script: Script, *arguments: bytes) -> Call:
        return script_call(script, self._slot, [self._slots.key(self._slot), self._view.lease], arguments)

    @contextmanager
    def _sending(self) -> Iterator[ClusterSender]:
        sender = ClusterSender(self._nodes, pauses=PAUSES_PUSHING)
        try:
            yield sender
        finally:
            sender.close()
