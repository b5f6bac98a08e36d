"""A gate before a broker of Kafka that speaks neither TLS nor SASL: it does, and forwards what it let in."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Mapping
from contextlib import suppress
from threading import Thread

_BYTES_PER_READ = 65_536
_HEADER = struct.Struct(">hhi")
"""The kind of a request, its version, and the number by which the answer names it."""
_HANDSHAKE, _API_VERSIONS, _AUTHENTICATE = 17, 18, 36
_REFUSED = 58


class KafkaGate:
    """Listens at a port of its own, which the broker behind it must advertise.

    With `users`, each with a password, it lets in those alone, by SASL's mechanism PLAIN.
    """

    def __init__(self, context: ssl.SSLContext, users: Mapping[str, str] | None = None) -> None:
        self._context, self._users = context, users
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.servers = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.broker: tuple[str, int] = ("", 0)
        """Where the broker is; to be set before the first client comes."""
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with (
            suppress(OSError),
            accepted,
            self._context.wrap_socket(accepted, server_side=True) as client,
            socket.create_connection(self.broker) as broker,
        ):
            if self._users is None or self._let_in(client, broker):
                Thread(target=_forward, args=(broker, client), daemon=True).start()
                _forward(client, broker)

    def _let_in(self, client: ssl.SSLSocket, broker: socket.socket) -> bool:
        """Answer the requests of a login; those for the broker's versions are the broker's."""
        while (request := _frame(client)) is not None:
            kind, version, number = _HEADER.unpack_from(request)
            if kind == _API_VERSIONS:
                broker.sendall(_framed(request))
                client.sendall(_framed(_frame(broker) or b""))
            elif kind == _HANDSHAKE:
                client.sendall(_framed(struct.pack(">ihih5s", number, 0, 1, 5, b"PLAIN")))
            elif kind == _AUTHENTICATE:
                _, user, password = request.rsplit(b"\0", 2)
                is_known = (self._users or {}).get(user.decode()) == password.decode()
                reason = b"" if is_known else b"wrong user or password"
                answer = struct.pack(
                    f">ihh{len(reason)}si", number, 0 if is_known else _REFUSED, len(reason), reason, 0
                )
                client.sendall(_framed(answer + (struct.pack(">q", 0) if version else b"")))
                return is_known
            else:
                return False
        return False


def _framed(content: bytes) -> bytes:
    return struct.pack(">i", len(content)) + content


def _frame(source: socket.socket) -> bytes | None:
    """Read one request or answer; None at the end."""
    size = _exactly(source, 4)
    return None if size is None else _exactly(source, struct.unpack(">i", size)[0])


def _exactly(source: socket.socket, count: int) -> bytes | None:
    content = b""
    while len(content) < count:
        part = source.recv(count - len(content))
        if not part:
            return None
        content += part
    return content


def _forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while content := source.recv(_BYTES_PER_READ):
            target.sendall(content)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
