"""One feature view in a Redis Cluster: its row schemas, marks, rows and lease."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import redis

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import Comparer, Held, OnlineView
from feature_sync.online.codec import RowSchema
from feature_sync.online.keys import NAME_OF_SLOTS, ViewKeys
from feature_sync.online.marks import Holder, Mark, SlotMark, read_holder, read_mark
from feature_sync.online.redis.cluster_lease import ClusterLease
from feature_sync.online.redis.cluster_nodes import ClusterNodes
from feature_sync.online.redis.cluster_reader import ClusterReader
from feature_sync.online.redis.cluster_scripts import Call, command
from feature_sync.online.redis.cluster_slots import SlotKeys, read_slot_marks
from feature_sync.online.redis.cluster_state import read_states, server_state_of
from feature_sync.online.redis.cluster_stream_writer import ClusterStreamWriter
from feature_sync.online.redis.cluster_streams import (
    StreamKeys,
    as_one,
    count_ahead,
    journal_entries,
    read_positions,
    read_records,
)
from feature_sync.online.redis.cluster_writer import ClusterWriter
from feature_sync.online.redis.globs import literal
from feature_sync.online.redis.lease import new_holder
from feature_sync.online.redis.schemas import readable_schemas
from feature_sync.online.rows import Row
from feature_sync.online.slots import slot_of
from feature_sync.online.streams import Position, StreamRecord


class ClusterView(OnlineView):
    """A feature view in a cluster, by its reference."""

    def __init__(
        self,
        nodes: ClusterNodes,
        reader: ClusterReader,
        *,
        key_prefix: str,
        reference: str,
        now: Callable[[], datetime],
    ) -> None:
        """Open a view; sends no command.

        Args:
            nodes: The nodes of the cluster.
            reader: Reads from them.
            key_prefix: The key prefix of the store.
            reference: The reference of the view.
            now: Reads the clock of the cluster.
        """
        super().__init__(key_prefix, reference)
        self._nodes = nodes
        self._reader = reader
        self._keys = ViewKeys(self.name)
        self._streams = StreamKeys(self._keys)
        self._now = now

    def schemas(self, *, strict: bool = False) -> Mapping[bytes, RowSchema]:
        """See `OnlineView`."""
        found = self._reader.ask(command(self._keys.schemas, "HGETALL"))
        pairs = dict(zip(found[::2], found[1::2], strict=True))
        return readable_schemas(self._keys.schemas, pairs, strict=strict)

    def schemas_named(self, ids: Sequence[bytes]) -> Mapping[bytes, RowSchema]:
        """See `OnlineView`."""
        contents = self._reader.ask(command(self._keys.schemas, "HMGET", *ids)) if ids else []
        found = {each: content for each, content in zip(ids, contents, strict=True) if content is not None}
        return readable_schemas(self._keys.schemas, found, strict=False)

    def stream_writer(self, topic: str) -> ClusterStreamWriter:
        """See `OnlineView`."""
        return ClusterStreamWriter(self._nodes, self._reader, keys=self._keys, topic=topic)

    def stream_record(self) -> StreamRecord | None:
        """See `OnlineView`."""
        records = read_records(self._reader, self._streams)
        return as_one(records, ahead=count_ahead(self._reader, self._streams) if any(records) else 0)

    def stream_positions(self, keys: Sequence[bytes]) -> list[Position | None]:
        """See `OnlineView`."""
        return read_positions(self._reader, self._streams, keys)

    def journal_keys(self) -> Iterator[Sequence[bytes]]:
        """See `OnlineView`."""
        for entries in journal_entries(self._reader, self._streams):
            yield [key for key, _ in entries]

    def mark(self) -> Mark | None:
        """See `OnlineView`."""
        return read_mark(self._reader.ask(command(self._keys.mark, "GET")), self._keys.mark)

    def slot_marks(self) -> Sequence[SlotMark | None]:
        """See `OnlineView`."""
        return read_slot_marks(self._reader.run(self._slots().ask_marks()))

    def holder(self) -> Holder | None:
        """See `OnlineView`."""
        return read_holder(self._reader.ask(command(self._keys.lease, "GET")))

    def row_keys(self) -> Iterator[list[bytes]]:
        """See `OnlineView`."""
        yield from self._reader.scan(literal(self._keys.rows) + "*")

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `OnlineView`."""
        # MGET, for a key of another type is then no error.
        return [found for (found,) in self._reader.run([command(key, "MGET") for key in keys])]

    def exist(self, keys: Sequence[bytes]) -> list[bool]:
        """See `OnlineView`."""
        return [bool(each) for each in self._reader.run([command(key, "EXISTS") for key in keys])]

    def memory_of(self, keys: Sequence[bytes]) -> list[int]:
        """See `OnlineView`."""
        calls = [Call(slot_of(key), ("MEMORY", "USAGE", key)) for key in keys]
        return [each for each in self._reader.run(calls) if each is not None]

    def shard(self, key: bytes) -> str | None:
        """See `OnlineView`."""
        owner = self._nodes.topology.owners[slot_of(key)]
        return None if owner is None else str(owner)

    def comparer(self) -> Comparer:
        """See `OnlineView`."""
        return _ClusterComparer(self._reader, probe=self._keys.schemas)

    @contextmanager
    def hold(
        self, *, duration: timedelta, wait: bool, stopped: Callable[[], bool], replicas: int | None = None
    ) -> Iterator[ClusterWriter]:
        """See `OnlineView`."""
        if self.reference == NAME_OF_SLOTS:
            raise OnlineStoreError(
                f"a feature view cannot be called {NAME_OF_SLOTS} on a Redis Cluster, where pushes use such keys: "
                "rename the dbt model"
            )
        slots = self._slots()
        lease = ClusterLease(self._nodes, self._keys, slots, duration, new_holder(self._now()))
        fence = lease.take(wait=wait, stopped=stopped)
        with lease.renewed(fence):
            states = read_states(self._reader, self._nodes)
            yield ClusterWriter(
                self._nodes,
                self._reader,
                slots,
                self._keys,
                key_prefix=self.key_prefix,
                reference=self.reference,
                fence=fence,
                server=server_state_of(states),
                runs={node: each.run for node, each in states.items()},
                acknowledge={
                    node: min(each.state.replicas, 1) if replicas is None else replicas for node, each in states.items()
                },
                now=self._now,
            )

    def _slots(self) -> SlotKeys:
        return SlotKeys(self.key_prefix, self.reference)


