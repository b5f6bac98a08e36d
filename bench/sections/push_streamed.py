"""Writing a pushed snapshot beside a stream, each row compared with what is there, and without one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bench.engines import WrongAnswer
from bench.online import empty, empty_redis
from bench.report import Table, Target, number, seconds, times
from bench.timing import Run, clock, race
from feature_sync.online.base import ViewWriter
from feature_sync.online.codec import RowSchema
from feature_sync.online.marks import SENDING, Mark
from feature_sync.online.rows import Row
from feature_sync.online.stream_rows import streamed_schema
from feature_sync.online.streams import Snapshot
from feature_sync.value_types import to_microseconds
from tests.support.streamed import NOON, PREFIX, StreamedOrders

_ROWS, _ROWS_PER_BATCH, _ROWS_PER_WRITE = 300_000, 512, 2_000
_HIGHEST = 2
_FEATURES = {"amount": "float64", "note": "string", "mean": "float64", "count": "int64", "share": "float64"}
_PLAIN, _OVER = "no stream", "no stream, over rows that are there"
_NONE, _ALL = "a stream that wrote nothing", "every row streamed, and seen"
_PEERS = {_NONE: _PLAIN, _ALL: _OVER}


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Write the same rows in four ways, to an empty view or to one that has been filled."""
    count = max(2_000, round(_ROWS * scale))
    with empty_redis() as (url, client):
        rivals = _Rivals(StreamedOrders(folder / "streamed", url), client, count)
        took = race(rivals.by_name, check=lambda ended: rivals.check())
    table = Table(f"Pushed rows of {len(_FEATURES)} features, written beside a stream", ("rows", "", "time", "times"))
    for name, run in took.items():
        table.add(number(count), name, seconds(run), f"{number(times(run, took[_PLAIN]))} ×")
    for name, peer in _PEERS.items():
        table.targets.append(Target(f"{name}, times as long as {peer}", times(took[name], took[peer]), _HIGHEST))
    table.notes.append("Rows are encoded while others are written, as in a push; what the warehouse takes is left out.")
    yield table


class _Rivals:
    """The contenders; each begins with an empty Redis, or fills it before it is timed."""

    def __init__(self, orders: StreamedOrders, client: Any, count: int) -> None:
        orders.features = dict(_FEATURES)
        self._orders, self._client, self._count = orders, client, count
        self._held: dict[str, list[bytes]] = {}
        self.by_name = {name: partial(self._race, name) for name in (_PLAIN, _NONE, _OVER, _ALL)}

    def check(self) -> None:
        """Check that all have written the same, and left no journal."""
        if any(held != self._held[_PLAIN] for held in self._held.values()) or None in self._held[_PLAIN]:
            raise WrongAnswer(f"{[len(each) for each in self._held.values()]} rows differ")

    def _race(self, name: str) -> Run:
        empty(self._client)
        self._orders.push({})
        schema = next(reversed([*self._orders.online.schemas().values()]))
        if name == _ALL:
            self._stream(schema)
        with self._writer() as writer:
            if name == _OVER:
                self._write(writer, schema, is_streamed=False)
            ended = clock(partial(self._write, writer, schema, is_streamed=name in _PEERS))
        self._held[name] = self._client.mget([f"{PREFIX}:orders:{{{each}}}" for each in range(self._count)])
        if self._client.exists(f"{PREFIX}:orders:journal"):
            raise WrongAnswer("the journal names keys that the push has seen")
        return ended

    @contextmanager
    def _writer(self) -> Iterator[ViewWriter]:
        held = self._orders.online.hold(duration=timedelta(minutes=5), wait=True, stopped=lambda: False)
        with held as writer:
            yield writer

    def _write(self, writer: ViewWriter, schema: RowSchema, *, is_streamed: bool) -> None:
        mark = Mark(status=SENDING, push="bench", warehouse="bench")
        writer.begin(mark, schema)
        if not is_streamed:
            writer.write(self._encoded(schema))
            writer.finish(mark, schema, is_only=True)
            return
        beside = writer.beside_stream()
        seen = Snapshot(topic=self._orders.topic, watermark={0: self._count}, until=_moment(self._count))
        beside.open(seen, streamed_schema(schema))
        beside.write(self._encoded(schema))
        for keys in beside.seen():
            beside.delete(keys)
        writer.finish(mark, schema, is_only=True, streamed=streamed_schema(schema))
        beside.end()

    def _columns(self, first: int, count: int) -> tuple[list[int], list[int], list[list[Any]]]:
        ids = [*range(first, first + count)]
        notes = [f"category_{each % 50}" for each in ids]
        numbers = [each * 0.25 for each in ids]
        return ids, [_moment(each) for each in ids], [numbers, notes, numbers, ids, numbers]

    def _encoded(self, schema: RowSchema) -> Iterator[Sequence[Row]]:
        encoder = self._orders.online.encoder(schema, lag=None, expires=True)
        for first in range(0, self._count, _ROWS_PER_BATCH):
            ids, moments, values = self._columns(first, min(_ROWS_PER_BATCH, self._count - first))
            yield [*encoder.encode([ids, moments, [None] * len(ids), *values])]

    def _stream(self, schema: RowSchema) -> None:
        online = self._orders.online
        encoder, writer = online.stream_encoder(schema), online.stream_writer(self._orders.topic)
        for first in range(0, self._count, _ROWS_PER_WRITE):
            ids, moments, values = self._columns(first, min(_ROWS_PER_WRITE, self._count - first))
            writer.write(encoder.encode([ids], moments, values, partitions=[0] * len(ids), offsets=ids))
        writer.close()


def _moment(number_of_row: int) -> int:
    return to_microseconds(NOON) + number_of_row
