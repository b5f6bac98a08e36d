"""Pushes many feature views in parallel."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import replace
from threading import Event

from feature_sync.dbt.run_results import Gate
from feature_sync.definitions import FeatureView, Index, Period
from feature_sync.errors import ArtifactsChanged, FeatureSyncError, ViewsFailed
from feature_sync.push.context import PushContext
from feature_sync.push.pool import PlacesPool
from feature_sync.push.report import Pushed
from feature_sync.push.state import create_states, warehouse_id
from feature_sync.push.view_push import ViewPush
from feature_sync.query_runner import QueryRunner, check_view_collations
from feature_sync.sql.entity_types import check_entity_types
from feature_sync.sql.push.state_schema import PushTables
from feature_sync.sql.view_query import ViewQuery

_SECONDS_BETWEEN_CANCELS = 0.2


class Pusher:
    """Pushes feature views from one warehouse to one online store."""

    def __init__(self, context: PushContext, *, gate: Gate | None, threads: int) -> None:
        """Prepare to push.

        Args:
            context: What the pushes share.
            gate: Holds back views by dbt's results; None pushes every view.
            threads: How many views to push at once.
        """
        self._context = context
        self._gate = gate
        self._threads = threads

    def push(self, views: Collection[FeatureView]) -> Iterator[Pushed]:
        """Push the views, and yield each as it ends; one that is held back, or fails, does not stop the others.

        Raises:
            DefinitionError: A view does not fit its table.
            ArtifactsChanged: dbt rewrote its artifacts; the views that were not yielded are not pushed.
            ViewsFailed: Several views failed; raised when all have ended.
            FeatureSyncError: One view failed: its own error, raised when all have ended.
        """
        reasons = {view.reference: self._gate and self._gate.reason_to_hold(view) for view in views}
        yield from (Pushed(feature_view=name, held_back=reason) for name, reason in reasons.items() if reason)
        dry_run = self._context.options.dry_run
        pool = PlacesPool(self._context.open_places)
        queries, name = self._prepare([view for view in views if not reasons[view.reference]], pool)
        stop = Event()
        check = self._gate.check_unchanged if self._gate else lambda: None
        with ThreadPoolExecutor(self._threads, thread_name_prefix="push") as workers:
            pushes = [
                ViewPush(query, self._context, pool=pool, warehouse_id=name, check=check, stopped=stop.is_set)
                for query in queries
            ]
            running = {workers.submit(each.preview if dry_run else each.push): each for each in pushes}
            failures: dict[str, FeatureSyncError] = {}
            unsent: dict[str, ArtifactsChanged] = {}
            try:
                for future in as_completed(running):
                    name = running[future].reference
                    try:
                        yield future.result()
                    except ArtifactsChanged as changed:
                        unsent[name] = changed
                    except FeatureSyncError as failure:
                        failures[name] = failure
                        yield Pushed(feature_view=name, failed=str(failure))
            finally:
                stop.set()
                _end(workers, running)
                pool.close()
        if failures:
            yield from (Pushed(feature_view=name, failed=str(changed)) for name, changed in unsent.items())
            raise _joined({**failures, **unsent})
        if unsent:
            raise next(iter(unsent.values()))

    def _prepare(self, views: Collection[FeatureView], pool: PlacesPool) -> tuple[list[ViewQuery], str]:
        """Check rights and types, create the table of states, and return the queries and the id of the state's place.

        A dry run creates nothing.
        """
        if not views:
            return [], ""
        with pool.lend() as places:
            options, relations = self._context.options, [view.relation.name for view in views]
            writes_to = None if options.dry_run else options.state_schema
            places.check_rights(relations, writes_to=writes_to)
            runner, indexes = QueryRunner(places.rows), places.rows.indexes(relations)
            asked = Period(self._context.clock.now, self._context.clock.now)
            queries = [
                _with_index(runner.query_of(view, asked=asked), indexes.get(view.relation.name, ()), asked=asked)
                for view in views
            ]
            check_entity_types(queries)
            for query in queries:
                check_view_collations(places.rows, query)
            named = warehouse_id if options.dry_run else create_states
            return queries, named(QueryRunner(places.state), PushTables(options.state_schema))


def _with_index(query: ViewQuery, indexes: Iterable[Index], *, asked: Period) -> ViewQuery:
    """Let the query use an index of which dbt knows nothing; not what it proves, since it may be dropped by then."""
    is_indexed = query.with_indexes(indexes).is_indexed
    return ViewQuery(replace(query.view, is_indexed=is_indexed), dialect=query.dialect, asked=asked)


def _end(workers: ThreadPoolExecutor, running: Mapping[Future[Pushed], ViewPush]) -> None:
    """Wait for pushes that were asked to stop, and cancel their queries."""
    workers.shutdown(wait=False, cancel_futures=True)
    while waiting := wait(running, timeout=_SECONDS_BETWEEN_CANCELS).not_done:
        for future in waiting:  # again and again: a push may have been between two queries, and started another
            running[future].cancel()


def _joined(failures: Mapping[str, FeatureSyncError]) -> FeatureSyncError:
    """Return one error for those of several views."""
    ordered = dict(sorted(failures.items()))
    return ViewsFailed(ordered) if len(ordered) > 1 else next(iter(ordered.values()))
