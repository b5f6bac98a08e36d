"""Lands messages in BigQuery: a load job of rows, which costs nothing, then a MERGE of the ranges that hold them.

Each takes effect by itself. A writer that ends between them has its rows loaded again by the next one: then a message
is there twice, but none is missing from a range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, ClassVar, Self

from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from feature_sync.definitions import Target
from feature_sync.errors import WarehouseError
from feature_sync.warehouses.bigquery.errors import translating
from feature_sync.warehouses.bigquery.session import Session
from feature_sync.warehouses.bigquery.values import quoted_path
from feature_sync.warehouses.landing import LandedRow, LandingTable, LandingWriter, OffsetRange, chained

if TYPE_CHECKING:
    import pyarrow

_COLUMNS = [
    ("topic", "STRING"), ("topic_partition", "INT64"), ("topic_offset", "INT64"), ("message_timestamp", "TIMESTAMP"),
    ("message_key", "STRING"), ("message_value", "STRING"), ("key_bytes", "BYTES"), ("value_bytes", "BYTES"),
    ("landed_at", "TIMESTAMP"),
]  # fmt: skip
_RANGES = [("topic", "STRING"), ("topic_partition", "INT64"), ("first_offset", "INT64"), ("next_offset", "INT64")]


class BigQueryLanding(LandingWriter):
    """A client of its own. Google allows 1,500 load jobs into a table a day: one a minute, and some to spare."""

    seconds_between: ClassVar[float] = 60.0
    rows_at_once: ClassVar[int] = 500_000

    def __init__(self, session: Session, table: LandingTable, topic: str) -> None:
        self._session = session
        self._topic = topic
        dataset = bigquery.DatasetReference(table.database or session.dataset.project, table.schema)
        self._table, self._ranges = dataset.table(table.name), dataset.table(table.ranges)

    @classmethod
    def connect(cls, target: Target, table: LandingTable, topic: str) -> Self:
        """Find credentials with dbt's own fields, and see to it that the tables are there."""
        landing = cls(Session.of(target), table, topic)
        try:
            landing._create()
        except WarehouseError as refused:
            landing.close()
            raise WarehouseError(f"cannot land in {table} and {table.ranges}: {refused}") from refused
        return landing

    def ends(self) -> Mapping[int, int]:
        """See `LandingWriter`."""
        found = self._session.run(
            f"select topic_partition, first_offset, next_offset from {quoted_path(self._ranges)} "  # noqa: S608
            f"where topic = {_literal(self._topic)}"
        )
        return chained(OffsetRange(*row.values()) for row in found)

    def write(self, rows: Sequence[LandedRow], ranges: Sequence[OffsetRange]) -> None:
        """See `LandingWriter`; the ranges follow the rows, never the other way round."""
        import pyarrow.parquet

        if rows:
            with TemporaryFile() as spool:
                pyarrow.parquet.write_table(self._stored(rows), spool)
                spool.seek(0)
                self._session.load(spool, str(self._table), _COLUMNS)
        if ranges:
            self._session.run(self._extension(ranges))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _create(self) -> None:
        """Create what is missing; needs no right to create where all is there."""
        layouts = {
            self._table: (_COLUMNS, "cluster by topic, topic_partition, topic_offset"),
            self._ranges: (_RANGES, ""),
        }
        for table, (columns, layout) in layouts.items():
            with translating(), suppress(NotFound):
                found = self._session.client.get_table(table, retry=self._session.retry)
                if missing := {name for name, _ in columns} - {field.name for field in found.schema}:
                    raise WarehouseError(f"{table} has no column {', '.join(sorted(missing))}")
                continue
            declared = ", ".join(f"{column} {kind}" for column, kind in columns)
            self._session.run(f"create table if not exists {quoted_path(table)} ({declared}) {layout}")

    def _stored(self, rows: Sequence[LandedRow]) -> pyarrow.Table:
        import pyarrow

        moment, now = pyarrow.timestamp("us", tz="UTC"), datetime.now(UTC)
        columns = [[*column] for column in zip(*rows, strict=True)]
        times = pyarrow.array(columns[2], type=pyarrow.timestamp("ms", tz="UTC")).cast(moment)
        arrays = [
            pyarrow.array([self._topic] * len(rows)), pyarrow.array(columns[0], type=pyarrow.int64()),
            pyarrow.array(columns[1], type=pyarrow.int64()), times,
            pyarrow.array(columns[3], type=pyarrow.string()), pyarrow.array(columns[4], type=pyarrow.string()),
            pyarrow.array(columns[5], type=pyarrow.binary()), pyarrow.array(columns[6], type=pyarrow.binary()),
            pyarrow.array([now] * len(rows), type=moment),
        ]  # fmt: skip
        return pyarrow.Table.from_arrays(arrays, names=[name for name, _ in _COLUMNS])

    def _extension(self, ranges: Sequence[OffsetRange]) -> str:
        """Extend the range that a new one begins in or follows; without one, insert it."""
        topic = _literal(self._topic)
        rows = " union all ".join(
            f"select {topic} as topic, {each.partition} as topic_partition, {each.first} as first_offset, "
            f"{each.next} as next_offset"
            for each in ranges
        )
        return (
            f"merge {quoted_path(self._ranges)} as known using ({rows}) as fresh "  # noqa: S608
            "on known.topic = fresh.topic and known.topic_partition = fresh.topic_partition "
            "and known.first_offset <= fresh.first_offset and known.next_offset >= fresh.first_offset "
            "when matched then update set next_offset = greatest(known.next_offset, fresh.next_offset) "
            "when not matched then insert (topic, topic_partition, first_offset, next_offset) "
            "values (fresh.topic, fresh.topic_partition, fresh.first_offset, fresh.next_offset)"
        )


def _literal(text: str) -> str:
    """Write a text as BigQuery's SQL does."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
