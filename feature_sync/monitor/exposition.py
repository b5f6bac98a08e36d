"""Writes samples as text that OpenMetrics and Prometheus's older format both read: every metric is a gauge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from feature_sync.monitor.metrics import METRICS, Sample

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(samples: Iterable[Sample], *, project: str) -> str:
    """Write samples, those of one metric together, in the order of `METRICS`.

    A counter would be spelled differently in the two formats. What one command did is a gauge anyway.

    Args:
        samples: The samples; each has the labels of its metric.
        project: The key prefix of the project, which labels every sample.
    """
    registry = CollectorRegistry()
    registry.register(_Samples(samples, project))
    page: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return page.decode()


class _Samples(Collector):
    """Samples as prometheus-client collects them."""

    def __init__(self, samples: Iterable[Sample], project: str) -> None:
        self._samples = [*samples]
        self._project = project

    def describe(self) -> Iterable[Metric]:
        """Name nothing: a registry would collect otherwise to learn the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that have samples."""
        for metric in METRICS.values():
            family = GaugeMetricFamily(metric.name, metric.help, labels=("project", *metric.labels), unit=metric.unit)
            for name, labels, value in self._samples:
                if name == metric.name:
                    family.add_metric((self._project, *(labels[each] for each in metric.labels)), value)
            if family.samples:
                yield family
