"""Writes the rows of a stream to one view in a cluster: by a script for each slot, which compares as on one server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import chain

from feature_sync.online.keys import ViewKeys
from feature_sync.online.redis.cluster_nodes import ClusterNodes
from feature_sync.online.redis.cluster_reader import ClusterReader
from feature_sync.online.redis.cluster_scripts import Call, script_call, script_of
from feature_sync.online.redis.cluster_sender import ClusterSender
from feature_sync.online.redis.cluster_state import read_runs
from feature_sync.online.redis.cluster_streams import StreamKeys, as_one, read_records
from feature_sync.online.redis.stream_scripts import STREAM
from feature_sync.online.slots import row_slots
from feature_sync.online.streams import Streamed, StreamedRow, StreamRecord, StreamState, StreamWriter, pack_positions
from feature_sync.online.topology import Node

_ROWS_PER_CALL = 500
_PAUSES = (0.05, 0.1, 0.2, 0.4)
_STREAM = script_of(STREAM)
_ADVICE = "the stream goes back to the watermark"


class ClusterStreamWriter(StreamWriter):
    """Writes to the primaries, and the runs of them, of which the state was read.

    The epoch is that of all slots and runs. Writes tell those of the slots that they touch, and ask one more slot of a
    node without any, so that a node that fails over is noticed although no row is for it.
    """

    def __init__(self, nodes: ClusterNodes, reader: ClusterReader, *, keys: ViewKeys, topic: str) -> None:
        """Prepare to write; sends no command.

        Args:
            nodes: The nodes of the cluster.
            reader: Reads from them.
            keys: The Redis keys of the view.
            topic: The topic of the rows.
        """
        self._nodes = nodes
        self._reader = reader
        self._begin = keys.rows.encode()
        self._streams = StreamKeys(keys)
        self._topic = topic
        self._sender: ClusterSender | None = None
        self._epochs: list[bytes] = []
        self._epoch = ""
        self._probes: dict[Node, int] = {}
        self._closed: list[int] = []  # a slot that had no stream when asked last: while it has none, no other is asked

    def state(self) -> StreamState | None:
        """See `StreamWriter`. While a slot has no stream, which its node has lost, nothing is written in any."""
        self.close()
        if not all(map(_is_open, read_records(self._reader, self._streams, self._closed))):
            return None
        runs = read_runs(self._reader, self._nodes)  # before the records: another run is then noticed
        records = read_records(self._reader, self._streams)
        self._closed = [slot for slot, each in enumerate(records) if not _is_open(each)][:1]
        known = [each for each in records if each is not None and _is_open(each)]
        whole = as_one(known)
        if whole is None or self._closed or whole.snapshot.topic != self._topic:
            return None
        self._epochs = [each.epoch.encode() for each in known]
        told = [*sorted(runs.values()), *(each.epoch for each in known)]
        self._epoch = sha256("\n".join(told).encode()).hexdigest()
        slots = {node: self._nodes.topology.slots_of(node) for node in runs}
        self._probes = {node: some[0] for node, some in slots.items() if some}
        self._sender = ClusterSender(self._nodes, runs=runs, pauses=_PAUSES, advice=_ADVICE)
        return StreamState(watermark=whole.snapshot.watermark, epoch=self._epoch)

    def write(self, rows: Sequence[StreamedRow]) -> Streamed:
        """See `StreamWriter`."""
        if self._sender is None and self.state() is None:
            return Streamed(applied=0, seen=0, older=0, epoch="")
        assert self._sender is not None  # noqa: S101 - the state was read
        calls = [*self._calls(rows)]
        touched = {self._sender.owner(each.slot) for each in calls}
        calls += [self._call(slot, ()) for node, slot in self._probes.items() if node not in touched]
        replies = self._sender.run(calls)
        applied, seen, older = (sum(reply[at] for reply in replies) for at in range(3))
        is_same = all(reply[3] == self._epochs[call.slot] for call, reply in zip(calls, replies, strict=True))
        return Streamed(applied=applied, seen=seen, older=older, epoch=self._epoch if is_same else "")

    def close(self) -> None:
        """See `StreamWriter`."""
        if self._sender is not None:
            self._sender.close()
        self._sender = None

    def _calls(self, rows: Sequence[StreamedRow]) -> Iterator[Call]:
        groups: dict[int, list[StreamedRow]] = {}
        for slot, row in zip(row_slots(self._begin, [row.key for row in rows]), rows, strict=True):
            groups.setdefault(slot, []).append(row)
        for slot, some in groups.items():
            for at in range(0, len(some), _ROWS_PER_CALL):
                yield self._call(slot, some[at : at + _ROWS_PER_CALL])

    def _call(self, slot: int, rows: Sequence[StreamedRow]) -> Call:
        keys, values, ends, *places = zip(*rows, strict=True) if rows else [()] * len(StreamedRow._fields)
        contents = [each or b"" for each in values]
        moments = [b"" if each is None else b"%d" % max(each, 1) for each in ends]
        arguments = chain.from_iterable(zip(pack_positions(*places), contents, moments, strict=True))
        # A slot that moves answers no call of which one key exists and another, as a journal, does not; rows need it.
        names = (self._streams.stream(slot), self._streams.journal(slot))[: 2 if rows else 1]
        return script_call(_STREAM, slot, [*names, *keys], [self._topic.encode(), *arguments])


def _is_open(record: StreamRecord | None) -> bool:
    return record is not None and not record.is_closed
