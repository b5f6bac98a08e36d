"""Reads schemas from a schema registry that answers as Confluent's does: by their ids, which never change meaning."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable
from http.client import HTTPException
from time import sleep
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import msgspec

from feature_sync.errors import RequestError
from feature_sync.stream.messages import StreamError, Unfit

_LOG = logging.getLogger(__name__)
VARIABLE = "FEATURE_SYNC_SCHEMA_REGISTRY_URL"
HEADER_BYTES = 5
"""Of a message: a zero, and the id of its schema in 4 bytes, big-endian."""
_SECONDS = 10.0
_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
_NOT_FOUND = 404
_MAY_RECOVER = (408, 429, 500, 502, 503, 504)


class SchemaReference(msgspec.Struct, frozen=True):
    """Another schema that a schema imports."""

    name: str
    subject: str
    version: int


class RegisteredSchema(msgspec.Struct, frozen=True, rename="camel"):
    """A schema as the registry answers it; Avro's is the type that has no name."""

    schema: str
    schema_type: str = "AVRO"
    references: tuple[SchemaReference, ...] = ()


class SchemaRegistry:
    """A registry at a URL; its login may stand there, and is left out of messages."""

    def __init__(self, url: str, *, stopped: Callable[[], bool] = lambda: False) -> None:
        """Read the URL; connects to nothing.

        Args:
            url: `http://` or `https://`, with user and password if it asks for them.
            stopped: Ends the waiting for a registry that is down when it returns True.

        Raises:
            RequestError: It is no such URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RequestError(f"the URL of the schema registry must begin with http:// or https://: see {VARIABLE}")
        self.where = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json"}
        if parts.username:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        self._stopped = stopped

    def schema(self, number: int, *, serialized: bool = False) -> RegisteredSchema:
        """Read a schema by its id.

        Args:
            number: The id.
            serialized: Ask for Protobuf's own descriptor in Base64 instead of its text.

        Raises:
            Unfit: The registry has no such schema.
            StreamError: The registry does not answer, or refuses.
        """
        found = self._get(f"/schemas/ids/{number}", serialized=serialized)
        if found is None:
            raise Unfit(f"the schema registry at {self.where} has no schema {number}")
        return found

    def referred(self, reference: SchemaReference, *, serialized: bool = False) -> RegisteredSchema:
        """Read a schema that another imports."""
        path = f"/subjects/{quote(reference.subject, safe='')}/versions/{reference.version}"
        found = self._get(path, serialized=serialized)
        if found is None:
            raise StreamError(
                f"the schema registry at {self.where} has no version {reference.version} of {reference.subject}, "
                f"which another schema imports as {reference.name}"
            )
        return found

    def _get(self, path: str, *, serialized: bool) -> RegisteredSchema | None:
        """Ask, again after a pause while the registry is down; None if it has no such thing."""
        request = Request(self.where + path + ("?format=serialized" if serialized else ""), headers=self._headers)  # noqa: S310 - http or https
        for pause in (*_PAUSES, None):
            try:
                with urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - http or https
                    return msgspec.json.decode(answer.read(), type=RegisteredSchema)
            except HTTPError as refused:
                if refused.code == _NOT_FOUND:
                    return None
                reason, may_recover = f"answers {refused.code} {refused.reason}", refused.code in _MAY_RECOVER
            except (URLError, HTTPException, OSError) as lost:
                reason, may_recover = f"cannot be reached ({getattr(lost, 'reason', lost)})", True
            except msgspec.DecodeError as foreign:
                reason, may_recover = f"does not answer as a schema registry does ({foreign})", False
            if pause is None or not may_recover or self._stopped():
                raise StreamError(f"the schema registry at {self.where} {reason}: is {VARIABLE} right, and its login?")
            _LOG.warning("the schema registry at %s %s; asking again", self.where, reason)
            sleep(pause)
        raise AssertionError("unreachable")


def registry_of(setting: Any) -> SchemaRegistry | None:
    """Return the registry of the environment, else that of the profile; None without one."""
    url = os.environ.get(VARIABLE) or setting
    return SchemaRegistry(str(url)) if url else None


def split_header(content: bytes) -> tuple[int, bytes]:
    """Split a message into the id of its schema and what follows.

    Raises:
        Unfit: It has no such header.
    """
    if len(content) < HEADER_BYTES or content[0]:
        raise Unfit("it does not begin with the header of a schema registry: a zero, and the id of its schema")
    return int.from_bytes(content[1:HEADER_BYTES], "big"), content[HEADER_BYTES:]
