"""Asks an HTTP server as fast as it answers: `python -m bench.http_load URL BODY [CONNECTIONS] [SECONDS]`.

A bare protocol on kept connections, so that the measuring side costs less than the server. Requests a second and the
latency are of that many connections, each with one request in flight.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Load(asyncio.Protocol):
    """One connection: sends a request whenever the last is answered."""

    def __init__(self, request: bytes, statuses: dict[bytes, int], seconds: list[float]) -> None:
        """Prepare to send.

        Args:
            request: The whole request.
            statuses: Counts responses by status; `b"lost"` counts requests that had none.
            seconds: Gets the seconds of each.
        """
        self._request = request
        self._statuses = statuses
        self._seconds = seconds
        self._received = b""
        self._sent_at: float | None = None
        self.is_closing = False
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self._sent_at = perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count a response, and send the next request unless the server or the measurement is at its end."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not separator or length is None or len(body) < int(length[1]) or self._sent_at is None:
            return
        self._seconds.append(perf_counter() - self._sent_at)
        self._received, self._sent_at = b"", None
        status = head[9:12]
        self._statuses[status] = self._statuses.get(status, 0) + 1
        if self.is_closing or b"connection: close" in head.lower():
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """Count the request that had no answer."""
        if self._sent_at is not None:
            self._statuses[b"lost"] = self._statuses.get(b"lost", 0) + 1
        if not self.closed.done():
            self.closed.set_result(error)


async def load(
    url: str, body: bytes, *, connections: int, seconds: float, headers: str = ""
) -> tuple[dict[bytes, int], list[float]]:
    """Send requests for some seconds, or until the server closes all connections.

    Args:
        url: Where to POST.
        body: What to POST.
        connections: How many at once.
        seconds: How long.
        headers: Further lines of the head, each with its end.

    Returns:
        The number of responses by status, `b"lost"` for requests without one; and the seconds of each response.
    """
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n{headers}\r\n"
    loop, statuses, taken = asyncio.get_running_loop(), dict[bytes, int](), list[float]()
    made = [
        await loop.create_connection(lambda: Load(head.encode() + body, statuses, taken), parts.hostname, parts.port)
        for _ in range(connections)
    ]
    protocols = [protocol for _, protocol in made]
    all_closed = asyncio.gather(*(each.closed for each in protocols))
    await asyncio.wait([all_closed], timeout=seconds)
    for each in protocols:
        each.is_closing = True
    await all_closed
    return statuses, taken


def main(arguments: Sequence[str]) -> None:
    """Print requests a second, and the latency."""
    import uvloop

    url, body, connections, seconds = [*arguments, *("16", "5")[len(arguments) - 2 :]]
    begun = perf_counter()
    statuses, taken = uvloop.run(load(url, body.encode(), connections=int(connections), seconds=float(seconds)))
    took = perf_counter() - begun
    taken.sort()
    latency = ", ".join(f"p{each} {1000 * taken[len(taken) * each // 100]:.2f} ms" for each in (50, 99))
    counted = ", ".join(f"{status.decode()}: {number}" for status, number in statuses.items())
    print(f"{len(taken) / took:,.0f} requests/s, {latency}; {counted}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
