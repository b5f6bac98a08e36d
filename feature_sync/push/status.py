"""Reports the status of each feature view by what Redis and the warehouse recorded; writes and creates nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from feature_sync.definitions import FeatureView
from feature_sync.errors import DefinitionError, WarehouseError
from feature_sync.online.base import NodeState, OnlineStore
from feature_sync.online.codec import RowSchema
from feature_sync.online.marks import DONE, Holder, Mark
from feature_sync.online.streams import StreamRecord
from feature_sync.push.sources import as_copied
from feature_sync.push.state import Committed, LastPush, StateStore
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.push.state_schema import PushTables
from feature_sync.sql.push.tables import ViewTables
from feature_sync.sql.view_query import ViewQuery
from feature_sync.value_types import since_epoch
from feature_sync.warehouses.places import Places

_SAMPLED_KEYS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewStatus:
    """The status of one feature view; None is what is not known.

    Args:
        feature_view: The reference of the view.
        is_defined: False if the view was pushed once, but is no longer in the project, or not online.
        as_of: The fixed clock of the last push, else now.
        ttl: The TTL as defined, else as pushed.
        mark: The mark of the newest push in Redis.
        schemas: The ids of the row schemas that rows in Redis may have, as hexadecimal, the newest last.
        holder: Who pushes the view now.
        rows: How many rows of the last push still answer at `as_of`.
        oldest: The earliest event timestamp, also of rows that no longer answer.
        newest: The latest event timestamp, also of rows that no longer answer.
        memory_bytes: The memory that Redis needs for `rows`, estimated from a sample.
        sampled_keys: The size of that sample.
        last: What the warehouse recorded of the last completed push.
        unfinished: The ids of pushes that did not end.
        problem: Why the warehouse did not answer.
        stream: What Redis records of the view's stream; None if it has none.
        nodes: The primaries of the Redis Cluster that holds the rows; empty for one server.
    """

    feature_view: str
    is_defined: bool
    as_of: datetime
    ttl: timedelta | None = None
    mark: Mark | None = None
    schemas: tuple[str, ...] = ()
    holder: Holder | None = None
    rows: int | None = None
    oldest: datetime | None = None
    newest: datetime | None = None
    memory_bytes: int | None = None
    sampled_keys: int = 0
    last: LastPush | None = None
    unfinished: tuple[str, ...] = ()
    problem: str | None = None
    stream: StreamRecord | None = None
    nodes: tuple[NodeState, ...] = ()

    @property
    def age(self) -> timedelta | None:
        """The age of the newest row."""
        return None if self.newest is None else self.as_of - self.newest

    @property
    def state(self) -> str:
        """The status in a word or two."""
        if self.holder is not None:
            return "being pushed"
        if self.mark is None:
            return "never pushed"
        if self.mark.status != DONE or self.unfinished:
            return "a push did not end"
        return "pushed" if self.is_defined else "no longer defined"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusContext:
    """Where to look.

    Args:
        open_places: Connects to where rows and states are.
        online: The online store.
        state_schema: The schema of the states and staging tables.
    """

    open_places: Callable[[], Places]
    online: OnlineStore
    state_schema: str


def read_statuses(
    views: Sequence[FeatureView], context: StatusContext, *, others: Collection[str]
) -> Iterator[ViewStatus]:
    """Yield the status of each view, then of each of the others.

    Args:
        views: The views that the project defines.
        context: Where to look.
        others: The references of views that are only in Redis.

    Raises:
        OnlineStoreError: Redis failed. If the warehouse fails, what Redis holds is still reported.
    """
    problem, nodes = None, context.online.nodes()
    with ExitStack() as opened:
        try:
            places = opened.enter_context(context.open_places())
        except WarehouseError as unreachable:
            problem = str(unreachable)
        for reference, view in [
            *((view.reference, view) for view in views),
            *((each, None) for each in sorted(others)),
        ]:
            status, newest = _in_redis(reference, view, context)
            status = replace(status, nodes=nodes)
            if problem is not None:
                yield replace(status, problem=problem)
                continue
            try:
                yield _in_warehouse(status, view, newest, places, context)
            except (WarehouseError, DefinitionError) as refused:
                yield replace(status, problem=str(refused))


def _in_redis(reference: str, view: FeatureView | None, context: StatusContext) -> tuple[ViewStatus, RowSchema | None]:
    """Read the status as far as Redis knows it, and the newest row schema there."""
    online = context.online.view(reference)
    schemas = online.schemas()
    newest = next(reversed([*schemas.values()]), None)
    status = ViewStatus(
        feature_view=reference,
        is_defined=view is not None,
        as_of=(newest and newest.as_of) or datetime.now(UTC),
        ttl=view.ttl if view is not None else None if newest is None else newest.ttl,
        mark=online.mark(),
        schemas=tuple(each.hex() for each in schemas),
        holder=online.holder(),
        stream=online.stream_record(),
    )
    return status, newest


def _in_warehouse(
    status: ViewStatus, view: FeatureView | None, newest: RowSchema | None, places: Places, context: StatusContext
) -> ViewStatus:
    """Add what the place of the state recorded."""
    runner = QueryRunner(places.state)
    store = context.online.store_id(create=False)
    name = context.online.view(status.feature_view).name
    state = StateStore(runner, PushTables(context.state_schema), name, store).read()
    unfinished = state.unfinished.pushes if state.unfinished else ()
    status = replace(status, last=state.last, unfinished=unfinished)
    if state.committed is None or newest is None:
        return status
    if view is None:
        return replace(status, rows=state.committed.rows)
    query = QueryRunner(places.rows).query_of(view)
    query = query if places.are_one else as_copied(query, dialect=runner.dialect)
    return _with_rows(status, query, state.committed, newest, runner, context)


def _with_rows(
    status: ViewStatus,
    query: ViewQuery,
    committed: Committed,
    newest: RowSchema,
    runner: QueryRunner,
    context: StatusContext,
) -> ViewStatus:
    """Add what the rows of the last push hold: their number, ages and size."""
    tables = ViewTables(PushTables(context.state_schema), query)
    if committed.columns != tables.liveness_columns:
        return replace(status, rows=committed.rows)
    now = status.as_of
    rows, first, last = runner.fetch(tables.summary(committed.table, now=now))[0]
    some = runner.fetch(tables.some_keys(committed.table, now=now, size=_SAMPLED_KEYS))
    online = context.online.view(status.feature_view)
    write_keys = online.key_writer([kind for _, kind in newest.keys])
    sizes = online.memory_of(write_keys([*zip(*some, strict=True)])) if some else []
    return replace(
        status,
        rows=rows,
        oldest=since_epoch(first),
        newest=since_epoch(last),
        memory_bytes=round(sum(sizes) / len(sizes) * rows) if sizes else None,
        sampled_keys=len(sizes),
    )
