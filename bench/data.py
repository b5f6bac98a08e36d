"""The data: made by the engines themselves from arithmetic alone, so that every run has the same."""

from __future__ import annotations

from dataclasses import dataclass

SPREAD = 31_536_000
"""All moments lie within a year; this many seconds."""
_STRIDES = (104_729, 15_485_863, 32_452_843, 49_979_687, 67_867_967)
"""Primes that scatter each view's rows over the year in an order of their own."""


@dataclass(frozen=True)
class Sizes:
    """How many rows: of the spine, of each view, and of one entity."""

    spine: int
    rows: int
    depth: int
    extras: int = 0
    """How many features each view has beside its two; every third is text."""
    is_late: bool = False
    """Whether each row says when it became known, up to ten days after it happened."""

    @classmethod
    def scaled(cls, scale: float, *, spine: int, rows: int, depth: int) -> Sizes:
        """Scale the rows; the depth of an entity's history stays."""
        return cls(max(10, round(spine * scale)), max(10, round(rows * scale)), depth)

    @property
    def entities(self) -> int:
        """How many entities share the rows."""
        return max(1, self.rows // self.depth)

    def __str__(self) -> str:
        return f"{short(self.spine)} spine × {short(self.rows)} rows, {self.depth:,} an entity"


def short(count: int) -> str:
    """Write a count of rows: 10M, 100k."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if count >= size and count % (size // 10) == 0:
            return f"{count / size:g}{unit}"
    return f"{count:,}"


@dataclass(frozen=True)
class Numbers:
    """How a warehouse counts from 0, and how it divides whole numbers."""

    counted: str
    divide: str

    def spine(self, sizes: Sizes) -> str:
        """Select the spine: an id, the entity, the moment asked, and a label."""
        return (
            f"select i as row_id, (i * 31) % {sizes.entities} as entity_id, "
            f"timestamp '2024-01-01 00:00:00' + interval '1 second' * ((i * 179426549) % {SPREAD}) as asked_at, "
            f"i % 2 = 0 as label from {self.counted.format(sizes.spine)}"
        )

    def view(self, number: int, sizes: Sizes, *, has_ties: bool = False) -> str:
        """Select the rows of a view: an entity, when, and two features.

        The rows of an entity are spread over the year. All rows lie in the order of time, as in a table that grows.
        With ties, every eighth row of an entity repeats the timestamp of the one before.
        """
        share = SPREAD // sizes.depth
        place = f"i {self.divide} {sizes.entities}"
        row = f"(i - case when {place} % 8 = 7 then {sizes.entities} else 0 end)" if has_ties else "i"
        moment = "timestamp '2024-01-01 00:00:00' + interval '1 second' * ({})"
        second = f"{row} {self.divide} {sizes.entities} * {share} + {row} * {_STRIDES[number]} % {share}"
        known = f"{moment.format(f'{second} + i * 7919 % 864000')} as known_at, " if sizes.is_late else ""
        return (
            f"select i % {sizes.entities} as entity_id, "
            f"{moment.format(second)} as happened_at, {known}"
            f"cast((i * {number + 7}) % 1000 as double precision) / 10 as amount_{number}, "
            f"(i * {number + 3}) % 77 as count_{number}{_extras(sizes)} "
            f"from {self.counted.format(sizes.rows)} order by happened_at"
        )

    def entities(self, count: int) -> str:
        """Select one row for each of so many entities: when, and ten features."""
        return (
            "select i as entity_id, "
            "timestamp '2024-01-01 00:00:00' + interval '1 second' * (i * 104729 % 2592000) as happened_at, "
            "cast(i * 7919 % 1000 as double precision) / 10 as amount_day, "
            "cast(i * 7907 % 100000 as double precision) / 100 as amount_month, "
            "cast(i * 31 % 997 as double precision) / 7 as score, "
            "cast(i * 29 % 1000 as double precision) / 3 as ratio, "
            "i * 17 % 1000 as orders, i * 19 % 100000 as visits, i * 23 % 7 as rank, "
            "'segment ' || (i % 50) as segment, 'city ' || (i * 13 % 5000) as city, "
            "timestamp '2023-01-01 00:00:00' + interval '1 second' * (i * 31 % 31536000) as joined_at "
            f"from {self.counted.format(count)}"
        )

    def newer(self, place: int, every: int = 100) -> str:
        """Select a newer row for one in so many entities: each place has entities of its own."""
        return (
            f"select entity_id, happened_at + interval '{place + 1} hour', amount_day + 1, amount_month, score, ratio, "
            "orders + 1, visits, rank, segment, city, joined_at from entities "
            f"where entity_id % {every} = {place} and happened_at < timestamp '2024-01-31 00:00:00'"
        )


def extra_features(count: int) -> dict[str, str]:
    """Name the features that a wide view has beside its two, with their types."""
    return {f"extra_{place}": ("text", "double precision", "bigint")[place % 3] for place in range(count)}


def _extras(sizes: Sizes) -> str:
    written = {
        "text": "'value ' || (i * {0} % 5000)",
        "double precision": "cast(i * {0} % 9973 as double precision) / 7",
        "bigint": "i * {0} % 99991",
    }
    features = extra_features(sizes.extras).items()
    return "".join(f", {written[kind].format(2 * place + 3)} as {name}" for place, (name, kind) in enumerate(features))


DUCKDB = Numbers("(select range as i from range({})) numbers", "//")
POSTGRES = Numbers("(select generate_series(0::bigint, {} - 1) as i) numbers", "/")
