"""Writes one view to a cluster under its lease, slot by slot: each write compares the fence in its own slot.

What a standalone Redis does in one transaction takes several steps here, in an order in which a cut does no harm: a
push lists the view and marks it and all slots before the first row, and the slots as done after the last. Each slot's
mark stands behind its rows on the same node, so that a node that loses its newest writes loses the mark first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice

import msgspec

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import ServerState, ViewWriter
from feature_sync.online.codec import RowSchema
from feature_sync.online.keys import ViewKeys, revision_key, views_key
from feature_sync.online.marks import DONE, REPAIRING, SENDING, Mark
from feature_sync.online.redis.cards import new_revision
from feature_sync.online.redis.cluster_nodes import ClusterNodes
from feature_sync.online.redis.cluster_reader import ClusterReader
from feature_sync.online.redis.cluster_rows import set_rows
from feature_sync.online.redis.cluster_scripts import DELETE, RUN, Call, Words, command, script_call
from feature_sync.online.redis.cluster_sender import CHANGED, PAUSES_PUSHING, UNCOMMITTED, ClusterSender
from feature_sync.online.redis.cluster_slots import SlotKeys, due_revision
from feature_sync.online.redis.cluster_snapshot_writer import ClusterSnapshotWriter
from feature_sync.online.redis.fenced import too_few
from feature_sync.online.redis.schemas import readable_schemas
from feature_sync.online.rows import Row
from feature_sync.online.slots import SLOTS, slot_of
from feature_sync.online.streams import SnapshotWriter
from feature_sync.online.topology import Node

_KEYS_AT_ONCE = 20_000
_KEYS_PER_CALL = 500


class ClusterWriter(ViewWriter):
    """Writes while every slot's fence has this writer's number, to the primaries at which the lease was taken."""

    def __init__(
        self,
        nodes: ClusterNodes,
        reader: ClusterReader,
        slots: SlotKeys,
        keys: ViewKeys,
        *,
        key_prefix: str,
        reference: str,
        fence: int,
        server: ServerState,
        runs: Mapping[Node, str],
        acknowledge: Mapping[Node, int],
        now: Callable[[], datetime],
    ) -> None:
        """Prepare to write.

        Args:
            nodes: The nodes of the cluster.
            reader: Reads from them.
            slots: The view's keys and fields in the slots.
            keys: The other keys of the view.
            key_prefix: The key prefix of the store.
            reference: The reference of the view.
            fence: The number of the lease.
            server: What the nodes reported after the lease was taken.
            runs: The primaries, and their runs.
            acknowledge: How many replicas of each must have the writes of a push.
            now: Reads the clock of the cluster.
        """
        self.fence = fence
        self.server = server
        self._nodes = nodes
        self._reader = reader
        self._slots = slots
        self._keys = keys
        self._reference = reference
        self._views = views_key(key_prefix)
        self._revision = revision_key(key_prefix)
        self._runs = runs
        self._acknowledge = acknowledge
        self._now = now
        self._number = b"%d" % fence

    def check_lease(self) -> None:
        """See `ViewWriter`."""
        with self._sending() as sender:
            sender.run([self._fenced(self._keys.lease)])

    def publish(self, schema: RowSchema, mark: Mark | None) -> None:
        """See `ViewWriter`."""
        with self._sending() as sender:
            if mark is not None:
                sender.run([self._set_mark(mark)])
            self._publish(sender, schema, is_lost=False)

    def begin(self, mark: Mark, schema: RowSchema, *, lost: Collection[int] = ()) -> None:
        """See `ViewWriter`."""
        healthy = [slot for slot in range(SLOTS) if slot not in lost]
        with self._sending() as sender:
            sender.run([self._fenced(self._views, ("SADD", self._views, self._reference))])
            sender.run([self._set_mark(msgspec.structs.replace(mark, status=SENDING))])
            sender.run([self._mark_slot(slot, REPAIRING, mark.push) for slot in lost])
            sender.run([self._mark_slot(slot, SENDING, mark.push) for slot in healthy])
            self._publish(sender, schema, is_lost=bool(lost))

    def mark_slots(self, mark: Mark, slots: Collection[int], *, are_done: bool) -> None:
        """See `ViewWriter`."""
        with self._sending() as sender:
            if are_done:
                self._mark_slots(sender, mark, slots)
                sender.run([self._set_mark(msgspec.structs.replace(mark, status=DONE))])
                return
            # What else the lost slots may have held: the reference, and a revision that readers have missed.
            sender.run([self._fenced(self._views, ("SADD", self._views, self._reference))])
            sender.run([self._mark_slot(slot, REPAIRING, mark.push) for slot in slots])
            sender.run([self._set_revision()])

    def write(self, batches: Iterable[Sequence[Row]]) -> None:
        """See `ViewWriter`."""
        with self._sending() as sender:
            set_rows(sender, self._slots, self._keys.rows.encode(), self._number, batches)

    def delete(self, keys: Iterable[bytes]) -> int:
        """See `ViewWriter`."""
        deleted, rest = 0, iter(keys)
        with self._sending() as sender:
            while batch := list(islice(rest, _KEYS_AT_ONCE)):
                groups: dict[int, list[bytes]] = {}
                for key in batch:
                    groups.setdefault(slot_of(key), []).append(key)
                deleted += sum(sender.run([call for each in groups.items() for call in self._delete(*each)]))
        return deleted

    def finish(self, mark: Mark, schema: RowSchema, *, is_only: bool, streamed: RowSchema | None = None) -> None:
        """See `ViewWriter`."""
        schemas = self._keys.schemas
        with self._sending() as sender:
            self._mark_slots(sender, mark, range(SLOTS))
            if is_only:
                stored = [part for each in (schema, streamed) if each is not None for part in (each.id, each.to_json())]
                sender.run([self._fenced(schemas, ("DEL", schemas), ("HSET", schemas, *stored))])
            sender.run([self._set_mark(msgspec.structs.replace(mark, status=DONE))])

    def beside_stream(self) -> SnapshotWriter:
        """See `ViewWriter`."""
        return ClusterSnapshotWriter(self._sending, self._reader, self._slots, self._keys, self._number)

    def forget(self) -> None:
        """See `ViewWriter`. The reference goes last: by it the next `prune` finds what is left."""
        self.beside_stream().remove_stream()
        with self._sending() as sender:
            sender.run([self._in_slot(slot, "HDEL", self._slots.mark) for slot in range(SLOTS)])
            sender.run([self._fenced(self._keys.mark, ("DEL", self._keys.mark))])
            sender.run([self._fenced(self._keys.schemas, ("DEL", self._keys.schemas))])
            sender.run([self._set_revision()])
            sender.run([self._fenced(self._views, ("SREM", self._views, self._reference))])

    def _publish(self, sender: ClusterSender, schema: RowSchema, *, is_lost: bool) -> None:
        """Store a schema, then a new revision: unless readers know the schema, or may have missed a revision.

        Until the revision is set, a field of the schema's slot says that it is due: the next push sets it if this one
        is cut off.
        """
        key, slot = self._keys.schemas, slot_of(self._keys.schemas.encode())
        due = self._slots.key(slot), due_revision(key)
        found, is_due = sender.run([command(key, "HGETALL"), command(due[0], "HGET", due[1])])
        known = readable_schemas(key, dict(zip(found[::2], found[1::2], strict=True)), strict=False)
        newest = next(reversed([*known.values()]), None)
        store = ("HSET", key, schema.id, schema.to_json())
        if is_lost or is_due or newest is None or msgspec.structs.replace(newest, fence=schema.fence) != schema:
            sender.run([self._fenced(key, ("HSET", *due, "1"), store)])
            sender.run([self._set_revision()])
            sender.run([self._in_slot(slot, "HDEL", due[1])])
        else:
            sender.run([self._fenced(key, store)])

    def _mark_slots(self, sender: ClusterSender, mark: Mark, slots: Collection[int]) -> None:
        """Mark slots as done, if all nodes are still what they were, and wait for the replicas."""
        for node in self._runs:
            with self._nodes.translating(node):
                sender.connection(node)
                sender.check(node)
        sender.run([self._mark_slot(slot, DONE, mark.push) for slot in slots])
        self._wait(sender, mark, slots)

    def _wait(self, sender: ClusterSender, mark: Mark, slots: Collection[int]) -> None:
        """Wait until replicas have the marks, and so all that was written before.

        Raises:
            OnlineStoreError: Too few have them in time.
        """
        written = {sender.owner(slot): slot for slot in slots}
        milliseconds = b"%d" % max(int(self._nodes.timeout * 500), 1)
        for node, wanted in self._acknowledge.items():
            slot = written.get(node)
            if not wanted or slot is None:
                continue
            # The mark again, over the same connection: WAIT regards only what its own connection has written.
            reply = sender.run(
                [self._mark_slot(slot, DONE, mark.push), Call(slot, ("WAIT", b"%d" % wanted, milliseconds))]
            )[1]
            if reply < wanted:
                where = f"Redis at {self._nodes.address.at(node).where}"
                raise OnlineStoreError(too_few(reply, wanted, where))

    def _set_mark(self, mark: Mark) -> Call:
        return self._fenced(self._keys.mark, ("SET", self._keys.mark, mark.to_json()))

    def _set_revision(self) -> Call:
        return self._fenced(self._revision, ("SET", self._revision, new_revision(self._now())))

    def _mark_slot(self, slot: int, status: str, push: str) -> Call:
        return self._in_slot(slot, "HSET", self._slots.mark, f"{status} {push}".encode())

    def _in_slot(self, slot: int, name: str, *arguments: bytes) -> Call:
        key = self._slots.key(slot)
        return script_call(RUN, slot, [key], [*self._arguments, *_counted((name, key, *arguments))])

    def _fenced(self, key: str, *commands: Words) -> Call:
        """Return the call that runs commands of one key under the fence of its slot."""
        slot = slot_of(key.encode())
        words = [word for each in commands for word in _counted(each)]
        return script_call(RUN, slot, [self._slots.key(slot), key], [*self._arguments, *words])

    def _delete(self, slot: int, keys: Sequence[bytes]) -> Iterator[Call]:
        for at in range(0, len(keys), _KEYS_PER_CALL):
            some = keys[at : at + _KEYS_PER_CALL]
            yield script_call(DELETE, slot, [self._slots.key(slot), *some], self._arguments)

    @property
    def _arguments(self) -> tuple[bytes, bytes]:
        return self._slots.fence, self._number

    @contextmanager
    def _sending(self) -> Iterator[ClusterSender]:
        sender = ClusterSender(self._nodes, runs=self._runs, pauses=PAUSES_PUSHING)
        try:
            if unknown := {*self._nodes.topology.primaries} - self._runs.keys():
                self._nodes.refresh()
                if unknown & {*self._nodes.topology.primaries}:
                    raise OnlineStoreError(f"{CHANGED}; {UNCOMMITTED}")
            yield sender
        finally:
            sender.close()


def _counted(words: Words) -> Words:
    return (b"%d" % len(words), *words)
