"""Reads the Redis URL into addresses, login and options; no message quotes what may be a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

import msgspec

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.url_options import (
    UnreadableOption,
    options_from_environment,
    read_options,
    split_sentinel_options,
)
from feature_sync.online.topology import Node

SCHEMES = (
    "redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel",
)  # fmt: skip
_REDIS_PORT, _SENTINEL_PORT, _LAST_PORT = 6379, 26_379, 65_535
_FORMS = {
    "redis": "redis://[user:password@]host[:port][/database], rediss://... for TLS, or unix://[user:password@]/path",
    "cluster": "redis+cluster://[user:password@]host[:port][,host[:port]...], or rediss+cluster://... for TLS",
    "sentinel": "redis+sentinel://[user:password@]host[:port][,host[:port]...]/service[/database], or "
    "rediss+sentinel://... for TLS",
}
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_PLACE = re.compile(
    rf"(?:\[(?P<ip6>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<host>{_LABEL}(?:\.{_LABEL})*\.?))(?::(?P<port>[0-9]{{1,5}}))?",
    re.ASCII,
)
_DATABASE = re.compile(r"/(?P<db>[0-9]{0,9})/?", re.ASCII)
_SERVICE = re.compile(r"/(?P<service>[A-Za-z0-9._-]+)(?:/(?P<db>[0-9]{0,9}))?/?", re.ASCII)
"""Sentinel allows these characters in the names of the primaries that it watches."""


class Address(msgspec.Struct, frozen=True):
    """Where Redis is: one server, the nodes of a cluster to ask first, or Sentinels.

    Args:
        where: The URL without user, password and options, for messages.
        scheme: One of `SCHEMES`.
        options: The keyword arguments of redis-py's connection, login included. Those of a cluster, or behind
            Sentinels, have no host and port: each node's are added by `at`.
        nodes: The nodes of the cluster that the URL names, or the Sentinels; empty for one server.
        service: The name by which Sentinels know the primary; empty elsewhere.
        sentinel_options: The keyword arguments of connections to Sentinels.
    """

    where: str
    scheme: str
    options: Mapping[str, Any]
    nodes: tuple[Node, ...] = ()
    service: str = ""
    sentinel_options: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        return f"Address({self.where!r})"

    @property
    def is_cluster(self) -> bool:
        """True for a Redis Cluster."""
        return self.scheme.endswith("+cluster")

    @property
    def is_sentinel(self) -> bool:
        """True if Sentinels know where the server is."""
        return self.scheme.endswith("+sentinel")

    @property
    def uses_tls(self) -> bool:
        """True if connections are made by TLS."""
        return self.scheme.startswith("rediss")

    def at(self, node: Node) -> Address:
        """Return the address of one server: a node of the cluster, or the primary that Sentinels name."""
        return self._of(node, self.options)

    def sentinel(self, node: Node) -> Address:
        """Return the address of one Sentinel."""
        return self._of(node, self.sentinel_options)

    def _of(self, node: Node, options: Mapping[str, Any]) -> Address:
        scheme = self.scheme.partition("+")[0]
        where = f"{scheme}://{node}" + ("" if node in self.nodes else f" (announced by {self.where})")
        return Address(where, scheme, {"db": 0, **options, "host": node.host, "port": node.port})


class _Place(NamedTuple):
    """What stands between the login and the options of a URL."""

    where: str
    options: Mapping[str, Any]
    nodes: tuple[Node, ...] = ()
    service: str = ""


def read_address(url: str) -> Address:
    """Read a URL. A password that is not percent-encoded is accepted if the URL has one reading.

    Raises:
        OnlineStoreError: It is not a Redis URL; its text is not in the message.
    """
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in SCHEMES:
        raise OnlineStoreError(
            "the Redis URL must begin with redis://, rediss:// or unix://, with redis+cluster:// or rediss+cluster://, "
            "or with redis+sentinel:// or rediss+sentinel://"
        )
    failure = _unreadable(scheme)
    for login, server, is_legal in _splits(rest):
        where, _, query = server.partition("?")
        try:
            if (place := _read_place(where, scheme)) is not None:
                return _address(scheme, place, _read_login(login, scheme), _query(query, scheme))
        except OnlineStoreError as wrong:
            # A wrong option of a URL with another @ may be part of an unencoded password: report the whole URL then.
            failure = wrong if is_legal and "@" not in server else failure
    raise failure from None  # the cause could quote the URL, and so the password


def _unreadable(scheme: str) -> OnlineStoreError:
    form = _FORMS.get(scheme.partition("+")[2], _FORMS["redis"])
    return OnlineStoreError(
        f"the Redis URL cannot be read; write {form}, and percent-encode special characters in user and password: / as "
        "%2F, @ as %40 and % as %25"
    )


def _address(scheme: str, place: _Place, login: Mapping[str, Any], query: Mapping[str, Any]) -> Address:
    options = {**login, **query}
    options = {**place.options, **options_from_environment(scheme, options), **options}
    if scheme.endswith("+cluster") and options.get("db"):
        raise OnlineStoreError("the Redis URL: a cluster has no database but 0: leave the database out")
    redis, sentinel = split_sentinel_options(options)
    return Address(place.where, scheme, redis, place.nodes, place.service, sentinel if place.service else {})


def _query(query: str, scheme: str) -> dict[str, Any]:
    try:
        return read_options(query, scheme)
    except UnreadableOption:
        raise _unreadable(scheme) from None


def _splits(rest: str) -> Iterator[tuple[str, str, bool]]:
    """Yield every split into login and server, and whether it is legal: that one first, then from the last @ back."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, _, _ = authority.rpartition("@")
    yield login, rest[len(login) + 1 :] if "@" in authority else rest, True
    for at in range(len(rest) - 1, -1, -1):
        if rest[at] == "@":
            yield rest[:at], rest[at + 1 :], False


