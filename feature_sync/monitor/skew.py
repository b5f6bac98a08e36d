"""The skew of a feature service: served vectors beside what training answers for the same keys and moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from feature_sync.reports import html_table

TOLERANCE = 1e-9
"""Relative: sums of the same floats in another order differ in the last of some 16 digits, and no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSkew:
    """How a feature was served, compared with training.

    Args:
        name: Its name in the service.
        feature_view: The reference of its view.
        vectors: How many vectors were compared.
        matching: In how many it has the value of training, or neither has one.
        different: In how many both have values, which differ.
        missing: In how many only training has a value, or serving answered with the default instead.
        extra: In how many only serving has a value.
        mean_difference: Of numbers that differ, the mean of the absolute differences; None for other types.
        max_difference: The largest absolute difference.
    """

    name: str
    feature_view: str
    vectors: int
    matching: int
    different: int
    missing: int
    extra: int
    mean_difference: float | None = None
    max_difference: float | None = None

    @property
    def match_share(self) -> float:
        """The share of the vectors that match, from 0 to 1."""
        return self.matching / self.vectors if self.vectors else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewLag:
    """With which lag the rows of a view truly became available, as far as the vectors tell.

    Args:
        feature_view: The reference of the view.
        alias: Its alias in the service.
        lag: The lag as defined: training takes a row as known from its event timestamp plus this.
        observed_lag: The lag that fits best to what was served; that of the definition if no other fits better.
        matching: The vectors that match in all features of the view.
        matching_with_observed: How many would match if the observed lag were the defined one.
    """

    feature_view: str
    alias: str
    lag: timedelta
    observed_lag: timedelta
    matching: int
    matching_with_observed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewExample:
    """A value that was served and is not what training answers; None if values are redacted, or for null."""

    feature: str
    keys: Mapping[str, Any]
    served_at: datetime
    served: Any
    training: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """The result of comparing a log of served vectors with training.

    Args:
        service: The name of the service.
        log: Where the vectors were read.
        since: When the first of them was served; None if there is none.
        until: When the last one was served.
        vectors: How many were compared.
        matching: How many match in every feature.
        other_shape: How many were left out, as they have other features, types, defaults or TTLs.
        other_logic: How many were compared although they were served by other SQL than that of now.
        tolerance: The relative difference up to which floats match.
        features: Each feature.
        views: Each view with event timestamps.
        examples: Some differences.
        are_values_redacted: True if the examples have no keys and no values.
    """

    service: str
    log: str
    since: datetime | None
    until: datetime | None
    vectors: int
    matching: int
    other_shape: int = 0
    other_logic: int = 0
    tolerance: float = TOLERANCE
    features: tuple[FeatureSkew, ...] = ()
    views: tuple[ViewLag, ...] = ()
    examples: tuple[SkewExample, ...] = field(default=(), repr=False)
    are_values_redacted: bool = False

    @property
    def match_share(self) -> float:
        """The share of the vectors that match in every feature, from 0 to 1."""
        return self.matching / self.vectors if self.vectors else 1.0

    def is_within(self, least: float) -> bool:
        """True if every feature matches in at least this share of the vectors."""
        return all(each.match_share >= least for each in self.features)

    def _repr_html_(self) -> str:
        columns = ("name", "feature_view", "match_share", "different", "missing", "extra", "mean_difference")
        return html_table(
            [name.replace("_", " ") for name in columns],
            [[getattr(each, name) for name in columns] for each in self.features],
        )
