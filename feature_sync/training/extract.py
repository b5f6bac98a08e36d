"""The report of an extract: counted while it streams, and written to a sidecar beside the file."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from feature_sync.definitions import FeatureService, Period, Spine, fingerprint
from feature_sync.json_text import write_document
from feature_sync.service_schema import Pin
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.types import with_normal_types
from feature_sync.training.content_hash import ContentHash
from feature_sync.value_types import since_epoch, to_microseconds

if TYPE_CHECKING:
    import pyarrow

_MICROSECONDS_PER_DAY = 86_400_000_000
_LAST_DAYS = (2**63 - 1) // _MICROSECONDS_PER_DAY
"""The last day whose microseconds since 1970 fit into 64 bits; an infinite date is beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewExtract:
    """How one view answered.

    `earliest_answerable` is the first moment that it can answer: None for a timeless view, which answers any moment,
    and for a view without rows, which answers none. `rows_asking_earlier` counts the spine rows before it.
    `null_shares` holds the share of nulls by feature, from 0 to 1.
    """

    alias: str
    view: str
    is_timeless: bool
    earliest_answerable: datetime | None
    rows_asking_earlier: int
    null_shares: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """What was written: `rows` counts the answered spine rows; `columns` holds the Arrow types by name.

    `path` and `sidecar` are text if they are objects in a store. `file_names` lists the files of a folder.
    """

    path: Path | str
    sidecar: Path | str
    file_names: tuple[str, ...] = ()
    service: FeatureService
    spine: Spine
    origin: Mapping[str, Any]
    rows: int
    views: tuple[ViewExtract, ...]
    columns: Mapping[str, str]
    sql: str
    dialect: Dialect
    invocation_id: str | None
    pin: Pin
    content_hash: str
    labels: tuple[str, ...]

    @property
    def _normal_service(self) -> FeatureService:
        """The service with its types in their normal spelling, from whichever source they were read."""
        return self.service.with_views(lambda view: with_normal_types(view, dialect=self.dialect))

    def to_json(self) -> str:
        """Write the sidecar as JSON; equal inputs give equal bytes."""
        spine = self.spine
        document = {
            "feature_service": self.service.name,
            "spine": {
                **self.origin,
                "event_timestamp_column": spine.relation.event_time,
                "since": spine.period.since,
                "until": spine.period.until,
                "sample_share": spine.sample,
                "limit": spine.limit,
                "order_by": [f"{each.column}{' desc' if each.descending else ''}" for each in spine.order_by],
            },
            "rows": self.rows,
            "file_names": self.file_names,
            "column_types": self.columns,
            "feature_views": [
                {
                    "name": each.view,
                    "alias": each.alias,
                    "earliest_answerable": each.earliest_answerable,
                    "rows_asking_earlier": each.rows_asking_earlier,
                    "null_shares": each.null_shares,
                }
                for each in self.views
            ],
            "pin": msgspec.to_builtins(self.pin),
            "label_names": self.labels,
            "content_hash": self.content_hash,
            "definitions_sha256": fingerprint(self._normal_service),
            "dbt_invocation_id": self.invocation_id,
            "feature_sync_version": version("feature-sync"),
            "sql_sha256": sha256(self.sql.encode()).hexdigest(),
            "sql": self.sql,
        }
        return write_document(document)


class Tally:
    """Counts rows, nulls, and moments before the first one that a view can answer; hashes the rows."""

    def __init__(self, service: FeatureService, asked_at: str, earliest: Mapping[str, int | None]) -> None:
        """Start at zero.

        Args:
            service: The service that answers.
            asked_at: The column of the moment asked.
            earliest: The first moment that each view can answer, in microseconds UTC, by the view's reference; None
                for a view without rows.
        """
        self.rows = 0
        self._service = service
        self._asked_at = asked_at
        self._earliest = earliest
        self._hashed = ContentHash()
        self._nulls: Counter[str] = Counter()
        self._asked_earlier: Counter[str] = Counter()

    def count(self, batch: pyarrow.RecordBatch) -> None:
        """Count one batch of the result."""
        import pyarrow.compute

        self.rows += batch.num_rows
        self._hashed.add(batch)
        for name in self._service.feature_names:
            self._nulls[name] += batch.column(name).null_count
        asked = microseconds(batch.column(self._asked_at))
        for reference, first in self._earliest.items():
            before = asked.is_valid() if first is None else pyarrow.compute.less(asked, _number(first))
            self._asked_earlier[reference] += pyarrow.compute.sum(before).as_py() or 0

    @property
    def content_hash(self) -> str:
        """The hash of the rows counted so far, in any order."""
        return self._hashed.hexdigest()

    def views(self) -> tuple[ViewExtract, ...]:
        """Return how each view answered the rows counted so far."""
        return tuple(
            ViewExtract(
                alias=each.alias,
                view=each.view.reference,
                is_timeless=each.view.event_timestamp is None,
                earliest_answerable=since_epoch(self._earliest.get(each.view.reference)),
                rows_asking_earlier=self._asked_earlier[each.view.reference],
                null_shares={
                    name: self._nulls[name] / self.rows if self.rows else 0.0
                    for name in (self._service.output_name(each, feature) for feature in each.features)
                },
            )
            for each in self._service.selections
        )


def is_within(moments: pyarrow.Array, period: Period) -> bool:
    """True if all moments are in a period, both ends included; an end of None is open, and nulls count as within."""
    import pyarrow.compute

    if moments.null_count == len(moments):
        return True
    ends = pyarrow.compute.min_max(microseconds(moments)).as_py()
    since, until = (None if end is None else to_microseconds(end) for end in (period.since, period.until))
    return (since is None or since <= ends["min"]) and (until is None or ends["max"] <= until)


def microseconds(moments: pyarrow.Array) -> pyarrow.Array:
    """Return dates or timestamps as microseconds since 1970; infinite ones stay beyond all others."""
    import pyarrow

    if pyarrow.types.is_date32(moments.type):  # a cast would fail: an infinite date has no timestamp
        return pyarrow.compute.multiply_checked(_clamped(moments, _LAST_DAYS), _number(_MICROSECONDS_PER_DAY))
    return moments.cast(pyarrow.timestamp("us", tz=moments.type.tz)).cast(pyarrow.int64())


def _clamped(days: pyarrow.Array, last: int) -> pyarrow.Array:
    """Return dates as days since 1970, clamped to `-last` and `last`; nulls stay null."""
    import pyarrow.compute

    numbers = days.view(pyarrow.int32()).cast(pyarrow.int64())
    return pyarrow.compute.max_element_wise(
        pyarrow.compute.min_element_wise(numbers, _number(last), skip_nulls=False), _number(-last), skip_nulls=False
    )


def _number(value: int) -> pyarrow.Scalar:
    """Make an Arrow scalar from a buffer: converting a Python number, Arrow would import pandas, which takes 40 MB."""
    import pyarrow

    return pyarrow.Array.from_buffers(pyarrow.int64(), 1, [None, pyarrow.py_buffer(array("q", [value]))])[0]
