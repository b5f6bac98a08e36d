"""The push of one feature view: stage, send, commit.

Wherever a push is interrupted, the next one repairs everything. For that, three steps keep their order: the warehouse
records which keys may be touched before Redis is touched; the first write marks Redis with the push that touches it;
the commit is one conditional update in the warehouse, after Redis has confirmed every write.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from time import perf_counter

import msgspec

from feature_sync.errors import HeldBack, WarehouseError, at_location
from feature_sync.online.base import ServerState, ViewWriter
from feature_sync.online.codec import RowSchema, row_schema_of
from feature_sync.online.marks import SENDING, Mark
from feature_sync.online.rows import RowEncoder
from feature_sync.online.streams import Snapshot
from feature_sync.push.commit import Staged
from feature_sync.push.context import PushContext
from feature_sync.push.online_state import read_online_state
from feature_sync.push.plan import OnlineState
from feature_sync.push.pool import PlacesPool
from feature_sync.push.report import Pushed
from feature_sync.push.sending import Batches, Sent, count_rows, repair_slots, send_rows
from feature_sync.push.sources import opened_source
from feature_sync.push.staging import Origin, Staging
from feature_sync.push.state import LastPush
from feature_sync.push.streamed import StreamedSending, stream_closed
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.view_query import ViewQuery
from feature_sync.warehouses.base import Warehouse
from feature_sync.warehouses.places import Places

_Unchanged = Callable[[], AbstractContextManager[Batches]]
_ROWS_PER_BATCH = 512
_LOG = logging.getLogger(__name__)


class ViewPush:
    """One push of one view."""

    def __init__(
        self,
        query: ViewQuery,
        context: PushContext,
        *,
        pool: PlacesPool,
        warehouse_id: str,
        check: Callable[[], None],
        stopped: Callable[[], bool],
    ) -> None:
        """Prepare to push.

        Args:
            query: The view.
            context: What the pushes of all views share.
            pool: Lends where rows and state are.
            warehouse_id: The random id kept in the place of the state; empty in a dry run before the first push.
            check: Raises if dbt has rewritten the artifacts that this push goes by.
            stopped: Ends the push early when it returns True.
        """
        self._query = query
        self._context = context
        self._pool = pool
        self._warehouse_id = warehouse_id
        self._check = check
        self._stopped = stopped
        self.reference = query.view.reference
        self._view = context.online.view(self.reference)
        self._seconds: dict[str, float] = {}
        self._places: Places | None = None

    def cancel(self) -> None:
        """Cancel the query that runs for this push, if any; another thread calls this until the push has ended."""
        if self._places is not None:
            self._places.cancel()

    def push(self) -> Pushed:
        """Make Redis hold the newest rows, and nothing else.

        Raises:
            ArtifactsChanged: dbt rewrote its artifacts during the push; nothing was sent.
            LeaseHeld: Another push of the view is under way.
            LeaseLost: Another push has taken over.
            OnlineStoreError: Redis failed, or holds rows that were pushed at the other kind of clock.
            WarehouseError: The warehouse failed.
        """
        context = self._context
        options = context.options
        with (
            self._view.hold(
                duration=options.lease,
                wait=options.wait,
                stopped=self._stopped,
                replicas=options.replicas_acknowledge,
            ) as writer,
            self._pool.lend(stopped=self._stopped) as places,
            at_location(self._query.view.relation.location),
        ):
            self._places, warehouse = places, places.state
            places.label(feature_view=self.reference, push=None)
            online = self._online_state(writer.server)
            try:
                with (
                    self._timing("stage"),
                    opened_source(places, self._query, context.clock, writes=True) as (rows, snapshot),
                ):
                    staging = self._staging(places, rows, online)
                    if not places.are_one:
                        writer.check_lease()  # copying may take longer than a lease, and the state is read only now
                    staged = staging.stage(partial(self._check_before_record, writer, places))
            except HeldBack as reason:
                self._log("held back", reason=str(reason))
                return Pushed(feature_view=self.reference, held_back=str(reason), phase_seconds=self._seconds)
            is_unchanged = staged.is_unchanged
            self._log(
                "staged",
                push_id=staged.push,
                reason=staged.reason,
                full=staged.full,
                is_unchanged=is_unchanged,
                rows=staged.rows,
            )
            with self._timing("send"):
                sent = self._send(warehouse, staging, staged, writer, online, snapshot)
            self._log("sent", push_id=staged.push, written=sent.written, deleted=sent.deleted, sent_bytes=sent.bytes)
            with self._timing("commit"), warehouse.transaction():
                staging.commits.commit(staged, self._last(sent))
            staging.commits.clean()  # not in the transaction: the push counts even if tables cannot be dropped
            took = {f"{phase}_seconds": each for phase, each in self._seconds.items()}
            self._log("committed", push_id=staged.push, **took)
        return Pushed(
            feature_view=self.reference,
            written=sent.written,
            deleted=sent.deleted,
            kept=staged.rows - sent.written,
            sent_bytes=sent.bytes,
            full=staged.full,
            push=staged.push,
            phase_seconds=self._seconds,
        )

    def _check_before_record(self, writer: ViewWriter, places: Places) -> None:
        """Check that this push may go on; where rows and state are in one place, a push in between is a conflict."""
        self._check()
        if not places.are_one:
            writer.check_lease()

    def preview(self) -> Pushed:
        """Report what a push would do; writes nothing to Redis or the warehouse.

        Raises:
            OnlineStoreError: Redis failed, or holds rows that were pushed at the other kind of clock.
            WarehouseError: The warehouse failed.
        """
        context = self._context
        with self._pool.lend(stopped=self._stopped) as places, self._timing("stage"), ExitStack() as opened:
            self._places = places
            try:
                places.label(feature_view=self.reference, push=None)
                online = self._online_state(context.online.server_state())
                source = opened.enter_context(opened_source(places, self._query, context.clock, writes=False))
                staging = self._staging(places, source.query, online)
                to_scan = staging.bytes_to_scan()
                preview = staging.preview()
            except HeldBack as reason:
                return Pushed(feature_view=self.reference, held_back=str(reason), is_dry_run=True)
            is_full = preview.full is not None
            rows = places.state.columns(preview.query, batch_size=_ROWS_PER_BATCH)
            with at_location(self._query.view.relation.location):
                sent = count_rows(self._view, self._encoder(self._schema(0)), rows, is_full=is_full)
        return Pushed(
            feature_view=self.reference,
            written=sent.written,
            deleted=sent.deleted if is_full else preview.deleted,
            kept=0 if is_full else preview.rows - sent.written,
            sent_bytes=sent.bytes,
            scan_bytes=to_scan,
            shard_bytes=sent.shard_bytes,
            full=preview.full,
            phase_seconds=self._seconds,
            is_dry_run=True,
        )

    def _online_state(self, server: ServerState) -> OnlineState:
        return read_online_state(self._query.view, self._schema(0), self._context, server)

    def _staging(self, places: Places, rows: ViewQuery, online: OnlineState) -> Staging:
        return Staging(
            QueryRunner(places.state),
            rows,
            origin=Origin(QueryRunner(places.rows), self._query),
            name=self._view.name,
            warehouse_id=self._warehouse_id,
            online=online,
            clock=self._context.clock,
            options=self._context.options,
        )

    def _send(
        self,
        warehouse: Warehouse,
        staging: Staging,
        staged: Staged,
        writer: ViewWriter,
        online: OnlineState,
        snapshot: Snapshot | None,
    ) -> Sent:
        schema = self._schema(writer.fence)
        encoder = self._encoder(schema)
        streamed = (
            None
            if snapshot is None
            else StreamedSending(self._view, writer, schema, snapshot, encoder=encoder, stopped=self._stopped)
        )
        unchanged = partial(self._unchanged, warehouse, staging, staged)
        if staged.is_unchanged:
            named = self._named(online.mark)
            if streamed is not None:
                return streamed.send_nothing(named, self._mark(staging, staged, online), staged.lost, unchanged)
            writer.publish(schema, named)
            return self._repair_unchanged(writer, staged, self._mark(staging, staged, online), encoder, unchanged)
        mark, is_full = self._mark(staging, staged, online), staged.full is not None
        repaired = Sent()
        try:
            if streamed is not None:
                streamed.begin(mark, staged.lost, unchanged)
            elif staged.lost:
                writer.begin(mark, schema, lost=staged.lost)
                self._repair(writer, staged, repaired, encoder, unchanged)
            with (
                stream_closed(writer, is_left=streamed is None and online.topic is not None),
                warehouse.detached_results(staging.queries(staged), batch_size=_ROWS_PER_BATCH) as (rows, *deleted),
            ):
                removed = deleted[0] if deleted else None
                if streamed is None:
                    sent = send_rows(
                        self._view,
                        writer,
                        mark,
                        schema,
                        rows,
                        removed,
                        encoder=encoder,
                        progress=self._progress,
                        stopped=self._stopped,
                        is_begun=bool(staged.lost),
                    )
                    sent.written, sent.bytes = sent.written + repaired.written, sent.bytes + repaired.bytes
                    sent.deleted += repaired.deleted
                    return sent
                streamed.send(rows, removed, self._progress)
            return streamed.finish(mark, None if is_full else unchanged)  # a query, so after the results are read
        except WarehouseError:
            writer.check_lease()  # LeaseLost explains more: a push that has taken over drops this one's tables
            raise

    def _repair_unchanged(
        self, writer: ViewWriter, staged: Staged, mark: Mark, encoder: RowEncoder, unchanged: _Unchanged
    ) -> Sent:
        """Send the rows of lost slots of a cluster, though none has changed."""
        sent = Sent()
        if staged.lost:
            writer.mark_slots(mark, staged.lost, are_done=False)
            self._repair(writer, staged, sent, encoder, unchanged)
            writer.mark_slots(mark, staged.lost, are_done=True)
        return sent

    def _repair(
        self, writer: ViewWriter, staged: Staged, sent: Sent, encoder: RowEncoder, unchanged: _Unchanged
    ) -> None:
        if staged.lost:
            self._log("repairing", push_id=staged.push, slots=len(staged.lost))
            with unchanged() as rows:
                repair_slots(self._view, writer, staged.lost, rows, sent, encoder=encoder)

    @contextmanager
    def _unchanged(self, warehouse: Warehouse, staging: Staging, staged: Staged) -> Iterator[Batches]:
        with warehouse.detached_results([staging.query_of_unchanged(staged)], batch_size=_ROWS_PER_BATCH) as (rows,):
            yield rows

    def _mark(self, staging: Staging, staged: Staged, online: OnlineState) -> Mark:
        return Mark(
            push=staged.push,
            status=SENDING,
            warehouse=staging.address,
            warehouse_id=self._warehouse_id,
            run_id=online.server.run_id,
            evicted_keys=online.server.evicted_keys,
        )

    def _progress(self, done: int) -> None:
        self._context.progress(self.reference, done)

    def _named(self, mark: Mark | None) -> Mark | None:
        """Return a mark of an older version with the warehouse's id added; None if it has one."""
        if mark is None or mark.warehouse_id:
            return None
        return msgspec.structs.replace(mark, warehouse_id=self._warehouse_id)

    def _encoder(self, schema: RowSchema) -> RowEncoder:
        return self._view.encoder(schema, lag=self._query.view.lag, expires=not self._context.clock.is_fixed)

    def _schema(self, fence: int) -> RowSchema:
        query, clock = self._query, self._context.clock
        as_of = clock.now if clock.is_fixed else None
        return row_schema_of(query.view, query.key_types, query.feature_types, as_of=as_of, fence=fence)

    def _last(self, sent: Sent) -> LastPush:
        clock = self._context.clock
        return LastPush(
            at=datetime.now(UTC),
            seconds=round(sum(self._seconds.values()), 3),
            written=sent.written,
            deleted=sent.deleted,
            relation=self._query.view.relation.name,
            invocation_id=self._context.invocation_id,
            as_of=clock.now if clock.is_fixed else None,
        )

    def _log(self, event: str, **fields: object) -> None:
        about = {"feature_view": self.reference, "dbt_invocation_id": self._context.invocation_id}
        _LOG.info(event, extra=about | fields)

    @contextmanager
    def _timing(self, phase: str) -> Iterator[None]:
        started = perf_counter()
        yield
        self._seconds[phase] = round(perf_counter() - started, 3)
