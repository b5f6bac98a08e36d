"""The contract of a warehouse that messages are landed in: rows with their positions, and the ranges that were read.

A new warehouse is a `landing.py` in its folder, and a line in `LANDINGS`. docs/streaming.md says what other writers
must keep to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar, NamedTuple, Self

from feature_sync.definitions import Target
from feature_sync.errors import ProfileError, RequestError

RANGES = "__ranges"
"""What follows the name of a landed table in the name of its ranges; the macro `landed` says the same."""
LANDINGS = {
    "bigquery": ("feature_sync.warehouses.bigquery.landing", "BigQueryLanding"),
    "postgres": ("feature_sync.warehouses.postgres.landing", "PostgresLanding"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LandingTable:
    """Where messages are landed: a table, of which `database` is None where the connection implies it."""

    database: str | None = None
    schema: str
    name: str

    @property
    def ranges(self) -> str:
        """The name of the table of the ranges of offsets that were read, in the same schema."""
        return f"{self.name}{RANGES}"

    def __str__(self) -> str:
        return ".".join(filter(None, (self.database, self.schema, self.name)))


class LandedRow(NamedTuple):
    """A message as it is stored; a text is None where there is none, or where it is not UTF-8: then there are bytes.

    Attributes:
        partition: The partition of the topic.
        offset: The offset in the partition.
        timestamp: Milliseconds since 1970 in UTC; None if the message has none.
        key: The key.
        value: The value; None, without bytes, is a tombstone.
        key_bytes: The key, if it is no text.
        value_bytes: The value, if it is no text.
    """

    partition: int
    offset: int
    timestamp: int | None
    key: str | None
    value: str | None
    key_bytes: bytes | None
    value_bytes: bytes | None


class OffsetRange(NamedTuple):
    """Offsets of a partition that were read, from `first` up to `next`, which is not among them."""

    partition: int
    first: int
    next: int


class LandingWriter(ABC):
    """Lands the messages of one topic in one table; writers side by side may land the same messages.

    Raises:
        WarehouseError: From every method: the warehouse cannot be reached, or refuses.
        WarehouseConflict: Another writer was in the way; write again.
    """

    seconds_between: ClassVar[float]
    """How long messages may wait for others, so that the warehouse is not asked too often."""
    rows_at_once: ClassVar[int] = 20_000
    """How many messages are enough to write them at once."""

    @classmethod
    @abstractmethod
    def connect(cls, target: Target, table: LandingTable, topic: str) -> Self:
        """Connect; creates the tables if they do not exist."""

    @abstractmethod
    def ends(self) -> Mapping[int, int]:
        """Return, by partition, the first offset that was not read yet, as the ranges say."""

    @abstractmethod
    def write(self, rows: Sequence[LandedRow], ranges: Sequence[OffsetRange]) -> None:
        """Store rows, then the ranges that hold them, durably before it returns.

        Args:
            rows: Messages, those of a partition by offset.
            ranges: At most one of each partition. All messages of the topic within it are among the rows, or were
                stored before.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""


def open_landing(target: Target, table: LandingTable, topic: str) -> LandingWriter:
    """Connect to where the messages of a topic are landed.

    Raises:
        RequestError: Nothing can be landed in this warehouse.
        ProfileError: The driver is not installed, or a field of the target is wrong.
        WarehouseError: The warehouse cannot be reached, or refuses the tables.
    """
    if target.adapter == "duckdb":
        raise RequestError(
            f"messages cannot be landed in {table}: target {target.name} is DuckDB, whose file only one process may "
            "write, and a stream would keep dbt and push out of it for ever. Land in PostgreSQL or BigQuery, or let "
            "another program write files that dbt reads (docs/streaming.md), and stream without --land"
        )
    if target.adapter not in LANDINGS:
        raise RequestError(f"messages cannot be landed in {target.adapter}; only in {' and '.join(sorted(LANDINGS))}")
    module, name = LANDINGS[target.adapter]
    try:
        writer: type[LandingWriter] = getattr(import_module(module), name)
    except ModuleNotFoundError as missing:
        extra = f"pip install 'feature-sync[{target.adapter}]'"
        raise ProfileError(f"target {target.name} needs the Python module {missing.name}; {extra}") from missing
    return writer.connect(target, table, topic)


def landing_table(relation: str) -> LandingTable:
    """Read the name of a landed table: `schema.table`, or `database.schema.table`.

    Raises:
        RequestError: It is not such a name.
    """
    parts = [part.strip('"`') for part in relation.split(".")]
    if len(parts) not in (2, 3) or not all(parts):
        raise RequestError(f"{relation!r} is not a table to land in; write schema.table, or database.schema.table")
    database = parts[0] if len(parts) == 3 else None  # noqa: PLR2004
    return LandingTable(database=database, schema=parts[-2], name=parts[-1])


def chained(ranges: Iterable[OffsetRange]) -> dict[int, int]:
    """Return, by partition, how far ranges reach from offset 0 without a hole; as the macro `consumed_prefix` does.

    >>> chained([OffsetRange(0, 0, 5), OffsetRange(0, 3, 9), OffsetRange(0, 10, 12), OffsetRange(1, 4, 6)])
    {0: 9, 1: 0}
    """
    reached: dict[int, int] = {}
    for each in sorted(ranges):
        end = reached.setdefault(each.partition, 0)
        if each.first <= end:
            reached[each.partition] = max(end, each.next)
    return reached
