"""The strategies of the point-in-time join: they differ in speed alone, never in their answers."""

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
_IN_ORDER = ("asof", "bucket")
"""Those that take the row which came last for the newest; with `known_at` it need not be."""


def strategy_for(view: FeatureView, *, dialect: Dialect, wanted: str | None) -> Strategy:
    """Choose how a view answers: as somebody wants it, else what is known to be fastest.

    DuckDB joins ASOF; PostgreSQL looks rows up one by one where an index on keys and time is known, else puts them into
    buckets; carry serves everywhere, and where neither fits: the newest row of a view with `known_at` need not be the
    last to come.

    Raises:
        RequestError: The dialect or the view cannot be asked in the wanted way.
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
