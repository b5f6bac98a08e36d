"""Compares feature views, one after another, with their rows in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

from feature_sync.definitions import FeatureView, format_duration
from feature_sync.errors import at_location
from feature_sync.online.base import Held, OnlineStore
from feature_sync.online.codec import RowSchema, row_schema_of
from feature_sync.online.rows import Row
from feature_sync.query_runner import QueryRunner, check_view_collations
from feature_sync.spill import KeySpill
from feature_sync.sql.push.latest import latest_rows
from feature_sync.value_types import to_microseconds
from feature_sync.verify.checksums import Checksums
from feature_sync.verify.differences import Differences
from feature_sync.verify.report import Kind, Progress, Verified
from feature_sync.warehouses.base import Warehouse

_ROWS_PER_BATCH = 1_024
_MILLISECONDS = 1_000
_A_MILLISECOND = timedelta(milliseconds=1)
"""Redis counts expiry in whole milliseconds: a row may outlive its TTL by less than one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyContext:
    """How to verify.

    Args:
        open_warehouse: Opens the warehouse; called for each view.
        online: The online store.
        as_of: The moment to compare at; None for that of the newest push if its clock was fixed, else now.
        sample: How many entities of each view to compare; None for all.
        redact: Leave values out of examples.
        progress: Called with a view's reference and the number of rows compared so far.
    """

    open_warehouse: Callable[[], Warehouse]
    online: OnlineStore
    as_of: datetime | None
    sample: int | None
    redact: bool
    progress: Progress


class Verifier:
    """Compares one warehouse with one online store; only reads both."""

    def __init__(self, context: VerifyContext) -> None:
        self._context = context

    def verify(self, views: Iterable[FeatureView]) -> Iterator[Verified]:
        """Verify views lazily, in the order given.

        Raises:
            DefinitionError: A view does not fit its table.
            FeatureSyncError: The warehouse or Redis failed.
        """
        for view in views:
            yield _ViewVerification(view, self._context).verify()


