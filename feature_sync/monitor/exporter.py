"""A small HTTP server that answers `/metrics` by a function: the status of a project at the moment of each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from threading import Lock, Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from feature_sync.errors import RequestError
from feature_sync.monitor.exposition import CONTENT_TYPE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PATH = "/metrics"
_PLAIN = "text/plain; charset=utf-8"


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each request in a thread, so that a client that says nothing keeps no other waiting."""

    daemon_threads = True


class _Quietly(WSGIRequestHandler):
    """Logs no request, and waits no longer than this many seconds for one."""

    timeout = 10

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def export(read: Callable[[], str], *, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until the main thread is interrupted.

    Args:
        read: Returns the metrics; called once at a time, and never raises.
        host: The address to listen at.
        port: The port; 0 for a free one.
        announce: Called with the URL once the server listens.

    Raises:
        RequestError: The address cannot be listened at.
    """
    with _listening(read, host, port) as server:
        announce(_url(host, server))
        server.serve_forever()


@contextmanager
def exported(read: Callable[[], str], *, host: str, port: int) -> Iterator[str]:
    """Serve in a thread, beside other work; yields the URL. See `export`."""
    with _listening(read, host, port) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield _url(host, server)
        finally:
            server.shutdown()


def _listening(read: Callable[[], str], host: str, port: int) -> WSGIServer:
    reading = Lock()

    def answer(request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if request.get("PATH_INFO") != PATH:
            start("404 Not Found", [("Content-Type", _PLAIN)])
            return [f"metrics are at {PATH}\n".encode()]
        with reading:
            page = read().encode()
        start("200 OK", [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(page)))])
        return [page]

    try:
        return make_server(host, port, answer, server_class=_Server, handler_class=_Quietly)
    except OSError as refused:
        raise RequestError(f"cannot listen at {host}:{port}: {refused.strerror or refused}") from refused


def _url(host: str, server: WSGIServer) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}{PATH}"
