"""Sends alerts of what pushes, verifications and statuses found to the hook of the profile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

from feature_sync.definitions import Registry
from feature_sync.errors import FeatureSyncError
from feature_sync.monitor.alerts import Alert, Kind, document_of
from feature_sync.monitor.hooks import Hook, read_hook
from feature_sync.store.project import FeatureProject

Result = TypeVar("Result")
ON_ALERT = "on_alert"


def alerting(
    project: FeatureProject, command: str, results: Iterable[Result], alerts_of: Callable[[Result], Iterable[Alert]]
) -> Iterator[Result]:
    """Yield results as they come, then send what is to be told of them. Nothing about a hook is ever an error.

    Args:
        project: The project, whose profile names the hook.
        command: The command.
        results: What it found.
        alerts_of: Returns the alerts of a result.
    """
    hook, found = _hook(project), list[Alert]()
    if hook is None:
        yield from results
        return
    try:
        for each in results:
            found += alerts_of(each)
            yield each
    except FeatureSyncError as failure:
        if not any(each.kind is Kind.FAILED for each in found):
            found.append(Alert(kind=Kind.FAILED, feature_view=None, message=str(failure)))
        _send(project, command, hook, found)
        raise
    _send(project, command, hook, found)


def _hook(project: FeatureProject) -> Hook | None:
    if _target(project) is None:
        return None  # there is no profile to name a hook, of which the command itself will tell
    try:
        where, hook = project.own_setting(ON_ALERT)
        return read_hook(hook, where)
    except FeatureSyncError as wrong:
        project.warn(f"no alerts are sent: {wrong}")
        return None


def _send(project: FeatureProject, command: str, hook: Hook, found: Iterable[Alert]) -> None:
    alerts = [each for each in found if each.kind in hook.kinds]
    if not alerts:
        return
    document = document_of(
        alerts,
        command=command,
        project=project.key_prefix,
        target=_target(project),
        at=datetime.now(UTC),
        registry=_registry(project),
    )
    for problem in hook.send(document):
        project.warn(f"{ON_ALERT}: {problem}")


def _target(project: FeatureProject) -> str | None:
    try:
        return project.target.name
    except FeatureSyncError:
        return None


def _registry(project: FeatureProject) -> Registry | None:
    try:
        return project.registry
    except FeatureSyncError:
        return None
