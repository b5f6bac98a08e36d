"""One exchange over HTTP: the body that is read, the response that is sent, and the status of each error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]

MOST_BYTES = 10_000_000
JSON = b"application/json"


class Refused(Exception):
    """A request that is answered with an error of HTTP.

    Args:
        status: The status.
        detail: Why, for the caller.
        headers: Further headers of the response.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})


class Disconnected(Exception):
    """The client is gone."""


async def read_body(receive: Receive) -> bytes:
    """Read the body of a request.

    Raises:
        Disconnected: The client left before its end.
        Refused: It is larger than `MOST_BYTES`; it is read to its end, since a client that still writes reads nothing.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size <= MOST_BYTES:
            parts.append(part)
        if not message.get("more_body"):
            break
    if size > MOST_BYTES:
        raise Refused(413, f"a request has {MOST_BYTES:,} bytes at most, and not {size:,}")
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def respond(
    send: Send, status: int, body: bytes, *, content_type: bytes = JSON, headers: Mapping[str, str] | None = None
) -> None:
    """Send a response.

    Args:
        send: Sends a message of ASGI.
        status: The status.
        body: The body.
        content_type: The type of the body.
        headers: Further headers.
    """
    sent = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    if headers:
        sent += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})


async def respond_json(send: Send, value: Any) -> None:
    """Send a document with status 200."""
    await respond(send, 200, msgspec.json.encode(value))
