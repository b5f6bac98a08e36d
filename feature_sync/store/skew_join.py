"""What training answers for the keys and moments of served vectors, and with which lags it would answer the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_sync.definitions import Feature, FeatureService, FeatureView, Selection, service_of
from feature_sync.monitor.comparing import ColumnComparison, Outcome
from feature_sync.monitor.lags import best_lag
from feature_sync.monitor.served_vectors import ServedVectors
from feature_sync.store.connections import Connections
from feature_sync.store.project import FeatureProject
from feature_sync.store.served_table import plain_columns
from feature_sync.store.training_sets import ask_training_set
from feature_sync.value_types import to_microseconds

if TYPE_CHECKING:
    import pyarrow

_MICROSECOND = timedelta(microseconds=1)
_ROUNDS = 12
_VECTORS_OF_A_ROUND = 2_000


class Answered:
    """Served vectors of a service, and the answers of training beside them."""

    def __init__(
        self,
        project: FeatureProject,
        connections: Connections,
        service: FeatureService,
        served: ServedVectors,
        *,
        log: str,
        tolerance: float,
    ) -> None:
        """Join nothing yet.

        Args:
            project: The project of the service.
            connections: Opens the warehouse.
            service: The service as it is defined.
            served: The vectors.
            log: Where they were read.
            tolerance: The relative difference up to which floats match.
        """
        self._project, self._connections, self.service, self.served = project, connections, service, served
        self._log, self._tolerance = log, tolerance

    def sampled(self, size: int) -> Answered:
        """Return some of them, spread evenly."""
        served = self.served.sampled(size)
        return Answered(
            self._project, self._connections, self.service, served, log=self._log, tolerance=self._tolerance
        )

    def answers(self, service: FeatureService) -> pyarrow.Table:
        """Return what training answers for the keys and moments of the log, in its order."""
        moment = self.served.moment_name
        spine = self.served.table.select([*service.join_keys, moment])
        training_set = ask_training_set(
            self._project, self._connections, service, (spine, None), strategy=None, options={"event_timestamp": moment}
        )
        return training_set.collect().table

    def compare(self, service: FeatureService, answers: pyarrow.Table | None = None) -> dict[str, ColumnComparison]:
        """Compare each feature with what training answers by a service, which may have other lags."""
        answers = (self.answers(service) if answers is None else answers).select([*service.feature_names])
        if any(_is_nested(field.type) for field in answers.schema) and not Path(self._log).exists():
            answers = plain_columns(answers)  # as the warehouse's table has them
        return {
            name: ColumnComparison(
                self.served.table.column(name).to_pylist(),
                answers.column(name).to_pylist(),
                absent=self.served.absences(name),
                tolerance=self._tolerance,
            )
            for name in service.feature_names
        }

    def matching(self, selection: Selection, compared: Mapping[str, ColumnComparison]) -> list[bool]:
        """Tell for each vector whether it matches in all features of a view."""
        names = [self.service.output_name(selection, feature) for feature in selection.features]
        outcomes = [compared[name].outcomes for name in names]
        return [all(each is Outcome.MATCHING for each in row) for row in zip(*outcomes, strict=True)]

    def ages(self, selections: list[Selection]) -> dict[str, list[int | None]]:
        """Return for each alias how old the answers of training were, in microseconds; None where there is none."""
        service = replace(service_of([_timed(each) for each in selections], name=self.service.name), full_names=True)
        answers, asked = self.answers(service), [to_microseconds(each) for each in self.served.moments]
        ages = {}
        for each, name in zip(selections, service.feature_names, strict=True):
            moments = _microseconds(answers.column(name), each.view)
            ages[each.alias] = [None if at is None else moment - at for moment, at in zip(asked, moments, strict=True)]
        return ages


def observed_lags(answered: Answered, selections: list[Selection]) -> dict[str, timedelta]:
    """Estimate the lags with which rows of views became available, by reference; only those that are not as defined.

    Training answers with the newest row, so that the vectors tell at once only of lags up to the time between two rows.
    The next round asks what training would answer with the lag found so far, and so on.

    Args:
        answered: The vectors.
        selections: Selections of views with event timestamps, in which some vectors do not match.
    """
    some, lags = answered.sampled(_VECTORS_OF_A_ROUND), {each.view.reference: lag_of(each) for each in selections}
    defined = {**lags}
    for _ in range(_ROUNDS if selections else 0):
        found = _round(some, selections, lags)
        if found == lags:
            break
        lags = found
    return {reference: lag for reference, lag in lags.items() if lag != defined[reference]}


def _round(answered: Answered, selections: list[Selection], lags: Mapping[str, timedelta]) -> dict[str, timedelta]:
    """Return the lags that agree best with what training answers by lags."""
    service = with_lags(answered.service, lags)
    changed = [replace(each, view=_with_lag(lags, each.view)) for each in selections]
    compared, ages = answered.compare(service), answered.ages(changed)
    observations: dict[str, list[tuple[int, bool]]] = {reference: [] for reference in lags}
    for each in changed:  # a view may have several aliases
        pairs = zip(ages[each.alias], answered.matching(each, compared), strict=True)
        observations[each.view.reference] += [(age, is_so) for age, is_so in pairs if age is not None]
    return {
        reference: _MICROSECOND * best_lag(found, defined=lags[reference] // _MICROSECOND)
        for reference, found in observations.items()
    }


def lag_of(selection: Selection) -> timedelta:
    """Return the lag of a view as defined."""
    return selection.view.lag or timedelta()


def with_lags(service: FeatureService, lags: Mapping[str, timedelta]) -> FeatureService:
    """Return a service whose views have other lags, by reference."""
    return service.with_views(partial(_with_lag, lags))


def _with_lag(lags: Mapping[str, timedelta], view: FeatureView) -> FeatureView:
    return replace(view, lag=lags.get(view.reference, view.lag))


def _timed(selection: Selection) -> Selection:
    """Select the event timestamp of a view instead of its features."""
    name = selection.view.event_timestamp or ""
    view = replace(selection.view, features=(Feature(name=name),))
    return replace(selection, view=view, features=(name,))


def _microseconds(column: pyarrow.ChunkedArray, view: FeatureView) -> list[int | None]:
    """Return moments in microseconds UTC: a naive one is in the time zone of its view."""
    import pyarrow
    import pyarrow.compute

    moments = column.cast(pyarrow.timestamp("us", tz=getattr(column.type, "tz", None)))
    if moments.type.tz is None:
        moments = pyarrow.compute.assume_timezone(moments, view.timezone, ambiguous="earliest", nonexistent="earliest")
    found: list[int | None] = moments.cast(pyarrow.int64()).to_pylist()
    return found


def _is_nested(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_nested(kind))
