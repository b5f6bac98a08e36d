"""One connection of an event loop to Redis: requests go out in turn, and replies come back in the same order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from hiredis import ProtocolError, Reader

from feature_sync.errors import OnlineStoreError
from feature_sync.serving.endpoint import Closed

_REQUESTS_PER_WRITE = 256


class Request:
    """Packed commands that wait for their replies; `answer` gets a list of them, or the error to raise.

    An error is a result, not an exception, of the future: asyncio logs those that a cancelled task leaves.
    """

    __slots__ = ("allowed", "answer", "count", "deadline", "may_retry", "packed", "replies")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, packed: bytes, count: int, allowed: float, deadline: float
    ) -> None:
        self.answer: asyncio.Future[Any] = loop.create_future()
        self.packed = packed
        self.count = count
        self.allowed = allowed
        self.deadline = deadline
        self.may_retry = True
        self.replies: list[Any] = []

    async def received(self) -> list[Any]:
        """Wait for the replies.

        Raises:
            OnlineStoreError: There are none.
        """
        answer = await self.answer
        if isinstance(answer, OnlineStoreError):
            raise answer
        return cast("list[Any]", answer)

    def end(self, answer: list[Any] | OnlineStoreError) -> None:
        """Answer, unless the task was cancelled."""
        if not self.answer.done():
            self.answer.set_result(answer)


class AsyncConnection(asyncio.Protocol):
    """One connection; a reply belongs to the oldest request that waits. What is sent in one turn is written at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lose: Callable[[AsyncConnection, BaseException], None]) -> None:
        """Take what to call when the connection is lost, or what comes is not a reply; it then handles `waiting`."""
        reader = Reader()
        self.waiting: deque[Request] = deque()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.is_lost = False
        self._lose = lose
        self._call_soon = loop.call_soon
        self._feed, self._gets = reader.feed, reader.gets
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._is_paused = True

    def send(self, request: Request) -> None:
        """Write a request at the end of this turn of the loop, or when there is room for it."""
        self.waiting.append(request)
        if not (self._unsent or self._is_paused):
            self._call_soon(self._write)
        self._unsent.append(request.packed)

    def _write(self) -> None:
        while self._unsent and not self._is_paused and self._transport is not None:
            together = b"".join(self._unsent[:_REQUESTS_PER_WRITE])
            del self._unsent[:_REQUESTS_PER_WRITE]
            self._transport.write(together)

    def abort(self) -> None:
        """Close the connection at once."""
        self.is_lost = self._is_paused = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`. The replies of a cancelled task are read, and dropped."""
        waiting, gets = self.waiting, self._gets
        try:
            self._feed(data)
            while (reply := gets()) is not False:  # RESP2 has no booleans
                if not waiting:
                    raise ProtocolError("a reply to no command")  # noqa: TRY301
                request = waiting[0]
                request.replies.append(reply)
                if len(request.replies) == request.count:
                    waiting.popleft()
                    if not request.answer.done():
                        request.answer.set_result(request.replies)
        except ProtocolError as foreign:
            self._lose(self, foreign)

    def connection_lost(self, cause: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._lose(self, cause or Closed())
        self._transport = None
        if not self.ended.done():
            self.ended.set_result(None)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`; a new connection is paused."""
        if not self.is_lost:
            self._is_paused = False
            self._write()
