"""A plan: the verdict of every feature view, feature, entity and feature service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from feature_sync.plan.verdict import Reason, Verdict, worst
from feature_sync.reports import html_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a push of all rows of a view would cost now.

    Args:
        rows: How many entities have a row.
        sent_bytes: The bytes of their keys and values, by a sample.
        memory_bytes: The memory that Redis needs for them.
        scan_bytes: How many bytes the warehouse would read; None if it does not report that.
    """

    rows: int
    sent_bytes: int
    memory_bytes: int
    scan_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDefinition:
    """An entity or a feature service, with the reasons for its verdict."""

    name: str
    reasons: tuple[Reason, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all reasons."""
        return worst(each.verdict for each in self.reasons)

    @property
    def broken_services(self) -> tuple[str, ...]:
        """The services that it breaks, sorted."""
        return tuple(sorted({name for each in self.reasons for name in each.services}))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFeature(PlannedDefinition):
    """A feature of a view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedView(PlannedDefinition):
    """A feature view; its verdict is the worst of its own reasons and of its features.

    `estimate` is what a push of all its rows costs, and `no_estimate` why that is unknown, if it is asked.
    """

    features: tuple[PlannedFeature, ...] = ()
    is_new: bool = False
    estimate: Estimate | None = None
    no_estimate: str | None = None

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of the view's own reasons and of its features."""
        return worst((*(each.verdict for each in self.reasons), *(each.verdict for each in self.features)))

    @property
    def broken_services(self) -> tuple[str, ...]:
        """The services that the view or one of its features breaks, sorted."""
        found = {
            name for each in (*self.reasons, *(r for f in self.features for r in f.reasons)) for name in each.services
        }
        return tuple(sorted(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a project changes in comparison with another state of it.

    `notes` are what the verdicts do not see.
    """

    feature_views: tuple[PlannedView, ...]
    entities: tuple[PlannedDefinition, ...]
    feature_services: tuple[PlannedDefinition, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"Plan({self.verdict.value!r}, {len(self.changed_views)} of {len(self.feature_views)} feature views change)"
        )

    def _repr_html_(self) -> str:
        rows = [(each.name, each.verdict.value, "; ".join(r.text for r in each.reasons)) for each in self]
        return f"<p>{escape(repr(self))}</p>{html_table(('name', 'verdict', 'why'), rows)}"

    def __iter__(self) -> Iterator[PlannedDefinition]:
        yield from (*self.feature_views, *self.entities, *self.feature_services)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict."""
        return worst(each.verdict for each in self)

    @property
    def is_breaking(self) -> bool:
        """True if a feature service breaks."""
        return self.verdict is Verdict.BREAKING

    @property
    def changed_views(self) -> tuple[PlannedView, ...]:
        """The feature views with another verdict than `same`."""
        return tuple(each for each in self.feature_views if each.verdict is not Verdict.SAME)
