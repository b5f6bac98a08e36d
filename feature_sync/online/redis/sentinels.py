"""Connections to the primary that Sentinels name, who are asked again whenever a connection is made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import redis

from feature_sync.errors import OnlineStoreError, did_you_mean
from feature_sync.online.redis.address import Address
from feature_sync.online.redis.connections import UNCOMMITTED, ByteConnection, TcpConnection, TlsConnection
from feature_sync.online.redis.reasons import translating
from feature_sync.online.topology import Node

_DEMOTED = "the server that Sentinels name is a replica"


class _ToPrimary(ByteConnection):
    """A connection that asks where the primary is before it connects."""

    host: str
    port: int

    def __init__(self, *, find: Callable[[], Node], **options: Any) -> None:
        """Prepare to connect; `find` asks the Sentinels."""
        super().__init__(**options)
        self._find = find

    @property
    def another_run(self) -> str:
        """See `ByteConnection`: a failover, mostly."""
        return (
            "Redis has failed over, or its primary was restarted, during the push (the Sentinels name "
            f"{self.host}:{self.port}); {UNCOMMITTED}"
        )

    def ask_run(self) -> str:
        """See `ByteConnection`: a primary that was replaced, and came back, has lost what the other did not get."""
        return f"{super().ask_run()} {self.ask_info('replication', 'master_replid')}"

    def connect(self) -> None:
        """Ask where the primary is, and connect to it."""
        if self._sock is None:
            self.host, self.port = self._find()
        super().connect()  # type: ignore[no-untyped-call]

    def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - as redis-py calls it
        """Log in, and make sure that it is the primary: a Sentinel may not know of a failover yet."""
        super().on_connect_check_health(check_health=check_health)
        self.send_command("ROLE", check_health=False)  # type: ignore[no-untyped-call]
        try:
            role = self.read_response()
        except redis.exceptions.NoPermissionError:
            return  # then the first write finds out
        if role[0] != b"master":
            self.disconnect()  # type: ignore[no-untyped-call]
            raise redis.ConnectionError(_DEMOTED)

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read a reply; a primary that has become a replica counts as lost."""
        try:
            return super().read_response(*arguments, **options)
        except redis.exceptions.ReadOnlyError as demoted:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise redis.ConnectionError(_DEMOTED) from demoted


class SentinelTcpConnection(_ToPrimary, TcpConnection):
    """A connection over TCP to the primary."""


class SentinelTlsConnection(_ToPrimary, TlsConnection):
    """A connection over TLS to the primary."""


class Sentinels:
    """The Sentinels of a URL, and the service that it names."""

    def __init__(self, address: Address, timeout: float) -> None:
        """Take the address of Sentinels, and how many seconds to wait for the answer of each."""
        self._address = address
        self._timeout = timeout

    def find(self) -> Node:
        """Ask one Sentinel after another where the primary is.

        Raises:
            OnlineStoreError: None answers, or none knows the service.
        """
        failure: OnlineStoreError | None = None
        for node in self._address.nodes:
            try:
                return self._ask(node)
            except OnlineStoreError as failed:
                failure = failure or failed
        raise failure or OnlineStoreError(f"the Redis URL {self._address.where} names no Sentinel")

    def _ask(self, node: Node) -> Node:
        address = self._address.sentinel(node)
        kind = redis.SSLConnection if address.uses_tls else redis.Connection
        pool = redis.ConnectionPool(
            connection_class=kind,
            protocol=2,
            driver_info=None,
            socket_connect_timeout=self._timeout,
            socket_timeout=self._timeout,
            **address.options,
        )
        with translating(address, self._timeout), closing(redis.Redis.from_pool(pool)) as client:
            run: Any = client.execute_command
            try:
                found = run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
                names = [] if found else [fields[fields.index(b"name") + 1] for fields in run("SENTINEL", "MASTERS")]
            except redis.ResponseError as refused:
                if "unknown command" not in str(refused).lower():
                    raise
                raise OnlineStoreError(
                    f"Redis at {address.where} is not a Sentinel: name the Sentinels, whose port is usually 26379, or "
                    "begin the URL with redis:// (rediss:// for TLS)"
                ) from refused
        if not found:
            service, known = self._address.service, [name.decode() for name in names]
            hint = did_you_mean(service, known) if known else "; it watches none"
            raise OnlineStoreError(f"the Sentinel at {address.where} knows no service {service!r}{hint}")
        return Node(found[0].decode(), int(found[1]))


def sentinel_options(address: Address, timeout: float) -> dict[str, Any]:
    """Return the class of connections to the primary, and the argument that lets them find it."""
    kind = SentinelTlsConnection if address.uses_tls else SentinelTcpConnection
    return {"connection_class": kind, "find": Sentinels(address, timeout).find}