class _ViewVerification:
    """The verification of one feature view."""

    def __init__(self, view: FeatureView, context: VerifyContext) -> None:
        self._view = view
        self._context = context
        self._online = context.online.view(view.reference)
        self._schemas = self._online.schemas()
        newest = next(reversed([*self._schemas.values()]), None)
        self._pushed_as_of = None if newest is None else newest.as_of
        self._due = self._pushed_as_of or context.online.now() - _A_MILLISECOND
        self._now = context.as_of or self._pushed_as_of or datetime.now(UTC)
        self._mark = self._online.mark()
        self._stream = self._online.stream_record()

    def verify(self) -> Verified:
        """Compare every expected row, then search Redis for extra rows."""
        started = perf_counter()
        if not self._schemas:
            return Verified(
                feature_view=self._view.reference,
                as_of=self._now,
                is_equal=False,
                problems=(
                    "never pushed" if self._mark is None else "Redis has lost its schemas, so no reader finds it",
                ),
            )
        holder = self._active_push()
        with self._context.open_warehouse() as warehouse, at_location(self._view.relation.location):
            runner = QueryRunner(warehouse)
            query = runner.query_of(self._view)
            check_view_collations(warehouse, query)
            schema = row_schema_of(self._view, query.key_types, query.feature_types, as_of=self._pushed_as_of)
            differences = Differences(schema, self._schemas, redact=self._context.redact)
            text = runner.text(latest_rows(query, now=self._now, sample=self._context.sample))
            with warehouse.detached_results([text], batch_size=_ROWS_PER_BATCH) as (rows,), KeySpill() as ours:
                is_expiry_known, checksums = self._compare(self._encoded(rows, schema), differences, ours)
                if self._context.sample is None:
                    self._find_extras(differences, ours, checksums)
        notes = [*self._concurrent_pushes(holder)]
        if not is_expiry_known:
            notes.append("this user may not ask Redis when keys expire, so expiries were not compared")
        return self._verified(differences, self._problems(schema), notes, perf_counter() - started)

    def _encoded(self, rows: Iterator[Sequence[Sequence[Any]]], schema: RowSchema) -> Iterator[list[Row]]:
        encoder = self._online.encoder(schema, lag=self._view.lag, expires=self._pushed_as_of is None)
        return (list(encoder.encode(batch)) for batch in rows)

    def _compare(
        self, batches: Iterator[list[Row]], differences: Differences, ours: KeySpill
    ) -> tuple[bool, Checksums]:
        """Compare the expected rows with Redis, and add all their keys to `ours`.

        Returns whether expiries could be compared, and the checksums of the keys that Redis has.
        """
        comparer = self._online.comparer()
        checksums = Checksums()
        done = 0
        with closing(comparer.compare(batches)) as compared:
            for rows, differing in compared:
                keys = [key for key, _, _ in rows]
                ours.add(keys)
                if differing is None and differences.is_published:
                    differences.match(len(rows))
                else:
                    held = differing or comparer.read(keys)
                    redis_now = to_microseconds(self._context.online.now()) // _MILLISECONDS
                    keys = [*self._differ(differences, rows, held, redis_now=redis_now)]
                checksums.add(keys)
                done += len(rows)
                self._context.progress(self._view.reference, done)
        return comparer.reports_expiry, checksums

    def _differ(
        self, differences: Differences, rows: Sequence[Row], held: Sequence[Held], *, redis_now: int
    ) -> Iterator[bytes]:
        """Compare rows one by one, and yield the keys that exist; where the stream is ahead, nothing is compared."""
        for row, each, is_ahead in zip(rows, held, self._are_ahead([key for key, _, _ in rows]), strict=True):
            if is_ahead:
                differences.ahead += 1
            if (each.value is not None) if is_ahead else differences.compare(row, each, redis_now=redis_now):
                yield row[0]

    def _are_ahead(self, keys: Sequence[bytes]) -> list[bool]:
        """Return for each key whether the stream wrote it last, by a message that the last push has not seen."""
        if (stream := self._stream) is None:
            return [False] * len(keys)
        positions = self._online.stream_positions(keys)
        return [each is not None and not stream.snapshot.has_seen(each) for each in positions]

    def _find_extras(self, differences: Differences, ours: KeySpill, checksums: Checksums) -> None:
        """Count the keys in Redis that no expected row has; only buckets whose checksums differ are searched."""
        found = Checksums()
        for keys in self._online.row_keys():
            found.add(keys)
        if not (differing := checksums.differing(found)):
            return
        with KeySpill() as theirs:
            for keys in self._online.row_keys():
                theirs.add(differing.of(keys))
            for keys in _batches(theirs.minus(ours)):
                self._compare_extras(differences, keys)

    def _compare_extras(self, differences: Differences, keys: Sequence[bytes]) -> None:
        contents = self._online.read(keys)
        found = zip(keys, contents, self._online.exist(keys), self._are_ahead(keys), strict=True)
        for key, content, exists, is_ahead in found:
            if is_ahead:
                differences.ahead += exists
            elif exists:  # a key may have expired since the scan
                differences.compare_extra(key, content, now=self._now, due=self._due)

    def _active_push(self) -> str | None:
        holder = self._online.holder()
        return None if holder is None else f"{holder.who} has been pushing it since {holder.since:%Y-%m-%d %H:%M:%S}Z"

    def _concurrent_pushes(self, holder: str | None) -> Iterator[str]:
        """Note a push that ran during the verification: it makes differences although nothing is wrong."""
        if holder := holder or self._active_push():
            yield f"{holder}, so differences are to be expected: verify again when that push has ended"
        elif self._online.mark() != self._mark:
            yield "it was pushed during the verification, so differences are to be expected: verify again"

    def _problems(self, schema: RowSchema) -> tuple[str, ...]:
        """Compare the published row schema, which readers use, with that of the definition."""
        published = self._schemas.get(schema.id)
        if published is None:
            return ()  # then no row has this schema, and each is compared feature by feature
        problems = []
        if published.ttl != schema.ttl:
            ttls = ("none" if ttl is None else format_duration(ttl) for ttl in (published.ttl, schema.ttl))
            problems.append("readers use a TTL of {}, the definition says {}".format(*ttls))
        if published.defaults != schema.defaults:
            problems.append("readers use other defaults than the definition's")
        return tuple(problems)

    def _verified(
        self, differences: Differences, problems: tuple[str, ...], notes: list[str], seconds: float
    ) -> Verified:
        counts = differences.counts
        is_wrong = (
            counts[Kind.DIFFERENT] or counts[Kind.MISSING] or counts[Kind.EXTRA] or differences.overdue or problems
        )
        return Verified(
            feature_view=self._view.reference,
            as_of=self._now,
            is_equal=not is_wrong,
            problems=problems,
            notes=tuple(notes),
            sample=self._context.sample,
            matching=differences.matching,
            different=counts[Kind.DIFFERENT],
            missing=counts[Kind.MISSING],
            extra=counts[Kind.EXTRA],
            expired=counts[Kind.EXPIRED],
            overdue=differences.overdue,
            ahead=differences.ahead,
            event_timestamps=differences.event_timestamps,
            expiries=differences.expiries,
            features=differences.features,
            examples=tuple(differences.examples),
            are_values_redacted=self._context.redact,
            duration_seconds=round(seconds, 3),
        )


def _batches(keys: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for key in keys:
        batch.append(key)
        if len(batch) == _ROWS_PER_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
