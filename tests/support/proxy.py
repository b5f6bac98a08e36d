"""A proxy before a Redis: counts bytes, cuts connections or holds them up after a chosen number, and speaks TLS."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from threading import Condition, Thread
from time import sleep

_BYTES_PER_READ = 4096
_BYTES_OF_REQUEST = 8
SENT, RECEIVED = "sent", "received"
"""To the server, and from it."""


class Proxy:
    """Forwards connections from a port to a unix socket.

    `cut` ends the connection over which the chosen byte would go; others and later ones live on. `hold` lets nothing
    through from the chosen byte on, until `release`. `cut_answer` and `hold_answer` do so with what Redis answers once
    certain bytes were sent.
    """

    def __init__(self, target: str, tls: ssl.SSLContext | None = None, *, of_postgres: bool = False) -> None:
        """`of_postgres`: TLS begins when the client asks for it, as PostgreSQL's protocol has it."""
        self._target = target
        self._tls = tls
        self._of_postgres = of_postgres
        self._changed = Condition()
        self._counts = {SENT: 0, RECEIVED: 0}
        self._limits: dict[str, int | None] = {SENT: None, RECEIVED: None}
        self._cuts = True
        self._question: bytes | None = None
        self.was_reached = False
        self.delay = 0.0
        """Seconds that each answer takes longer."""

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.release()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def counted(self) -> dict[str, int]:
        """How many bytes went through in each direction since the last call of this method."""
        with self._changed:
            counts = dict(self._counts)
            self._counts.update({SENT: 0, RECEIVED: 0})
        return counts

    def cut(self, direction: str, after: int) -> None:
        self._limit(direction, after, cuts=True)

    def hold(self, direction: str, after: int) -> None:
        self._limit(direction, after, cuts=False)

    def hold_answer(self, question: bytes, *, nth: int = 1) -> None:
        self._limit_answer(question, nth, cuts=False)

    def cut_answer(self, question: bytes) -> None:
        self._limit_answer(question, 1, cuts=True)

    def release(self) -> None:
        with self._changed:
            self._question = None
            self._limits.update({SENT: None, RECEIVED: None})
            self._changed.notify_all()

    def wait_until_reached(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.was_reached, timeout=60)

    def _limit(self, direction: str, after: int, *, cuts: bool) -> None:
        with self._changed:
            self._counts.update({SENT: 0, RECEIVED: 0})
            self._limits.update({SENT: None, RECEIVED: None, direction: after})
            self._cuts, self.was_reached = cuts, False

    def _limit_answer(self, question: bytes, nth: int, *, cuts: bool) -> None:
        with self._changed:
            self._limits.update({SENT: None, RECEIVED: None})
            self._cuts, self.was_reached = cuts, False
            self._question, self._times = question, nth

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        client, server = accepted, socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._target)
            if self._of_postgres and accepted.recv(_BYTES_OF_REQUEST, socket.MSG_WAITALL):
                accepted.sendall(b"S")
            client = self._tls.wrap_socket(accepted, server_side=True) if self._tls else accepted
        except OSError:
            client.close()
            server.close()
            return
        answering = Thread(target=self._forward, args=(server, client, RECEIVED), daemon=True)
        answering.start()
        self._forward(client, server, SENT)
        answering.join()
        client.close()
        server.close()

    def _forward(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        with suppress(OSError, ValueError):
            while data := source.recv(_BYTES_PER_READ):
                if direction == RECEIVED:
                    sleep(self.delay)
                allowed = self._pass(direction, data)
                target.sendall(data[:allowed])
                if allowed < len(data):
                    break
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _pass(self, direction: str, data: bytes) -> int:
        """Tell how many bytes may go through; where they are held up, wait."""
        count = len(data)
        with self._changed:
            if direction == SENT and self._question is not None and self._question in data:
                self._times -= 1
                if not self._times:
                    self._limits[RECEIVED], self._question = self._counts[RECEIVED], None
            limit = self._limits[direction]
            if limit is None or self._counts[direction] + count <= limit:
                self._counts[direction] += count
                return count
            self.was_reached = True
            self._changed.notify_all()
            if self._cuts:
                allowed = limit - self._counts[direction]
                self._limits[direction] = None
                return allowed
            self._changed.wait_for(lambda: self._limits[direction] is None)
            self._counts[direction] += count
            return count
