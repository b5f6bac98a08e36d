"""Looks features up for rows of keys: by a dbt project, as of moments or as they are served, or by Redis alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from feature_sync.errors import RequestError
from feature_sync.service_schema import Pin
from feature_sync.serving.client import FeatureClient
from feature_sync.serving.status import Status
from feature_sync.serving.vectors import FeatureVectors

if TYPE_CHECKING:
    import pandas

    from feature_sync.store import FeatureStore

_URL = "FEATURE_SYNC_REDIS_URL"
_SHOWN = 3


class Lookup(Protocol):
    """Answers rows of keys with the features of one service."""

    @property
    def options(self) -> tuple[Any, ...]:
        """What it was made of; two with equal options answer alike."""

    def pin(self) -> Pin:
        """Return the pin of the service as it is now."""

    def as_of(self, rows: pandas.DataFrame, moment: str, dtypes: str) -> tuple[pandas.DataFrame, Pin]:
        """Answer each row as of its moment; returns the features, in the order of the rows, and the pin.

        Args:
            rows: The keys and the moments.
            moment: The column of the moments.
            dtypes: Of the result.
        """

    def now(self, rows: pandas.DataFrame, dtypes: str, *, refuse_missing: bool) -> tuple[pandas.DataFrame, Pin]:
        """Answer each row as it is served; returns the features, in the order of the rows, and the pin.

        Args:
            rows: The keys.
            dtypes: Of the result.
            refuse_missing: Raise if a row is not in Redis.
        """


class ProjectLookup:
    """Answers by a dbt project: its warehouse for moments, its Redis for now."""

    def __init__(self, service: str, project: str | os.PathLike[str], options: Mapping[str, Any]) -> None:
        """Prepare; nothing is read.

        Args:
            service: The name of the service.
            project: The folder of the project.
            options: Keyword arguments of `FeatureStore`.
        """
        self.options = (service, os.fspath(project), *options.items())
        self._service = service
        self._project = project
        self._options = options
        self._opened: FeatureStore | None = None

    @property
    def _store(self) -> FeatureStore:
        if self._opened is None:
            from feature_sync import FeatureStore

            self._opened = FeatureStore(self._project, **self._options)
        return self._opened

    def pin(self) -> Pin:
        """Return the pin of the service in the project."""
        return self._store.pin(self._service)

    def as_of(self, rows: pandas.DataFrame, moment: str, dtypes: str) -> tuple[pandas.DataFrame, Pin]:
        """Answer by a point-in-time join in the warehouse."""
        table = self._store.get_training_set(self._service, rows, event_timestamp=moment).collect()
        return table.features(dtypes), table.pin

    def now(self, rows: pandas.DataFrame, dtypes: str, *, refuse_missing: bool) -> tuple[pandas.DataFrame, Pin]:
        """Answer by the Redis of the project."""
        return _served(self._store.get_online_features(self._service, rows), dtypes, refuse_missing=refuse_missing)


class OnlineLookup:
    """Answers by Redis alone, and thus for now alone."""

    def __init__(
        self, service: str, *, redis_url: str | None, prefix: str | None, timeout: float, max_age: timedelta | None
    ) -> None:
        """Prepare; nothing is connected.

        Args:
            service: The name of the service.
            redis_url: The address; None for `FEATURE_SYNC_REDIS_URL`.
            prefix: The prefix of the keys.
            timeout: Seconds that a request may take.
            max_age: The oldest age of a row, besides its TTL.

        Raises:
            RequestError: The address of Redis is missing.
        """
        url = redis_url or os.environ.get(_URL)
        if not url:
            raise RequestError(f"set {_URL} to the address of Redis, or name it with redis_url=")
        self.options = (service, url, prefix, timeout, max_age)
        self._service = service
        self._client = FeatureClient(url, service, prefix=prefix, timeout=timeout, max_age=max_age)

    def pin(self) -> Pin:
        """Return the pin of the service's card."""
        return self._client.warm_up().pin

    def as_of(self, rows: pandas.DataFrame, moment: str, dtypes: str) -> tuple[pandas.DataFrame, Pin]:
        """Refuse: Redis holds no history."""
        del rows, dtypes
        raise RequestError(
            f"X has moments ({moment}), which a dbt project answers: FeatureLookup(project, {self._service!r}); leave "
            "that column out to read the features of now"
        )

    def now(self, rows: pandas.DataFrame, dtypes: str, *, refuse_missing: bool) -> tuple[pandas.DataFrame, Pin]:
        """Answer by a client."""
        return _served(self._client.get_many(rows), dtypes, refuse_missing=refuse_missing)


def _served(vectors: FeatureVectors, dtypes: str, *, refuse_missing: bool) -> tuple[pandas.DataFrame, Pin]:
    if refuse_missing:
        _refuse_missing(vectors)
    return vectors.to_pandas(dtypes), vectors.card.pin


def _refuse_missing(vectors: FeatureVectors) -> None:
    """Raise RequestError if a view has no row for an entity."""
    statuses = vectors.statuses
    missing = sorted({at for each in statuses.values() for at, status in enumerate(each) if status is Status.MISSING})
    if missing:
        first = ", ".join(f"{key}={value!r}" for key, value in vectors.entities[missing[0]].items())
        lacks = [name for name, each in statuses.items() if each[missing[0]] is Status.MISSING]
        shown = ", ".join(lacks[:_SHOWN]) + (", ..." if len(lacks) > _SHOWN else "")
        raise RequestError(
            f"{len(missing)} of {len(vectors)} rows are not all in Redis; the first is {first}, without {shown}"
        )
