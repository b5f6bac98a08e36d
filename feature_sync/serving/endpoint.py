"""One Redis server as clients of a service reach it: the login, TLS, commands in batches, and what failures say."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from errno import ETIMEDOUT
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import WeakSet

from hiredis import ProtocolError, ReplyError
from hiredis import pack_command as _pack_tuple

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.address import Address, read_address
from feature_sync.online.redis.wording import SERVING, Advice, closing, foreignness, loss, refusal, silence, wrong_type
from feature_sync.online.topology import Node

if TYPE_CHECKING:
    from ssl import SSLContext

Command = Sequence[bytes | str]


class Packed(NamedTuple):
    """Commands that are encoded already, as one batch.

    Args:
        content: Their bytes.
        commands: How many they are.
    """

    content: bytes
    commands: int


BATCH_BYTES = 16_384
"""Commands travel together up to here; a longer one alone. Two batches at most wait for replies at once."""


class Endpoint:
    """The address of a server, how to log in, and how long to wait; its text never shows the password."""

    def __init__(self, url: str, *, timeout: float, client_name: str, advice: Advice = SERVING) -> None:
        """Read the URL.

        Args:
            url: As `read_address` reads it; its option `client_name` wins.
            timeout: How many seconds a whole request may take.
            client_name: The name in `CLIENT LIST`; an empty one is not sent.
            advice: What messages advise.

        Raises:
            OnlineStoreError: The URL cannot be read.
        """
        self.address = read_address(url)
        self.timeout = timeout
        self.advice = advice
        self._client_name = self.address.options.get("client_name", client_name)
        self._url = url
        self._context: SSLContext | None = None
        self.must_be_primary = False
        """Whether the login asks for the role, and fails at a replica."""

    def at(self, node: Node) -> Endpoint:
        """Return a node of the cluster; or the server that Sentinels name, whose login fails if it is a replica."""
        return self._copy(self.address.at(node), must_be_primary=self.address.is_sentinel)

    def sentinel(self, node: Node) -> Endpoint:
        """Return a Sentinel."""
        return self._copy(self.address.sentinel(node))

    def _copy(self, address: Address, *, must_be_primary: bool = False) -> Endpoint:
        other = copy(self)
        other.address, other.must_be_primary = address, must_be_primary
        return other

    def __repr__(self) -> str:
        return self.address.where

    @property
    def arguments(self) -> tuple[str, float, str]:
        """The URL, timeout and client name, to make the same endpoint in another process."""
        return self._url, self.timeout, self._client_name

    @property
    def login(self) -> list[Command]:
        """The first commands of a connection; `check_login` takes the reply to each as it comes."""
        options = self.address.options
        commands: list[Command] = []
        if "username" in options or "password" in options:
            commands.append(("AUTH", *filter(None, (options.get("username"), options.get("password", b"")))))
        if self._client_name:
            commands.append(("CLIENT", "SETNAME", self._client_name))
        if options.get("db"):
            commands.append(("SELECT", str(options["db"])))
        if self.must_be_primary:
            commands.append(("ROLE",))
        return commands or [("PING",)]  # some reply must show that it is a Redis

    def check_login(self, command: Command, reply: Any) -> None:
        """Judge the reply to a command of the login. A user without the right to name the connection stays nameless.

        Raises:
            NotPrimary: A server that Sentinels name has become a replica.
            OnlineStoreError: Redis refuses the login, or it is no Redis.
        """
        if command[0] == "ROLE" and isinstance(reply, list):
            if reply[0] != b"master":
                raise NotPrimary(f"Redis at {self.address.where} is a replica, and not the primary")
        elif isinstance(reply, ReplyError):
            text = str(reply)
            if command[0] not in ("CLIENT", "ROLE") or not text.startswith(("NOPERM", "ERR unknown")):
                raise self.refused(reply)
        elif reply not in (b"OK", b"PONG"):
            raise OnlineStoreError(foreignness(self.address))

    def tls_context(self) -> SSLContext | None:
        """Return what TLS needs, made once; None without TLS.

        Raises:
            OSError: A file of certificates cannot be read; an `ssl.SSLError` is one, too.
        """
        if not self.address.uses_tls:
            return None
        self._context = self._context or _tls_context(self.address.options)
        return self._context

    def failed(self, cause: BaseException, timeout: float) -> OnlineStoreError:
        """Return our error for one of the socket, of TLS or of the protocol; `timeout` in seconds."""
        if isinstance(cause, ProtocolError):
            failure = OnlineStoreError(foreignness(self.address))
        elif is_timeout(cause):
            failure = OnlineStoreError(silence(self.address, timeout, self.advice))
        elif isinstance(cause, Closed):
            failure = OnlineStoreError(f"Redis at {self.address.where} {closing(self.address)}")
        else:
            failure = OnlineStoreError(f"Redis at {self.address.where} {loss(cause, self.address)}")
        failure.__cause__ = cause
        return failure

    def refused(self, reply: ReplyError, command: Command = ()) -> OnlineStoreError:
        """Return our error for an error reply to a command."""
        text = str(reply)
        if text.startswith("WRONGTYPE ") and len(command) > 1:
            failure = OnlineStoreError(wrong_type(str(command[1])))
        else:
            failure = OnlineStoreError(f"Redis at {self.address.where} {refusal(text, self.advice)}")
        failure.__cause__ = reply
        return failure


class NotPrimary(OnlineStoreError):
    """The server that Sentinels name as the primary is a replica; soon they will name another."""


class Closed(ConnectionResetError):
    """The server closed the connection."""


def is_timeout(cause: BaseException) -> bool:
    """True if the time of the request is over; false if TCP gave up, whose error has a number."""
    return isinstance(cause, TimeoutError) and cause.errno != ETIMEDOUT


def pack(command: Command) -> bytes:
    """Encode a command in Redis's protocol."""
    packed: bytes = _pack_tuple(tuple(command))  # type: ignore[arg-type]  # its tuple of one item stands for any
    return packed


