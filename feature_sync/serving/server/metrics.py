"""The metrics of the server, for Prometheus; the workers of one server count together."""

from __future__ import annotations

import os
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from feature_sync.serving.status import Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's variable: the folder in which several processes count together."""
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """What one server process counts."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the page, and say when the process first counted
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "feature_sync_requests", "Requests by route and status.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "feature_sync_request_seconds", "Seconds by route.", ("route",), buckets=_SECONDS, registry=self._registry
        )
        self._values = Counter(
            "feature_sync_values", "Values by service and status.", ("service", "status"), registry=self._registry
        )
        self._known: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._counted: dict[tuple[str, Status], Counter] = {}

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count one request.

        Args:
            route: The route as it is defined, such as `/services/{name}`.
            status: The status of its response.
            seconds: How long it took.
        """
        found = self._known.get((route, status))
        if found is None:
            found = self._known[route, status] = (self._requests.labels(route, status), self._seconds.labels(route))
        requests, histogram = found
        requests.inc()
        histogram.observe(seconds)

    def count_values(self, service: str, counts: Mapping[Status, int]) -> None:
        """Count the values of one answer.

        Args:
            service: The name of the service.
            counts: The number of values by status.
        """
        for status, number in counts.items():
            counter = self._counted.get((service, status))
            if counter is None:
                counter = self._counted[service, status] = self._values.labels(service, str(status))
            counter.inc(number)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format, those of the other workers included."""
        registry = self._registry
        if os.environ.get(SHARED_FOLDER):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
