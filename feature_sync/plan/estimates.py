"""Estimates what it costs to push all rows of a view again: entities are counted, and some of their rows encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from feature_sync.clock import Clock
from feature_sync.definitions import FeatureView, Period
from feature_sync.errors import FeatureSyncError
from feature_sync.online.codec import row_schema_of
from feature_sync.online.keys import row_key_writer
from feature_sync.online.rows import BYTES_PER_ENTRY, RowEncoder
from feature_sync.plan.plan import Estimate, PlannedView
from feature_sync.plan.verdict import Verdict
from feature_sync.query_runner import QueryRunner
from feature_sync.sql.push.counting import count_entities
from feature_sync.sql.push.latest import latest_rows
from feature_sync.warehouses.base import Warehouse

_SAMPLE = 1_000


def with_estimates(
    planned: Iterable[PlannedView],
    views: Mapping[str, FeatureView],
    *,
    open_warehouse: Callable[[], Warehouse],
    key_prefix: str,
    clock: Clock,
) -> tuple[PlannedView, ...]:
    """Add estimates to the views whose rows the next push sends again; a warehouse that fails makes no plan fail.

    Args:
        planned: The views of a plan.
        views: Their definitions by reference.
        open_warehouse: Connects to the warehouse.
        key_prefix: The key prefix of the online store.
        clock: The moment of the push.
    """
    planned = tuple(planned)
    wanted = [each.name for each in planned if _is_sent_again(each) and each.name in views and views[each.name].online]
    found: dict[str, Estimate | str] = {}
    try:
        if wanted:
            with open_warehouse() as warehouse:
                for name in wanted:
                    found[name] = _estimate(QueryRunner(warehouse), views[name], key_prefix, clock)
    except FeatureSyncError as unreachable:
        found |= {name: str(unreachable) for name in wanted if name not in found}
    return tuple(_with(each, found.get(each.name)) for each in planned)


def _is_sent_again(view: PlannedView) -> bool:
    return view.is_new or view.verdict.rank >= Verdict.RE_PUSH.rank


def _with(view: PlannedView, found: Estimate | str | None) -> PlannedView:
    return replace(view, no_estimate=found) if isinstance(found, str) else replace(view, estimate=found)


def _estimate(runner: QueryRunner, view: FeatureView, key_prefix: str, clock: Clock) -> Estimate | str:
    """Estimate from the table as it is built now; returns why not if it is not built, or does not fit."""
    warehouse = runner.warehouse
    try:
        with warehouse.snapshot([view.relation.name]):
            query = runner.query_of(view, asked=Period(clock.now, clock.now))
            counted = count_entities(query, now=clock.now)
            scan = warehouse.bytes_to_scan(runner.text(counted))
            rows = int(runner.fetch(counted)[0][0])
            schema = row_schema_of(view, query.key_types, query.feature_types)
            writer = row_key_writer(key_prefix, view.reference, [kind for _, kind in schema.keys])
            encoder = RowEncoder(writer, schema, lag=view.lag, expires=not clock.is_fixed)
            sample = runner.text(latest_rows(query, now=clock.now, sample=_SAMPLE))
            sizes = [
                len(key) + len(value)
                for columns in warehouse.columns(sample, batch_size=_SAMPLE)
                for key, value, _ in encoder.encode(columns)
            ]
    except FeatureSyncError as unfit:
        return str(unfit)
    sent = round(sum(sizes) / len(sizes) * rows) if sizes else 0
    return Estimate(rows=rows, sent_bytes=sent, memory_bytes=sent + rows * BYTES_PER_ENTRY, scan_bytes=scan)
