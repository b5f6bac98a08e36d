"""Reports pushes and extracts to OpenLineage, if the profile or the environment asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from feature_sync.definitions import FeatureView, Relation
from feature_sync.errors import FeatureSyncError
from feature_sync.extras import MissingLibrary, needed_by
from feature_sync.monitor import datasets
from feature_sync.monitor.datasets import Dataset
from feature_sync.push import Pushed
from feature_sync.store.connections import Connections
from feature_sync.store.project import FeatureProject
from feature_sync.store.pushes import PushRequest, push_views

if TYPE_CHECKING:
    from feature_sync.monitor.lineage import LineageRun, LineageSender
    from feature_sync.training import Extract, TrainingSet

LINEAGE = "lineage"
_VARIABLES = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG")
_TRANSPORT = "OPENLINEAGE__TRANSPORT"


def push_with_lineage(
    project: FeatureProject, connections: Connections, names: Iterable[str], request: PushRequest
) -> Iterator[Pushed]:
    """Push views as `push_views` does, and report each as a run of a job."""
    sender = None if request.get("dry_run") else _sender(project)
    if sender is None:
        yield from push_views(project, connections, names, request)
        return
    runs = _PushRuns(project, connections, sender)
    try:
        for pushed in push_views(project, connections, names, request, begin=runs.begin):
            runs.end(pushed)
            yield pushed
    except FeatureSyncError as failure:
        runs.end_all(str(failure))
        raise
    finally:
        runs.end_all("interrupted", was_interrupted=True)
        _close(project, sender)


class _PushRuns:
    """The runs of one push, by the references of views."""

    def __init__(self, project: FeatureProject, connections: Connections, sender: LineageSender) -> None:
        self._project, self._connections, self._sender = project, connections, sender
        self._runs: dict[str, LineageRun] = {}
        self._ended: set[str] = set()

    def begin(self, views: Sequence[FeatureView]) -> None:
        """Send that views are being pushed; a push that starts over has begun already."""
        from feature_sync.monitor.lineage import new_run

        where = self._connections.redis_address()
        for view in views:
            if view.reference in self._runs:
                continue
            source, prefix = _source(self._project, view.relation), self._project.key_prefix
            names = [each.name for each in view.features]
            fields = {name: source.fields.get(name) for name in names}
            output = datasets.of_online_view(where, f"{prefix}:{view.reference}", fields)
            columns = {name: (source, name) for name in names}
            job = f"{self._project.dbt.name}.push.{view.reference}"
            self._runs[view.reference] = run = new_run(job, "PUSH", [source], output, columns)
            self._sender.start(run)

    def end(self, pushed: Pushed) -> None:
        """Send how the push of a view ended."""
        run = self._runs.get(pushed.feature_view)
        if run is None:
            return
        self._ended.add(pushed.feature_view)
        if problem := pushed.failed or pushed.held_back:
            self._sender.fail(run, problem)
        else:
            self._sender.complete(run, rows=pushed.written, size=pushed.sent_bytes)

    def end_all(self, message: str, *, was_interrupted: bool = False) -> None:
        """Send that all other views failed."""
        for reference in [each for each in self._runs if each not in self._ended]:
            self._ended.add(reference)
            self._sender.fail(self._runs[reference], message, was_interrupted=was_interrupted)


@contextmanager
def extract_with_lineage(
    project: FeatureProject, training_set: TrainingSet, path: str
) -> Iterator[Callable[[Extract], None]]:
    """Report an extract as a run of a job; yields what is called with the extract once it is written."""
    sender = _sender(project)
    if sender is None:
        yield lambda extract: None
        return
    from feature_sync.monitor.lineage import new_run

    service = training_set.service
    run = new_run(f"{project.dbt.name}.extract.{service.name}", "EXTRACT", *_of_extract(project, training_set, path))
    sender.start(run)
    written: list[Extract] = []
    try:
        yield written.append
        sender.complete(run, rows=written[0].rows)
    except BaseException as failure:
        is_ours = isinstance(failure, FeatureSyncError)
        sender.fail(run, str(failure) if is_ours else type(failure).__name__, was_interrupted=not is_ours)
        raise
    finally:
        _close(project, sender)


def _of_extract(
    project: FeatureProject, training_set: TrainingSet, path: str
) -> tuple[list[Dataset], Dataset, dict[str, Any]]:
    service, spine = training_set.service, training_set.spine
    sources = {each.view.reference: _source(project, each.view.relation) for each in service.selections}
    inputs = [*sources.values()]
    if spine.relation.unique_id:
        inputs.append(_source(project, spine.relation))
    columns = {
        service.output_name(each, feature): (sources[each.view.reference], feature)
        for each in service.selections
        for feature in each.features
    }
    fields = {name: source.fields.get(column) for name, (source, column) in columns.items()}
    return inputs, datasets.of_file(path, fields), columns


def _source(project: FeatureProject, relation: Relation) -> Dataset:
    from feature_sync.sql.relation_names import relation_parts

    fields = {name: column.data_type for name, column in relation.columns.items()}
    return datasets.of_relation(project.target, relation_parts(relation.name, dialect=project.dialect), fields)


def _sender(project: FeatureProject) -> LineageSender | None:
    """Return what sends events; None if nothing asks for it, or it cannot be done, which is a warning."""
    try:
        lineage = _asked(project)
        if lineage is None and not _is_asked_by_environment():
            return None
        with needed_by("lineage"):
            from feature_sync.monitor.lineage import LineageSender, client_of
        from feature_sync import __version__

        return LineageSender(client_of(lineage), namespace=project.dbt.name, version=__version__)
    except (FeatureSyncError, MissingLibrary) as wrong:
        project.warn(f"no lineage is sent: {wrong}")
        return None


def _asked(project: FeatureProject) -> str | None:
    """Return the URL or the file of the profile; a file is relative to the project."""
    from feature_sync.errors import ProfileError

    where, lineage = project.own_setting(LINEAGE)
    if lineage in (None, ""):
        return None
    if not isinstance(lineage, str) or "\0" in lineage:
        raise ProfileError(f"{where}: must be a URL or a file")
    is_url = lineage.startswith(("http://", "https://"))
    return lineage if is_url else str(project.dbt.directory / lineage)


def _is_asked_by_environment() -> bool:
    """True if the library's own variables say where events go."""
    if os.environ.get("OPENLINEAGE_DISABLED", "").lower() in ("true", "1"):
        return False
    return any(name in _VARIABLES or name.startswith(_TRANSPORT) for name in os.environ)


def _close(project: FeatureProject, sender: LineageSender) -> None:
    if problem := sender.close():
        project.warn(f"lineage: {problem}")
