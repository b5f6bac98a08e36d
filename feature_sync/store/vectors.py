"""The requests for feature vectors by a project's names."""

from __future__ import annotations

from datetime import datetime
from time import monotonic
from typing import Any

from feature_sync.clock import read_as_of
from feature_sync.definitions import FeatureService
from feature_sync.errors import OnlineStoreError, RequestError
from feature_sync.online.absence import why_unknown
from feature_sync.online.base import OnlineStore
from feature_sync.serving.absence import NoCard
from feature_sync.serving.card import Card
from feature_sync.serving.card_sources import Answer, Request
from feature_sync.serving.client import answer, is_lenient
from feature_sync.serving.composing import NotPushed
from feature_sync.serving.vectors import FeatureVector, FeatureVectors
from feature_sync.store.connections import Connections
from feature_sync.store.project import FeatureProject


def read_vector(
    project: FeatureProject,
    connections: Connections,
    name: str,
    entity: Any,
    *,
    as_of: str | datetime | None,
    on_error: str,
) -> FeatureVector:
    """Read the vector of one entity; see `FeatureStore.get_feature_vector`.

    Args:
        project: The project that defines the service.
        connections: Opens Redis.
        name: Name of a feature service or view.
        entity: The keys as a mapping, or the value of the only key.
        as_of: The moment to use as now.
        on_error: `"raise"` or `"null"`.

    Raises:
        FeatureSyncError: A name or a key is unknown, a view was never pushed, or Redis failed.
    """
    service, moment = _asked(project, name, as_of)
    requests = connections.requests(service)
    return _answer(connections, service, requests.get(entity, {}, lenient=is_lenient(on_error), moment=moment))


def read_vectors(
    project: FeatureProject,
    connections: Connections,
    name: str,
    entities: Any,
    *,
    as_of: str | datetime | None,
    on_error: str,
) -> FeatureVectors:
    """Read the vectors of many entities; see `FeatureStore.get_online_features`.

    Args:
        project: The project that defines the service.
        connections: Opens Redis.
        name: Name of a feature service or view.
        entities: Mappings from key to value, a frame, or values of the only key.
        as_of: The moment to use as now.
        on_error: `"raise"` or `"null"`.

    Raises:
        FeatureSyncError: A name or a key is unknown, a view was never pushed, or Redis failed.
    """
    service, moment = _asked(project, name, as_of)
    requests = connections.requests(service)
    return _answer(connections, service, requests.get_many(entities, lenient=is_lenient(on_error), moment=moment))


def read_service_card(project: FeatureProject, connections: Connections, name: str) -> Card:
    """Read the card of a feature service, or make that of a view.

    Args:
        project: The project that defines the service.
        connections: Opens Redis.
        name: Name of a feature service or view.

    Raises:
        FeatureSyncError: The name is unknown, a view was never pushed, or Redis failed.
    """
    service, _ = _asked(project, name, None)
    return _answer(connections, service, connections.requests(service).card())


def _asked(project: FeatureProject, name: str, as_of: str | datetime | None) -> tuple[FeatureService, datetime | None]:
    """Return the service, and the moment to use as now if it is fixed."""
    service, clock = project.service(name), project.clock(read_as_of(as_of))
    for view in (each.view for each in service.selections):
        if not view.online:
            raise RequestError(f"{view.relation.location}: {view.reference} says online: false, so it is never pushed")
    return service, clock.now if clock.is_fixed else None


def _answer(connections: Connections, service: FeatureService, request: Request[Answer]) -> Answer:
    try:
        return answer(request, connections.sockets(), monotonic() + connections.redis_timeout)
    except (NotPushed, NoCard) as missing:
        raise why_not_served(connections.online(), service, missing) from missing


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