def _read_place(server: str, scheme: str) -> _Place | None:
    """Read where Redis is; None if that cannot be read.

    Raises:
        OnlineStoreError: It can, and is not legal.
    """
    if scheme == "unix":
        return _read_socket(server)
    kind = scheme.partition("+")[2]
    authority, slash, path = server.partition("/")
    places = [_read_node(each, _SENTINEL_PORT if kind == "sentinel" else _REDIS_PORT) for each in authority.split(",")]
    nodes = tuple(dict.fromkeys(each for each in places if each is not None))
    if None in places or (len(places) > 1 and not kind):
        return None
    if kind == "sentinel":
        return _behind_sentinels(f"{scheme}://{server.rstrip('/')}", nodes, slash + path)
    database = _DATABASE.fullmatch(slash + path) if slash else None
    if slash and database is None:
        return None
    options = {"db": int((database["db"] if database else "") or 0)}
    if kind == "cluster":
        return _Place(f"{scheme}://{authority}", options, nodes)
    return _Place(f"{scheme}://{server.rstrip('/')}", {"host": nodes[0].host, "port": nodes[0].port, **options})


def _behind_sentinels(where: str, nodes: tuple[Node, ...], path: str) -> _Place | None:
    if path in ("", "/"):
        raise OnlineStoreError(
            "the Redis URL names no service: write redis+sentinel://host:port/service, the name by which the Sentinels "
            "watch the primary (SENTINEL MASTERS lists it; often mymaster)"
        )
    parts = _SERVICE.fullmatch(path)
    return None if parts is None else _Place(where, {"db": int(parts["db"] or 0)}, nodes, parts["service"])


def _read_node(text: str, default_port: int) -> Node | None:
    """Read host and port; None if they cannot be read."""
    parts = _PLACE.fullmatch(text)
    port = int(parts["port"] or default_port) if parts else 0
    return Node(parts["ip6"] or parts["host"], port) if parts and 0 < port <= _LAST_PORT else None


def _read_socket(server: str) -> _Place | None:
    """Read the path of a socket; None if it is not an absolute path."""
    path = unquote(server)
    if not path.startswith("/") or "\0" in path:
        return None
    return _Place(f"unix://{server}", {"path": path})


def _read_login(login: str, scheme: str) -> dict[str, Any]:
    """Read user and password as bytes: a password need not be UTF-8."""
    user, _, password = login.partition(":")
    named = {"username": user, "password": password}
    if re.search("[\ud800-\udc7f\udd00-\udfff]", login):  # surrogates that stand for no byte
        raise _unreadable(scheme)
    return {name: unquote_to_bytes(text.encode(errors="surrogateescape")) for name, text in named.items() if text}
