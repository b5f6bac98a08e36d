"""A schema registry on a free port that answers over HTTP as Confluent's does."""

from __future__ import annotations

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self
from urllib.parse import unquote, urlsplit

LOGIN = "reader:s3cret/word"


class RegistryServer:
    """Keeps schemas by id, and by subject and version; refuses requests without the login."""

    def __init__(self) -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.subjects: dict[tuple[str, int], int] = {}
        self.asked: list[str] = []
        self.failures = 0
        """How many requests more are answered with 503."""

    def __enter__(self) -> Self:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, document = registry.answer(self.path, self.headers.get("Authorization", ""))
                content = json.dumps(document).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://{LOGIN.replace('/', '%2F')}@127.0.0.1:{self._server.server_port}"

    def register(self, subject: str, schema: Any, kind: str = "AVRO", references: Any = ()) -> int:
        """Add the next version of a subject; returns its id. Protobuf's schemas are descriptors of files."""
        number, version = len(self.schemas) + 1, 1 + sum(name == subject for name, _ in self.subjects)
        text = base64.b64encode(schema).decode() if kind == "PROTOBUF" else json.dumps(schema)
        document = {"schema": text, "schemaType": kind, "references": [*references]}
        if kind == "AVRO":
            del document["schemaType"]  # as the registry does
        self.schemas[number], self.subjects[subject, version] = document, number
        return number

    def answer(self, path: str, login: str) -> tuple[int, Any]:
        self.asked.append(path)
        if login != f"Basic {base64.b64encode(LOGIN.encode()).decode()}":
            return 401, {"error_code": 401, "message": "Unauthorized"}
        if self.failures:
            self.failures -= 1
            return 503, {"error_code": 503, "message": "not now"}
        match urlsplit(path).path.split("/"):
            case ["", "schemas", "ids", number] if int(number) in self.schemas:
                return 200, self.schemas[int(number)]
            case ["", "subjects", name, "versions", version] if (unquote(name), int(version)) in self.subjects:
                number = self.subjects[unquote(name), int(version)]
                return 200, {"subject": name, "id": number, "version": int(version), **self.schemas[number]}
        return 404, {"error_code": 40403, "message": "Schema not found"}