class _ClusterComparer(Comparer):
    """Compares the rows of one view: those of a batch with one request to each node."""

    def __init__(self, reader: ClusterReader, *, probe: str) -> None:
        self._reader = reader
        self.reports_expiry = self._can_ask_expiry(probe)

    def compare(
        self, batches: Iterable[Sequence[Row]]
    ) -> Generator[tuple[Sequence[Row], Sequence[Held] | None], None, None]:
        """See `Comparer`."""
        for rows in batches:
            held = self.read([key for key, _, _ in rows])
            is_same = all(
                each.value == value and (each.expires_at is None or each.expires_at == (-1 if end is None else end))
                for each, (_, value, end) in zip(held, rows, strict=True)
            )
            yield rows, None if is_same else held

    def read(self, keys: Sequence[bytes]) -> list[Held]:
        """See `Comparer`."""
        calls = [command(key, "MGET") for key in keys]
        calls += [command(key, "PEXPIRETIME") for key in keys] if self.reports_expiry else []
        replies: list[Any] = self._reader.run(calls)
        expiries = replies[len(keys) :] or [None] * len(keys)
        return [Held(value, end) for (value,), end in zip(replies[: len(keys)], expiries, strict=True)]

    def _can_ask_expiry(self, probe: str) -> bool:
        try:
            self._reader.ask(command(probe, "PEXPIRETIME"))
        except OnlineStoreError as refused:
            cause = refused.__cause__
            if isinstance(cause, redis.exceptions.NoPermissionError) or "unknown command" in str(cause).lower():
                return False
            raise
        return True
