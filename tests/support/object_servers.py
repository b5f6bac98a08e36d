"""Servers that speak S3 and Google Cloud Storage, from `.venv-objects`, on free ports."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from feature_sync.online.redis.server import _free_port
from tests.support.projects import EXAMPLE

BIN = EXAMPLE / ".venv-objects" / "bin"
BUCKET = "training-sets"
XML_BUCKET = "lake"
"""Without a dash, which Rust's clients escape, and a server of S3 does not unescape in the name of a bucket."""
_SECONDS_TO_START = 60


@dataclass(frozen=True)
class ObjectServer:
    """A server with an empty bucket: how to reach it, and the URI of a name in the bucket."""

    environment: dict[str, str]
    root: str
    query: str = ""

    def uri(self, name: str) -> str:
        """The URI of a name in the bucket."""
        return f"{self.root}/{name}{self.query}"


@contextmanager
def s3(bucket: str = BUCKET) -> Iterator[ObjectServer]:
    """Start a server of S3."""
    port = _free_port()
    with _running([BIN / "moto_server", "-H", "127.0.0.1", "-p", str(port)], f"http://127.0.0.1:{port}") as url:
        _ask(Request(f"{url}/{bucket}", method="PUT"))
        credentials = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
        yield ObjectServer({"AWS_ENDPOINT_URL": url, **credentials}, f"s3://{bucket}")


@contextmanager
def gcs() -> Iterator[ObjectServer]:
    """Start a server of Google Cloud Storage."""
    port = _free_port()
    command = [BIN / "gcp-storage-emulator", "start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
    with _running(command, f"http://127.0.0.1:{port}") as url:
        body = json.dumps({"name": BUCKET}).encode()
        headers = {"Content-Type": "application/json"}
        _ask(Request(f"{url}/storage/v1/b?project=p", method="POST", data=body, headers=headers))
        query = f"?endpoint_override=127.0.0.1:{port}&scheme=http"
        yield ObjectServer({}, f"gs://anonymous@{BUCKET}", query)


@contextmanager
def gcs_xml() -> Iterator[ObjectServer]:
    """Start a server of the XML protocol of Google Cloud Storage, in which Rust's clients ask: it is that of S3."""
    with s3(XML_BUCKET) as server:
        host = urlsplit(server.environment["AWS_ENDPOINT_URL"]).netloc
        query = f"?endpoint_override={host}&scheme=http"
        yield ObjectServer(server.environment, f"gs://anonymous@{XML_BUCKET}", query)


@contextmanager
def _running(command: list, url: str) -> Iterator[str]:
    assert command[0].exists(), f"{command[0]} is missing: make .venv-objects/.made"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([*map(str, command)], **quiet)
    try:
        end = time.monotonic() + _SECONDS_TO_START
        while True:
            try:
                urlopen(url).close()
            except URLError as refused:
                if hasattr(refused, "code"):
                    break  # it answers, although with an error
                assert server.poll() is None, "the server ended"
                assert time.monotonic() < end, "the server does not answer"
                time.sleep(0.1)
            else:
                break
        yield url
    finally:
        server.terminate()
        server.wait()


def _ask(request: Request) -> None:
    with urlopen(request) as answer:
        assert answer.status == 200
