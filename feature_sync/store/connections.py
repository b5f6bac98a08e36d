"""The connections of a feature store: its warehouse, its Redis, and the embedded server of a project on DuckDB."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from feature_sync.definitions import FeatureService
from feature_sync.errors import ProjectError, RequestError
from feature_sync.store.project import FeatureProject
from feature_sync.warehouses.base import never

if TYPE_CHECKING:
    from feature_sync.online.base import OnlineStore
    from feature_sync.online.redis.server import EmbeddedServer
    from feature_sync.serving.requests import ServiceRequests
    from feature_sync.serving.sockets import Sockets
    from feature_sync.warehouses.base import Warehouse
    from feature_sync.warehouses.places import Places

FOLDER = ".feature_sync"
"""The folder in a project for our own files: the embedded server's data."""


class Connections:
    """Opens a warehouse for each request, and Redis once. Nothing is connected until it is needed."""

    def __init__(self, project: FeatureProject) -> None:
        self._project = project
        self._online: OnlineStore | None = None
        self._sockets: Sockets | None = None
        self._requests: dict[tuple[str, str], tuple[FeatureService, ServiceRequests]] = {}

    def __repr__(self) -> str:
        return f"Connections({str(self._project.dbt.directory)!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the connection, which cannot be copied; a copy opens its own."""
        return {**self.__dict__, "_online": None, "_sockets": None, "_requests": {}}

    def open_warehouse(
        self, *, writable: bool = False, wait: bool = False, stopped: Callable[[], bool] = never
    ) -> Warehouse:
        """Connect to the target's warehouse.

        Args:
            writable: Allow more than reading and temporary tables.
            wait: Wait for a process that holds the warehouse, or its tables, alone.
            stopped: Ends the waiting when it returns True.

        Raises:
            ProfileError: The adapter is not supported, its driver is missing, or a field is wrong.
            ProjectError: The manifest was written for another warehouse.
            WarehouseError: The warehouse cannot be reached.
        """
        from feature_sync.warehouses import open_warehouse

        check_built_for_target(self._project)
        return open_warehouse(self._project.target, writable=writable, wait=wait, stopped=stopped)

    def open_places(
        self,
        *,
        writable: bool = False,
        wait: bool = False,
        stopped: Callable[[], bool] = never,
        create: bool = False,
    ) -> Places:
        """Connect to the target's warehouse, and to where the states of pushes are kept if that is elsewhere.

        Args:
            writable: Write states and tables of pushes.
            create: Make the place of the states if there is none, where that is a file.
            wait: As in `open_warehouse`.
            stopped: As in `open_warehouse`.

        Raises:
            FeatureSyncError: As from `open_warehouse`, for both.
        """
        from feature_sync.warehouses import open_warehouse
        from feature_sync.warehouses.places import Places

        kept = self._project.state_target
        rows = self.open_warehouse(writable=writable and kept is None, wait=wait, stopped=stopped)
        if kept is None:
            return Places(rows=rows, state=rows)
        try:
            state = open_warehouse(kept, writable=writable, wait=wait, stopped=stopped, create=create)
            return Places(rows=rows, state=state)
        except BaseException:
            rows.close()
            raise

    def online(self, *, may_create: bool = True) -> OnlineStore:
        """Connect to Redis. Read-only commands never start the embedded server: for them `may_create` is False.

        Raises:
            OnlineStoreError: Redis cannot be reached.
            RequestError: No URL is set, or the project has no embedded server yet.
        """
        from feature_sync.online.redis.opening import open_online_store

        if self._online is None:
            url, server = self._configured_url, self.embedded_server
            if url is None and not may_create and self._project.target.adapter == "duckdb" and server.url is None:
                raise RequestError("this project has no embedded Redis yet: feature-sync push makes one and fills it")
            self._online = open_online_store(
                url or self.redis_url(), key_prefix=self._project.key_prefix, timeout=self.redis_timeout
            )
        return self._online

    def sockets(self) -> Sockets:
        """Return the connections over which feature vectors are read; every call returns the same ones.

        Raises:
            OnlineStoreError: The URL of Redis cannot be read, or the embedded server does not start.
            RequestError: No URL of Redis is set.
        """
        from feature_sync.online.redis.wording import PUSHING
        from feature_sync.serving.sockets import open_sockets

        if self._sockets is None:
            self._sockets = open_sockets(self.redis_url(), timeout=self.redis_timeout, advice=PUSHING)
        return self._sockets

    def requests(self, service: FeatureService) -> ServiceRequests:
        """Return the requests for a service, which keep its card; a view alone has none in Redis.

        Args:
            service: The service as the project defines it.
        """
        from feature_sync.serving.card_sources import RedisCard
        from feature_sync.serving.composing import DefinedCard
        from feature_sync.serving.requests import ServiceRequests

        name, prefix = service.name, self._project.key_prefix
        definition, requests = self._requests.get((name, prefix), (None, None))
        if requests is None or definition != service:  # a push reads the definitions anew if dbt writes them meanwhile
            is_published = service.location is not None
            source = RedisCard(prefix, name) if is_published else DefinedCard(service, prefix)
            requests = ServiceRequests(source, revision_period=self.sockets().revision_period)
            self._requests[name, prefix] = service, requests
        return requests

    def redis_url(self) -> str:
        """Return the URL of Redis; without one, start the embedded server of a project on DuckDB.

        Raises:
            RequestError: No URL is set, and the target is a shared warehouse (not DuckDB).
        """
        if url := self._configured_url:
            return url
        if self._project.target.adapter == "duckdb":
            return self.embedded_server.start()
        raise RequestError("say where Redis is with --redis-url or FEATURE_SYNC_REDIS_URL")

    def redis_address(self) -> str:
        """Return the URL of Redis without login and options."""
        from feature_sync.online.redis.address import read_address

        return read_address(self.redis_url()).where

    @property
    def embedded_server(self) -> EmbeddedServer:
        """The project's own Redis, running or not."""
        from feature_sync.online.redis.server import EmbeddedServer

        return EmbeddedServer(self._project.dbt.directory / FOLDER / "redis", timeout=self.redis_timeout)

    def close(self) -> None:
        """Close the connection to Redis; warehouses are closed at the end of each request."""
        if self._online is not None:
            self._online.close()
        if self._sockets is not None:
            self._sockets.close()
        self._online, self._sockets, self._requests = None, None, {}

    @property
    def _configured_url(self) -> str | None:
        return self._project.options.redis_url or os.environ.get("FEATURE_SYNC_REDIS_URL")

    @property
    def redis_timeout(self) -> float:
        """How many seconds to wait for a reply of Redis."""
        from feature_sync.online.redis.store import read_timeout

        return read_timeout(self._project.options.redis_timeout or os.environ.get("FEATURE_SYNC_REDIS_TIMEOUT"))


def check_built_for_target(project: FeatureProject) -> None:
    """Check that dbt wrote the manifest for the target's kind of warehouse: names of relations are others elsewhere.

    Raises:
        ProjectError: It was written for another.
    """
    target, manifest = project.target, project.manifest
    built_for = manifest.metadata.adapter_type
    if built_for is not None and built_for != target.adapter:
        raise ProjectError(
            f"{manifest.path} was written for {built_for}, but the target {target.name} is "
            f"{target.adapter}; run dbt build --target {target.name}"
        )
