"""The strategies of the point-in-time join: they differ only in speed, never in their answers."""

from __future__ import annotations

from collections.abc import Callable

from feature_sync.definitions import FeatureView, History
from feature_sync.errors import RequestError, did_you_mean
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.training.steps import Group, Plan
from feature_sync.sql.training.strategies.asof import asof
from feature_sync.sql.training.strategies.bucket import bucket
from feature_sync.sql.training.strategies.carry import carry
from feature_sync.sql.training.strategies.lateral import lateral
from feature_sync.sql.training.strategies.timeless import timeless

Strategy = Callable[[Group], Plan]

STRATEGIES: dict[str, Strategy] = {"asof": asof, "bucket": bucket, "carry": carry, "lateral": lateral}
RESTRICTED: tuple[Strategy, ...] = (asof, carry)
"""Strategies that read a view's rows before they meet the spine, so that they gain by restricting them to its entities.

The others look rows up by the keys of the spine, or join them to these first.
"""
_IN_ORDER = ("bucket",)
"""Strategies that take the last row to become available as the newest, which need not hold with `known_at`."""


def strategy_for(view: FeatureView, *, dialect: Dialect, wanted: str | None) -> Strategy:
    """Choose the strategy of a view: the wanted one, or the fastest known.

    DuckDB uses its ASOF join. PostgreSQL looks rows up one by one if the view has an index on keys and time, and
    otherwise puts them into buckets. Carry works everywhere, also for views with `known_at`, whose newest row need not
    be the last to become available, so that buckets do not answer them.

    Args:
        view: The view.
        dialect: The dialect of the query.
        wanted: The name of a strategy; None for the fastest.

    Raises:
        RequestError: The strategy does not exist, or the dialect or the view does not support it.
    """
    if view.history is History.TIMELESS:
        return timeless
    if wanted is None:
        if dialect.looks_up_by_index and view.is_indexed:
            return lateral
        best = dialect.strategies[0]
        return carry if view.known_at is not None and best in _IN_ORDER else STRATEGIES[best]
    if wanted not in STRATEGIES:
        raise RequestError(f"no strategy is called {wanted!r}{did_you_mean(wanted, STRATEGIES)}")
    if wanted not in dialect.strategies:
        raise RequestError(f"{dialect.name} has no {wanted} join; leave out --strategy, or take carry")
    if wanted in _IN_ORDER and view.known_at is not None:
        raise RequestError(
            f"{view.reference} has known_at, so its newest row need not be the last to come: "
            f"{wanted} cannot answer it; leave out --strategy, or take carry"
        )
    return STRATEGIES[wanted]
