"""Reads logs of served vectors: the vectors of one service, as Arrow columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from feature_sync.clock import read_moment
from feature_sync.errors import RequestError
from feature_sync.serving.status import Status
from feature_sync.value_types import to_microseconds

if TYPE_CHECKING:
    import pyarrow

_OWN = ("served_at", "service", "shape", "logic", "statuses")
_ABSENT = {Status.MISSING, Status.EXPIRED}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedVectors:
    """The vectors of a service that have its present shape, in the order of the log.

    Args:
        table: Their keys and features, and the moments in the column `moment_name`.
        moment_name: The name of that column.
        statuses: For each vector the features that were not present, as JSON.
        other_shape: How many vectors of the service have another shape.
        other_logic: How many of those in the table were served by other SQL.
    """

    table: pyarrow.Table
    moment_name: str
    statuses: list[str | None]
    other_shape: int
    other_logic: int

    @property
    def moments(self) -> list[datetime]:
        """When each was served."""
        found: list[datetime] = self.table.column(self.moment_name).to_pylist()
        return found

    def between(self, since: str | datetime | None, until: str | datetime | None) -> ServedVectors:
        """Return those that were served in a period, both ends included; None leaves an end open.

        Raises:
            RequestError: There are none, or a moment is not in ISO 8601.
        """
        first, last = (
            None if moment is None else to_microseconds(read_moment(moment, option))
            for option, moment in (("--since", since), ("--until", until))
        )
        moments = map(to_microseconds, self.moments)
        places = [
            at
            for at, moment in enumerate(moments)
            if (first is None or moment >= first) and (last is None or moment <= last)
        ]
        if not places:
            raise RequestError("the log has vectors of this service, but none between --since and --until")
        return self._of(places)

    def sampled(self, size: int | None) -> ServedVectors:
        """Return that many, spread evenly; None for all."""
        count = self.table.num_rows
        if size is None or size >= count:
            return self
        return self._of([at * count // size for at in range(size)])

    def _of(self, places: list[int]) -> ServedVectors:
        import pyarrow

        table = self.table.take(pyarrow.array(places, pyarrow.int64()))
        return replace(self, table=table, statuses=[self.statuses[at] for at in places])

    def absences(self, feature: str) -> list[bool]:
        """Tell for each vector whether serving had no row for a feature."""
        return [feature in absent for absent in self._absent()]

    def _absent(self) -> Iterator[frozenset[str]]:
        known: dict[str | None, frozenset[str]] = {None: frozenset()}
        for text in self.statuses:
            if text not in known:
                read = msgspec.json.decode(text or "{}", type=dict[str, str])
                known[text] = frozenset(name for name, status in read.items() if status in _ABSENT)
            yield known[text]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which vectors are read.

    Args:
        service: The name of the service.
        shape: The shape id of its present definition.
        logic: Its logic id.
        keys: The names of its keys.
        features: The names of its features.
    """

    service: str
    shape: str
    logic: str
    keys: tuple[str, ...]
    features: tuple[str, ...]

    def own_name(self, name: str) -> str:
        """Return the name of one of the log's own columns, as the log chooses it among keys and features."""
        taken = {each.casefold() for each in (*self.keys, *self.features)}
        while name in taken:
            name = f"_{name}"
        return name

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return [*map(self.own_name, _OWN), *self.keys, *self.features]


def parquet_tables(path: Path) -> Iterator[pyarrow.Table]:
    """Yield the tables of a Parquet file, or of all in a folder, in the order of their names.

    Raises:
        RequestError: There is none, or one cannot be read.
    """
    import pyarrow
    import pyarrow.parquet

    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    files = [each for each in files if not each.name.startswith(".")]
    if not files:
        raise RequestError(f"{path} holds no Parquet file; write one with ServedLog.to_folder, or name another --log")
    for file in files:
        try:
            yield pyarrow.parquet.read_table(file)
        except (OSError, pyarrow.ArrowException) as refused:
            raise RequestError(f"{file} cannot be read as Parquet: {str(refused).splitlines()[0]}") from refused


def vectors_of(tables: Iterable[pyarrow.Table], wanted: Wanted, *, source: str) -> ServedVectors:
    """Gather the vectors of a service from tables of a log.

    Args:
        tables: The tables.
        wanted: Which vectors.
        source: Where the log is, for errors.

    Raises:
        RequestError: A table is not one of served vectors, or none holds vectors of the service in its present shape.
    """
    import pyarrow
    import pyarrow.compute

    kept, of_service, services = [], 0, set[str]()
    for table in tables:
        _, service, shape, _ = own = table.column_names[:4]  # the first four, whatever features are called
        if [name.lstrip("_") for name in own] != [*_OWN[:4]]:
            raise RequestError(
                f"{source} does not hold served vectors: its first columns are not {', '.join(_OWN[:4])}"
            )
        services.update(table.column(service).unique().to_pylist())
        of_this = table.filter(pyarrow.compute.equal(table.column(service), wanted.service))
        of_service += of_this.num_rows
        fitting = of_this.filter(pyarrow.compute.equal(of_this.column(shape), wanted.shape))
        if fitting.num_rows:
            kept.append(fitting.select(wanted.columns).replace_schema_metadata(None))
    if not kept:
        raise _none(wanted, of_service, services, source)
    found = pyarrow.concat_tables(kept)
    other_logic = sum(each != wanted.logic for each in found.column(wanted.own_name("logic")).to_pylist())
    moment = wanted.own_name("served_at")
    return ServedVectors(
        table=found.select([*wanted.keys, moment, *wanted.features]),
        moment_name=moment,
        statuses=found.column(wanted.own_name("statuses")).to_pylist(),
        other_shape=of_service - found.num_rows,
        other_logic=other_logic,
    )


def _none(wanted: Wanted, of_service: int, services: set[str], source: str) -> RequestError:
    if of_service:
        return RequestError(
            f"none of the {of_service:,} vectors of {wanted.service} in {source} has the features, types, defaults and "
            "TTLs that the project defines now; use the project of the commit that served them"
        )
    others = ", ".join(sorted(map(str, services))) or "none at all"
    return RequestError(f"{source} holds no vectors of {wanted.service}; it has those of {others}")
