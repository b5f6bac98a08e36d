"""What a feature store tells those who watch it: metrics of its status, and of its cluster, at each scrape."""

from __future__ import annotations

from collections.abc import Iterator

from feature_sync.errors import FeatureSyncError
from feature_sync.monitor.exposition import exposition
from feature_sync.monitor.metrics import Sample, of_cluster, of_scrape, of_slots, of_statuses, of_streaming
from feature_sync.online.base import OnlineStore
from feature_sync.store.connections import Connections
from feature_sync.store.project import FeatureProject
from feature_sync.store.requests import each_status
from feature_sync.stream.report import StreamCounts


class StatusMetrics:
    """Reads the status of all views anew whenever it is called, by the newest manifest."""

    def __init__(self, project: FeatureProject, connections: Connections) -> None:
        """Read nothing yet.

        Args:
            project: The project.
            connections: Opens the warehouse and Redis.
        """
        self._project = project
        self._connections = connections
        self._read_at: float | None = None
        self._warned = ""

    def __call__(self) -> str:
        """Return the metrics; if project or Redis cannot be read, only that they cannot, with one warning."""
        samples: list[Sample] = []
        try:
            self._forget_old_artifacts()
            samples.extend(cluster_samples(self._connections.online(may_create=False)))
            samples += [*of_statuses(each_status(self._project, self._connections, ()), self._project.registry)]
            problem = ""
        except FeatureSyncError as failed:
            problem = str(failed)
        if problem and problem != self._warned:
            self._project.warn(problem)
        self._warned = problem
        return exposition([*of_scrape(is_up=not problem), *samples], project=self._project.key_prefix)

    def _forget_old_artifacts(self) -> None:
        """Let the manifest be read again if dbt wrote another one."""
        try:
            written: float | None = (self._project.dbt.target_path / "manifest.json").stat().st_mtime
        except OSError:
            written = None
        if written != self._read_at:
            self._project.forget_artifacts()
        self._read_at = written


def cluster_samples(online: OnlineStore) -> Iterator[Sample]:
    """Yield how a cluster is, then of each view that was pushed its slots; nothing of one server.

    Raises:
        OnlineStoreError: A slot is not served: after the samples that say so.
    """
    health = online.cluster_health()
    if health is None:
        return
    yield from of_cluster(health)
    if health.uncovered_slots:  # to ask for what they hold would cost the timeout of each, and the scrape
        return
    for reference in sorted(online.references()):
        view = online.view(reference)
        if (mark := view.mark()) is not None and (marks := view.slot_marks()) is not None:
            yield from of_slots(reference, mark.push, marks)


def streaming_metrics(counts: StreamCounts, *, key_prefix: str) -> str:
    """Return the metrics of a process that streams, as far as it has come."""
    return exposition(of_streaming(counts), project=key_prefix)
