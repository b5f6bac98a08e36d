"""Connections to Redis that compare replies with the expected bytes."""

from __future__ import annotations

from collections.abc import Sequence
from socket import socket
from typing import cast

import redis
from redis.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection

_BYTES_PER_READ = 65_536
UNCOMMITTED = "nothing of it is committed, push again"


class ByteConnection(AbstractConnection):
    """A connection that sends packed commands, and compares replies with the expected bytes."""

    @property
    def another_run(self) -> str:
        """The message of a push that meets another run of Redis than that of its lease: writes may be lost."""
        return f"Redis was restarted during the push; {UNCOMMITTED}"

    def ask_run(self) -> str:
        """Ask for what identifies this run of Redis; empty if it hides that."""
        return self.ask_info("server", "run_id")

    def ask_info(self, section: str, name: str) -> str:
        """Ask for a field that INFO reports in a section; empty if it has none."""
        self.send(*self.pack([("INFO", section)]))
        reported = cast("bytes", self.read_response()).splitlines()
        field = f"{name}:".encode()
        return next((line[len(field) :].decode().strip() for line in reported if line.startswith(field)), "")

    def pack(self, commands: Sequence[tuple[bytes | str, ...]]) -> list[bytes]:
        """Encode commands in Redis's protocol."""
        packed: list[bytes] = self.pack_commands(commands)  # type: ignore[no-untyped-call]
        return packed

    def send(self, *packed: bytes) -> None:
        """Send packed commands; connects first if it is not connected.

        Raises:
            redis.ConnectionError: The connection was lost.
        """
        self.send_packed_command(packed, check_health=False)  # type: ignore[no-untyped-call]

    def expect(self, replies: bytes) -> None:
        """Read exactly these replies.

        Reads the socket itself, past the buffer of redis-py's parser: that is empty as long as every reply before was
        read whole.

        Raises:
            redis.ResponseError: Another reply came, whose first differing line is the message, without the `-` of an
                error. Disconnect afterwards: further replies may be unread.
            redis.ConnectionError: The connection was lost.
            redis.TimeoutError: No reply came in time.
        """
        received = bytearray()
        while received != replies:
            if not replies.startswith(received) and (line := _unexpected_line(received, replies)) is not None:
                raise redis.ResponseError(line)
            received += self._receive()

    def _receive(self) -> bytes:
        try:
            chunk = cast("socket", self._sock).recv(_BYTES_PER_READ)
        except TimeoutError as silent:
            raise redis.TimeoutError("no answer came in time") from silent
        except OSError as lost:
            raise redis.ConnectionError("the connection was lost") from lost
        if not chunk:
            raise redis.ConnectionError("the connection was closed")
        return bytes(chunk)


def _unexpected_line(received: bytearray, replies: bytes) -> str | None:
    """Return the first line that differs from the expected replies; None while it is incomplete."""
    pairs = enumerate(zip(received, replies, strict=False))
    same = next((at for at, (came, due) in pairs if came != due), min(len(received), len(replies)))
    begin = received.rfind(b"\r\n", 0, same) + 2 if same else 0
    line, end, _ = bytes(received[begin:]).partition(b"\r\n")
    return line.decode(errors="replace").removeprefix("-") if end else None


class TcpConnection(ByteConnection, Connection):
    """A connection over TCP."""


class TlsConnection(ByteConnection, SSLConnection):
    """A connection over TLS.

    It asks once when it connects. Servers of TLS 1.3 send tickets after the handshake, and redis-py would take bytes
    that nobody has read for an answer to another command, and give the connection up.
    """

    def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - as redis-py calls it
        """Log in, and read the answer to a PING."""
        super().on_connect_check_health(check_health=check_health)
        self.send_command("PING", check_health=False)  # type: ignore[no-untyped-call]
        self.read_response()


class SocketConnection(ByteConnection, UnixDomainSocketConnection):
    """A connection over a unix socket."""


CONNECTIONS = {"redis": TcpConnection, "rediss": TlsConnection, "unix": SocketConnection}
"""By the scheme of the URL."""


def pack_call(arguments: Sequence[bytes | str]) -> bytes:
    """Pack one command of many arguments, several times faster than redis-py does."""
    encoded = [each if isinstance(each, bytes) else each.encode() for each in arguments]
    return b"*%d\r\n%b" % (len(encoded), b"".join([b"$%d\r\n%b\r\n" % (len(each), each) for each in encoded]))


def take_connection(client: redis.Redis) -> ByteConnection:
    """Take a connection from the client's pool."""
    return cast("ByteConnection", client.connection_pool.get_connection())


def close_connection(client: redis.Redis, connection: ByteConnection | None) -> None:
    """Close a connection that was taken, and release it to the pool; None is ignored.

    It is never released open: replies may be unread, and a WATCH may be active.
    """
    if connection is not None:
        connection.disconnect()  # type: ignore[no-untyped-call]
        client.connection_pool.release(cast("Connection", connection))
