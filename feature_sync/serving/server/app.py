"""The server as an ASGI app: its routes, the bearer token, and errors as JSON."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hmac import compare_digest
from time import perf_counter
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.routing import Route, Router

from feature_sync.errors import FeatureSyncError, OnlineStoreError, RequestError
from feature_sync.serving.server.documents import Problem, Services, State
from feature_sync.serving.server.exchange import (
    Disconnected,
    Message,
    Receive,
    Refused,
    Scope,
    Send,
    respond,
    respond_json,
)
from feature_sync.serving.server.metrics import CONTENT_TYPE, Metrics
from feature_sync.serving.server.online_features import OnlineFeatures
from feature_sync.serving.server.openapi import openapi
from feature_sync.serving.server.services import NotServed, ServedServices
from feature_sync.serving.server.settings import ServerSettings

_OPEN = ("/health", "/ready")
"""Paths that need no token: those of a supervisor."""
_CLIENT_CLOSED = 499
_logger = logging.getLogger(__name__)


class FeatureServer:
    """Serves feature vectors over HTTP; `create_app` makes one."""

    def __init__(self, settings: ServerSettings) -> None:
        """Prepare to serve; connects to Redis with the first request.

        Raises:
            OnlineStoreError: The URL of Redis cannot be read.
        """
        self._expected = f"bearer {settings.token}".encode() if settings.token else None
        self._services = ServedServices(settings)
        self._metrics = Metrics()
        self._openapi = msgspec.json.encode(openapi(has_token=bool(settings.token)))
        handlers = {
            "/health": self._health,
            "/ready": self._ready,
            "/services": self._list_services,
            "/services/{name}": self._describe_service,
            "/metrics": self._export_metrics,
            "/openapi.json": self._describe_server,
        }
        online_features = OnlineFeatures(self._services, self._metrics)
        self._router = Router(
            [
                Route("/get-online-features", _Endpoint(online_features), methods=["POST"]),
                *(Route(path, _Endpoint(handler), methods=["GET"]) for path, handler in handlers.items()),
            ],
            redirect_slashes=False,
            default=_refuse_path,
            lifespan=self._lifespan,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for."""
        scope["app"] = self  # the router raises its errors instead of sending them as text
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        started, status = perf_counter(), 0

        async def counted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._answer(scope, receive, counted)
        finally:
            route = scope.get("route")
            path = "other" if route is None else route.path
            self._metrics.count_request(path, status or _CLIENT_CLOSED, perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if self._expected is not None and scope["path"] not in _OPEN:
                self._authorize(scope)
            await self._router(scope, receive, send)
        except Disconnected:
            return
        except Refused as refused:
            await _respond_problem(send, refused.status, str(refused), refused.headers)
        except HTTPException as refused:
            await _respond_problem(send, refused.status_code, refused.detail, refused.headers)
        except FeatureSyncError as failed:
            await _respond_problem(send, _status_of(failed), str(failed))
        except Exception:
            _logger.exception("a request failed for an unexpected reason")
            await _respond_problem(send, 500, "the server failed; its log says why")

    def _authorize(self, scope: Scope) -> None:
        """Compare the token in constant time.

        Raises:
            Refused: It is missing or wrong.
        """
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, token = given.partition(b" ")
        if not compare_digest(scheme.lower() + b" " + token.strip(), self._expected or b""):
            raise Refused(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})

    @asynccontextmanager
    async def _lifespan(self, _app: Any) -> AsyncIterator[None]:
        yield
        await self._services.close()

    async def _health(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await respond_json(send, State("alive"))

    async def _ready(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await self._services.check()
        await respond_json(send, State("ready"))

    async def _list_services(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await respond_json(send, Services(await self._services.describe_all()))

    async def _describe_service(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await respond_json(send, await self._services.describe(scope["path_params"]["name"]))

    async def _export_metrics(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await respond(send, 200, self._metrics.text(), content_type=CONTENT_TYPE.encode())

    async def _describe_server(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await respond(send, 200, self._openapi)


class _Endpoint:
    """An ASGI app of a route; Starlette would take a bare function for one of its own requests and responses."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._handler(scope, receive, send)


async def _refuse_path(scope: Scope, _receive: Receive, _send: Send) -> None:
    raise Refused(404, f"there is no {scope['path']:.100}; see /openapi.json")


def _status_of(failed: FeatureSyncError) -> int:
    if isinstance(failed, NotServed):
        return 404
    if isinstance(failed, RequestError):
        return 422
    return 503 if isinstance(failed, OnlineStoreError) else 500


async def _respond_problem(send: Send, status: int, detail: str, headers: Any = None) -> None:
    await respond(send, status, msgspec.json.encode(Problem(detail)), headers=headers)
