"""A gateway before the BigQuery emulator: fails as Google does, and does what the emulator cannot.

It answers dry runs with a number of bytes that the test chooses, loads Parquet by INSERT, and remembers every job.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import pyarrow.parquet

from tests.support import emulator

_ROWS_PER_INSERT = 500
_OWN_HEADERS = ("content-length", "transfer-encoding", "connection", "server", "date")
_OF_THE_WAY = ("host", "accept-encoding", "connection")


@dataclass
class Fault:
    """What to answer to which jobs."""

    reason: str
    message: str
    status: int | None
    strikes: Callable[[dict], bool]

    def answer(self, job: dict) -> tuple[int, dict]:
        error = {"reason": self.reason, "message": self.message}
        if self.status is not None:
            return self.status, {"error": {"code": self.status, "message": self.message, "errors": [error]}}
        return 200, {**job, "id": "failed", "status": {"state": "DONE", "errorResult": error, "errors": [error]}}


class Gateway:
    """Stands between a client and an emulator."""

    def __init__(self, server: emulator.BigQueryServer) -> None:
        self.target = server.endpoint
        self.jobs: list[dict] = []
        self.calls: list[tuple[str, str]] = []
        """Method and path of every request."""
        self.bytes_to_scan = 0
        self.uploads: dict[str, tuple[dict, bytearray]] = {}
        self._faults: list[Fault] = []

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"gateway": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        return {"FEATURE_SYNC_BIGQUERY_ENDPOINT": self.endpoint}

    def fail(self, reason: str, message: str, *, status: int | None = None, times: int | None = None) -> None:
        """Fail requests for jobs, or without a status, the jobs themselves; all of them, or so many."""
        left = iter(range(times)) if times is not None else count()
        self.fail_if(lambda job: next(left, None) is not None, reason, message, status=status)

    def fail_if(self, strikes: Callable[[dict], bool], reason: str, message: str, *, status: int | None = None) -> None:
        self._faults.append(Fault(reason, message, status, strikes))

    def heal(self) -> None:
        self._faults.clear()

    def fault_of(self, job: dict) -> Fault | None:
        return next((fault for fault in self._faults if fault.strikes(job)), None)

    def load(self, job: dict, content: bytes) -> dict:
        """Load a Parquet file as BigQuery's load job does."""
        config = job["configuration"]["load"]
        path = ".".join(f"`{config['destinationTable'][name]}`" for name in ("projectId", "datasetId", "tableId"))
        types = {field["name"]: field["type"] for field in config["schema"]["fields"]}
        columns = ", ".join(f"`{name}`" for name in types)
        rows = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
        for at in range(0, len(rows), _ROWS_PER_INSERT):
            values = ", ".join(_row(row, types) for row in rows[at : at + _ROWS_PER_INSERT])
            emulator.run(self.target, f"insert into {path} ({columns}) values {values}")
        return {**job, "id": "loaded", "status": {"state": "DONE"}, "statistics": {"load": {}}}


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    gateway: Gateway
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urlsplit(self.path)
        self.gateway.calls.append((self.command, url.path))
        if upload := parse_qs(url.query).get("upload_id"):
            self._upload(upload[0], body)
        elif self.command == "POST" and url.path.endswith("/jobs") and body.startswith(b"{"):
            self._job(json.loads(body), body)
        else:
            self._forward(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond  # noqa: N815 - the names that http.server calls

    def _job(self, job: dict, body: bytes) -> None:
        gateway = self.gateway
        gateway.jobs.append(job)
        if fault := gateway.fault_of(job):
            self._answer(*fault.answer(job))
        elif job["configuration"].get("load", {}).get("sourceFormat") == "PARQUET":
            number = str(len(gateway.uploads))
            gateway.uploads[number] = (job, bytearray())
            self._answer(200, {}, location=f"{gateway.endpoint}/upload?upload_id={number}")
        elif job["configuration"].get("dryRun"):
            schema = emulator.schema(gateway.target, job["configuration"]["query"]["query"])
            figures = {"query": {"totalBytesProcessed": str(gateway.bytes_to_scan), "schema": {"fields": schema}}}
            self._answer(200, {**job, "id": "dry", "status": {"state": "DONE"}, "statistics": figures})
        else:
            self._forward(body)

    def _upload(self, number: str, body: bytes) -> None:
        job, content = self.gateway.uploads[number]
        content += body
        total = self.headers["content-range"].rpartition("/")[2]
        if total == "*" or len(content) < int(total):
            self._answer(308, {}, range=f"bytes=0-{len(content) - 1}")
        else:
            self._answer(200, self.gateway.load(job, bytes(content)))

    def _forward(self, body: bytes) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_WAY}
        request = Request(self.gateway.target + self.path, body or None, headers, method=self.command)
        try:
            with urlopen(request) as found:
                self._write(found.status, found.headers.items(), found.read())
        except HTTPError as refused:
            self._write(refused.code, refused.headers.items(), refused.read())

    def _answer(self, status: int, content: dict, **headers: str) -> None:
        self._write(status, [("content-type", "application/json"), *headers.items()], json.dumps(content).encode())

    def _write(self, status: int, headers, content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _OWN_HEADERS:
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _row(row: dict, types: dict[str, str]) -> str:
    return f"({', '.join(_literal(value, types[name]) for name, value in row.items())})"


def _literal(value, kind: str) -> str:
    writers: dict[type, Callable] = {
        bool: str,
        int: str,
        float: lambda number: f"cast('{number!r}' as float64)",
        Decimal: lambda number: f"numeric '{number}'",
        str: json.dumps,
        bytes: lambda content: f"from_hex('{content.hex()}')",
        date: lambda day: f"date '{day}'",
        datetime: lambda moment: f"{'datetime' if moment.tzinfo is None else 'timestamp'} '{moment}'",
    }
    return f"cast(null as {kind})" if value is None else writers[type(value)](value)
