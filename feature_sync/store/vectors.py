"""The requests for feature vectors by a project's names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import Any, Final

from feature_sync.clock import read_as_of
from feature_sync.definitions import FeatureService
from feature_sync.errors import OnlineStoreError, RequestError
from feature_sync.online.absence import why_unknown
from feature_sync.online.base import OnlineStore
from feature_sync.serving.absence import NoCard
from feature_sync.serving.card_sources import Answer, Request
from feature_sync.serving.client import answer
from feature_sync.serving.composing import NotPushed
from feature_sync.serving.requests import ServiceRequests
from feature_sync.store.connections import Connections
from feature_sync.store.project import FeatureProject

ONLY_ONE: Final = ...
"""Stands for keys that are not given, since the service is the project's only one and need not be named."""


def named(project: FeatureProject, name: Any, keys: Any) -> tuple[str, Any]:
    """Return the name of a service and the keys; keys alone ask the project's only service.

    Args:
        project: The project.
        name: The name of a service or view, or the keys if `keys` is `ONLY_ONE`.
        keys: The keys, or `ONLY_ONE`.

    Raises:
        RequestError: Keys alone are given, and the project has no service, or several.
    """
    if keys is not ONLY_ONE:
        return name, keys
    services = [*project.registry.feature_services]
    if len(services) != 1:
        have = ", ".join(services) or "none"
        raise RequestError(f"name the feature service, then the keys: the project has several or none ({have})")
    return services[0], name


def read_online(
    project: FeatureProject,
    connections: Connections,
    name: str,
    ask: Callable[[ServiceRequests, datetime | None], Request[Answer]],
    *,
    as_of: str | datetime | None = None,
) -> Answer:
    """Read the card or feature vectors of a feature service, or of a view.

    Args:
        project: The project that defines the service.
        connections: Opens Redis.
        name: Name of a feature service or view.
        ask: Makes the request, by the requests of the service and the moment to use as now if that is fixed.
        as_of: The moment to use as now.

    Raises:
        FeatureSyncError: A name or a key is unknown, a view was never pushed, or Redis failed.
    """
    service, moment = _asked(project, name, as_of)
    request = ask(connections.requests(service), moment)
    try:
        return answer(request, connections.sockets(), monotonic() + connections.redis_timeout)
    except (NotPushed, NoCard) as missing:
        raise why_not_served(connections.online(), service, missing) from missing


def _asked(project: FeatureProject, name: str, as_of: str | datetime | None) -> tuple[FeatureService, datetime | None]:
    """Return the service, and the moment to use as now if it is fixed."""
    service, clock = project.service(name), project.clock(read_as_of(as_of))
    for view in (each.view for each in service.selections):
        if not view.online:
            raise RequestError(f"{view.relation.location}: {view.reference} says online: false, so it is never pushed")
    return service, clock.now if clock.is_fixed else None


def why_not_served(online: OnlineStore, service: FeatureService, missing: NotPushed | NoCard) -> OnlineStoreError:
    """Return the error that says why Redis cannot serve a service of the project, and what to push.

    Args:
        online: The online store.
        service: The definition.
        missing: What the request met.
    """
    if isinstance(missing, NotPushed):
        return OnlineStoreError(why_unknown(online, missing.reference))
    for each in service.selections:
        if not online.view(each.view.reference).schemas():
            return OnlineStoreError(why_unknown(online, each.view.reference))
    return OnlineStoreError(
        f"{service.name} is not served yet under the key prefix {online.key_prefix!r}; feature-sync push publishes it"
    )