def batches(commands: Iterable[Command | Packed]) -> Iterator[tuple[bytes, int]]:
    """Yield packed commands that travel together, and how many they are; packs them when they are asked for."""
    packed: list[bytes] = []
    size = count = 0
    for command in commands:
        is_packed = command.__class__ is Packed
        packed.append(command[0] if is_packed else pack(command))  # type: ignore[arg-type]
        count += command[1] if is_packed else 1  # type: ignore[operator]
        size += len(packed[-1])
        if size >= BATCH_BYTES:
            yield b"".join(packed), count
            packed, size, count = [], 0, 0
    if packed:
        yield b"".join(packed), count


class Forgetful(Protocol):
    """Holds connections that a forked process must not use."""

    def forget(self) -> None:
        """Let go of all connections, and send nothing on them: they are the parent's."""


_FORGETFUL: WeakSet[Any] = WeakSet()


def forget_after_fork(holder: Forgetful) -> None:
    """Have a holder forget its connections in every process that is forked."""
    _FORGETFUL.add(holder)


def _forget() -> None:
    for holder in list(_FORGETFUL):
        holder.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _tls_context(options: Any) -> SSLContext:
    """Build the context that the options of the URL ask for, as redis-py means them."""
    import ssl

    context = ssl.create_default_context()
    required = options.get("ssl_cert_reqs", "required")
    context.check_hostname = required != "none" and options.get("ssl_check_hostname", True)
    context.verify_mode = ssl.VerifyMode[f"CERT_{required.upper()}"]
    certificate, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    if certificate or key:
        context.load_cert_chain(certificate or key, key, options.get("ssl_password"))
    authorities = [options.get(f"ssl_ca_{name}") for name in ("certs", "path", "data")]
    if any(authorities):
        context.load_verify_locations(*authorities)
    if "ssl_min_version" in options:
        context.minimum_version = options["ssl_min_version"]
    if "ssl_ciphers" in options:
        context.set_ciphers(options["ssl_ciphers"])
    return context
