"""The request to compare served vectors with training."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TypedDict

from feature_sync.definitions import FeatureService
from feature_sync.errors import RequestError
from feature_sync.monitor.comparing import ColumnComparison, Outcome
from feature_sync.monitor.served_vectors import ServedVectors, Wanted, parquet_tables, vectors_of
from feature_sync.monitor.skew import TOLERANCE, FeatureSkew, Skew, SkewExample, ViewLag
from feature_sync.store.connections import Connections
from feature_sync.store.pins import pin_service
from feature_sync.store.project import FeatureProject
from feature_sync.store.served_table import read_served
from feature_sync.store.skew_join import Answered, lag_of, observed_lags, with_lags

_EXAMPLES = 5


class SkewRequest(TypedDict, total=False):
    """How to compare.

    `since` and `until` bound the moments at which vectors were served, both inclusive. `sample` compares that many
    vectors, spread evenly over the log. `tolerance` is the relative difference up to which floats match.
    `redact` leaves keys and values out of examples.
    """

    since: str | datetime | None
    until: str | datetime | None
    sample: int | None
    tolerance: float
    redact: bool


def measure_skew(
    project: FeatureProject,
    connections: Connections,
    name: str,
    log: str | os.PathLike[str],
    request: SkewRequest,
) -> Skew:
    """Compare the served vectors of a log with what training answers for the same keys and moments.

    Args:
        project: The project of the service.
        connections: Opens the warehouse.
        name: Name of the feature service.
        log: A folder of Parquet files, a Parquet file, or a table of the warehouse with its schema.
        request: Which vectors, and how to compare.

    Raises:
        FeatureSyncError: The name is unknown, the log cannot be read, or the warehouse failed.
        TypeError: The request has a key that `SkewRequest` lacks.
    """
    return _Measurement(project, connections, project.service(name), os.fspath(log), **request).result()


class _Measurement:
    """One comparison: the served vectors, what training answers, and what follows."""

    def __init__(
        self,
        project: FeatureProject,
        connections: Connections,
        service: FeatureService,
        log: str,
        *,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        sample: int | None = None,
        tolerance: float = TOLERANCE,
        redact: bool = False,
    ) -> None:
        if not 0 <= tolerance < 1:
            raise RequestError(f"--tolerance is a share from 0 to below 1, and not {tolerance:g}")
        self._project, self._connections, self._service, self._log = project, connections, service, log
        self._tolerance, self._redact = tolerance, redact
        self._served = self._read().between(since, until).sampled(sample)
        self._answered = Answered(project, connections, service, self._served, log=log, tolerance=tolerance)
        self._training = self._answered.answers(service)
        self._compared = self._answered.compare(service, self._training)

    def result(self) -> Skew:
        """Return the whole result."""
        served, shown = self._served, self._compared.values()
        moments = self._moments
        return Skew(
            service=self._service.name,
            log=self._log,
            since=min(moments, default=None),
            until=max(moments, default=None),
            vectors=len(moments),
            matching=_all_matching(list(shown)),
            other_shape=served.other_shape,
            other_logic=served.other_logic,
            tolerance=self._tolerance,
            features=tuple(self._features()),
            views=tuple(self._views()),
            examples=tuple(self._examples()),
            are_values_redacted=self._redact,
        )

    @property
    def _moments(self) -> list[datetime]:
        return self._served.moments

    def _read(self) -> ServedVectors:
        pin = pin_service(self._project, self._connections, self._service.name)
        wanted = Wanted(
            service=self._service.name,
            shape=pin.shape,
            logic=pin.logic,
            keys=self._service.join_keys,
            features=self._service.feature_names,
        )
        path = Path(self._log)
        if not path.exists() and "." not in self._log and os.sep not in self._log:
            raise RequestError(
                f"--log: {self._log} is no file and no folder; a table is named with its schema: ml.served"
            )
        if path.exists() or path.suffix == ".parquet" or os.sep in self._log:
            tables = parquet_tables(path)
        else:
            tables = iter([read_served(self._connections, self._log)])
        return vectors_of(tables, wanted, source=self._log)

    def _features(self) -> Iterator[FeatureSkew]:
        for selection in self._service.selections:
            for feature in selection.features:
                name = self._service.output_name(selection, feature)
                compared = self._compared[name]
                sizes = compared.differences
                yield FeatureSkew(
                    name=name,
                    feature_view=selection.view.reference,
                    vectors=len(compared.outcomes),
                    matching=compared.count(Outcome.MATCHING),
                    different=compared.count(Outcome.DIFFERENT),
                    missing=compared.count(Outcome.MISSING),
                    extra=compared.count(Outcome.EXTRA),
                    mean_difference=sum(sizes) / len(sizes) if sizes else None,
                    max_difference=max(sizes, default=None),
                )

    def _views(self) -> Iterator[ViewLag]:
        """Yield the lags of views with event timestamps; the join runs again if one seems to be another."""
        answered, service = self._answered, self._service
        selections = [each for each in service.selections if each.view.event_timestamp is not None]
        matching = {each.alias: sum(answered.matching(each, self._compared)) for each in selections}
        lags = observed_lags(answered, [each for each in selections if matching[each.alias] < len(self._moments)])
        later = answered.compare(with_lags(service, lags)) if lags else self._compared
        for each in selections:
            defined, observed = lag_of(each), lags.get(each.view.reference, lag_of(each))
            would_match = sum(answered.matching(each, later))
            is_better = would_match > matching[each.alias]
            yield ViewLag(
                feature_view=each.view.reference,
                alias=each.alias,
                lag=defined,
                observed_lag=observed if is_better else defined,
                matching=matching[each.alias],
                matching_with_observed=would_match if is_better else matching[each.alias],
            )

    def _examples(self) -> Iterator[SkewExample]:
        """Yield the first difference of each of some features."""
        wrong = {
            name: next((at for at, each in enumerate(compared.outcomes) if each is not Outcome.MATCHING), None)
            for name, compared in self._compared.items()
        }
        for name, at in [(name, at) for name, at in wrong.items() if at is not None][:_EXAMPLES]:
            (row,) = self._served.table.slice(at, 1).to_pylist()
            yield SkewExample(
                feature=name,
                keys={} if self._redact else {key: row[key] for key in self._service.join_keys},
                served_at=row[self._served.moment_name],
                served=None if self._redact else row[name],
                training=None if self._redact else self._training.column(name)[at].as_py(),
            )


def _all_matching(compared: list[ColumnComparison]) -> int:
    rows = zip(*(each.outcomes for each in compared), strict=True)
    return sum(all(each is Outcome.MATCHING for each in row) for row in rows)
