"""The push of one feature view: stage, send, commit.

Whatever ends it, and wherever, the next one puts everything right: before Redis is touched, the warehouse knows which
keys may be; Redis is marked with the push that touches it; and the commit is one conditional update in the warehouse.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

import msgspec

from feature_sync.clock import Clock
from feature_sync.errors import HeldBack, OnlineStoreError, WarehouseError, placing
from feature_sync.online.codec import Schema, schema_of
from feature_sync.online.keys import view_prefix
from feature_sync.online.lease import Lease
from feature_sync.online.marks import SENDING, Mark
from feature_sync.online.redis import OnlineStore
from feature_sync.online.rows import RowEncoder
from feature_sync.push.report import Progress, Pushed, PushOptions
from feature_sync.push.sending import Sender, Sent, count_only
from feature_sync.push.staging import Staged, Staging
from feature_sync.push.trust import RedisFacts
from feature_sync.push_state import LastPush
from feature_sync.sql.pushes import microseconds
from feature_sync.sql.view_query import ViewQuery
from feature_sync.statements import Statements
from feature_sync.warehouses.base import Warehouse

_ROWS_PER_BATCH = 512
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushContext:
    """What the pushes of all views of one command share."""

    open_warehouse: Callable[..., Warehouse]
    online: OnlineStore
    prefix: str
    clock: Clock
    options: PushOptions
    invocation_id: str | None
    progress: Progress


class ViewPush:
    """One push of one view."""

    def __init__(
        self,
        query: ViewQuery,
        context: PushContext,
        *,
        warehouse_id: str,
        check: Callable[[], None],
        stopped: Callable[[], bool],
    ) -> None:
        """`check` raises if what dbt wrote is no longer what this push goes by; `stopped` asks it to end early."""
        self._query = query
        self._context = context
        self._warehouse_id = warehouse_id
        self._check = check
        self._stopped = stopped
        self.reference = query.view.reference
        self._view_prefix = view_prefix(context.prefix, self.reference)
        self._seconds: dict[str, float] = {}
        self._warehouse: Warehouse | None = None

    def cancel(self) -> None:
        """End what the warehouse does for this push; another thread asks for it, again and again until it has ended."""
        if self._warehouse is not None:
            self._warehouse.cancel()

    def push(self) -> Pushed:
        """Make Redis hold the newest rows, and nothing else.

        Raises:
            ArtifactsChanged: dbt wrote its artifacts anew meanwhile; nothing was sent.
            LeaseHeld: Another push of the view is under way.
            OnlineStoreError: Redis failed, or holds rows that were pushed at the other kind of clock.
            WarehouseError: The warehouse failed.
        """
        context = self._context
        lease = context.online.lease(
            self._view_prefix, duration=context.options.lease, wait=context.options.wait, stopped=self._stopped
        )
        with (
            lease as held_lease,
            context.open_warehouse(stopped=self._stopped) as warehouse,
            placing(self._query.view.relation.location),
        ):
            self._warehouse = warehouse
            warehouse.label(feature_view=self.reference)
            facts = self._redis_facts()
            staging = self._staging(warehouse, facts)
            try:
                with self._timing("stage"), warehouse.transaction([self._query.view.relation.name]):
                    staged = staging.stage(self._check)
            except HeldBack as reason:
                self._log("held back", reason=str(reason))
                return Pushed(feature_view=self.reference, held_back=str(reason), phase_seconds=self._seconds)
            is_unchanged = staged.is_unchanged
            self._log("staged", push_id=staged.push, full=staged.full, is_unchanged=is_unchanged, rows=staged.rows)
            with self._timing("send"):
                sent = self._send(warehouse, staging, staged, held_lease, facts)
            self._log("sent", push_id=staged.push, written=sent.written, deleted=sent.deleted, sent_bytes=sent.bytes)
            with self._timing("commit"), warehouse.transaction():
                staging.commit(staged, self._last(sent))
            staging.clean()
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

    def preview(self) -> Pushed:
        """Tell what a push would do, and leave nothing anywhere.

        Raises:
            OnlineStoreError: Redis failed, or holds rows that were pushed at the other kind of clock.
            WarehouseError: The warehouse failed.
        """
        context = self._context
        relation = self._query.view.relation.name
        with (
            context.open_warehouse(stopped=self._stopped) as warehouse,
            warehouse.snapshot([relation]),
            self._timing("stage"),
        ):
            self._warehouse = warehouse
            try:
                warehouse.label(feature_view=self.reference)
                staging = self._staging(warehouse, self._redis_facts())
                to_scan = staging.bytes_to_scan()
                preview = staging.preview()
            except HeldBack as reason:
                return Pushed(feature_view=self.reference, held_back=str(reason), is_dry_run=True)
            is_full = preview.full is not None
            rows = warehouse.columns(preview.query, batch_size=_ROWS_PER_BATCH)
            with placing(self._query.view.relation.location):
                sent = count_only(
                    context.online, self._view_prefix, self._encoder(self._schema(0)), rows, is_full=is_full
                )
        return Pushed(
            feature_view=self.reference,
            written=sent.written,
            deleted=sent.deleted if is_full else preview.deleted,
            kept=0 if is_full else preview.rows - sent.written,
            sent_bytes=sent.bytes,
            scan_bytes=to_scan,
            full=preview.full,
            phase_seconds=self._seconds,
            is_dry_run=True,
        )

    def _redis_facts(self) -> RedisFacts:
        """Ask Redis what it holds, and whether it can be trusted to keep it.

        Raises:
            OnlineStoreError: It may evict keys, or holds rows that were pushed at the other kind of clock.
        """
        context = self._context
        told = context.online.facts("server", "memory", "stats")
        policy = told.get("maxmemory_policy", "noeviction")
        may_evict = bool(told.get("maxmemory")) and policy != "noeviction"
        if may_evict and not context.options.allow_eviction:
            raise OnlineStoreError(
                f"Redis may evict keys (maxmemory-policy {policy}), which no push would notice in time; "
                "set noeviction, or accept it with --allow-eviction"
            )
        self._check_clock()
        return RedisFacts(
            store=context.online.store_id(context.prefix, create=not context.options.dry_run),
            run_id=told["run_id"],
            mark=context.online.mark(self._view_prefix),
            evicted_keys=told.get("evicted_keys", 0),
            may_evict=may_evict,
        )

    def _check_clock(self) -> None:
        """Refuse to mix rows of a fixed clock, which never expire, with rows of the real one."""
        clock = self._context.clock
        if self._context.options.full_refresh:
            return
        for schema in self._context.online.schemas(self._view_prefix, strict=True).values():
            if (schema.as_of is not None) != clock.is_fixed:
                before = (
                    "the real clock" if schema.as_of is None else f"the fixed clock {schema.as_of:%Y-%m-%d %H:%M:%S}Z"
                )
                raise OnlineStoreError(
                    f"{self._query.view.reference} was pushed at {before}; add --full-refresh to push at the other "
                    "kind of clock"
                )

    def _staging(self, warehouse: Warehouse, facts: RedisFacts) -> Staging:
        return Staging(
            Statements(warehouse),
            self._query,
            key=self._view_prefix.removesuffix(":"),
            warehouse_id=self._warehouse_id,
            facts=facts,
            clock=self._context.clock,
            options=self._context.options,
        )

    def _send(self, warehouse: Warehouse, staging: Staging, staged: Staged, lease: Lease, facts: RedisFacts) -> Sent:
        context = self._context
        schema = self._schema(lease.fence)
        sender = Sender(
            context.online,
            lease,
            facts.run_id,
            prefix=context.prefix,
            reference=self.reference,
            progress=lambda rows: context.progress(self.reference, rows),
            stopped=self._stopped,
        )
        if staged.is_unchanged:
            sender.publish(schema, self._named(facts.mark))
            return Sent()
        mark = Mark(
            push=staged.push,
            status=SENDING,
            warehouse=staging.place,
            warehouse_id=self._warehouse_id,
            run_id=facts.run_id,
            evicted_keys=facts.evicted_keys,
        )
        try:
            with warehouse.detached_results(staging.queries(staged), batch_size=_ROWS_PER_BATCH) as (rows, *removed):
                return sender.send(mark, schema, self._encoder(schema), rows, removed[0] if removed else None)
        except WarehouseError:
            sender.check()  # who has taken over has dropped our tables
            raise

    def _named(self, mark: Mark | None) -> Mark | None:
        """Name the warehouse in a mark of an older version; None where that is done already."""
        if mark is None or mark.warehouse_id:
            return None
        return msgspec.structs.replace(mark, warehouse_id=self._warehouse_id)

    def _encoder(self, schema: Schema) -> RowEncoder:
        lag = microseconds(self._query.view.lag)
        return RowEncoder(self._view_prefix, schema, lag=lag, expires=not self._context.clock.is_fixed)

    def _schema(self, fence: int) -> Schema:
        query, clock = self._query, self._context.clock
        as_of = clock.now if clock.is_fixed else None
        return schema_of(query.view, query.key_types, query.feature_types, as_of=as_of, fence=fence)

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

    def _log(self, event: str, **facts: object) -> None:
        about = {"feature_view": self.reference, "dbt_invocation_id": self._context.invocation_id}
        _LOG.info(event, extra=about | facts)

    @contextmanager
    def _timing(self, phase: str) -> Iterator[None]:
        started = perf_counter()
        yield
        self._seconds[phase] = round(perf_counter() - started, 3)
