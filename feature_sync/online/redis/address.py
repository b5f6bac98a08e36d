"""Reads the Redis URL into address, login and options; no message quotes what may be a secret."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_to_bytes

import msgspec

from feature_sync.errors import OnlineStoreError, did_you_mean

if TYPE_CHECKING:
    import ssl  # at run time only where TLS is asked for: it takes as long as everything else here

_VARIABLE = "FEATURE_SYNC_REDIS_"
"""What the names of the variables begin with that hold options which the URL lacks."""
SCHEMES = ("redis", "rediss", "unix")
_FORMS = "redis://[user:password@]host[:port][/database], rediss://... for TLS, or unix://[user:password@]/path"
_UNREADABLE = (
    f"the Redis URL cannot be read; write {_FORMS}, and percent-encode special characters in user and password: / as "
    "%2F, @ as %40 and % as %25"
)
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_TCP = re.compile(
    rf"(?:\[(?P<ip6>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<host>{_LABEL}(?:\.{_LABEL})*\.?))(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?:/(?P<db>[0-9]{0,9})/?)?",
    re.ASCII,
)
_LAST_PORT = 65_535
_OPTION = re.compile(r"([a-z_]+)=(.*)", re.ASCII | re.DOTALL)
_TRUE, _FALSE = ("true", "yes", "y", "1"), ("false", "no", "n", "0")


class Address(msgspec.Struct, frozen=True):
    """Where Redis is.

    Args:
        where: The URL without user, password and options, for messages.
        scheme: `redis`, `rediss` or `unix`.
        options: The keyword arguments of redis-py's connection, login included.
    """

    where: str
    scheme: str
    options: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Address({self.where!r})"


def read_address(url: str) -> Address:
    """Read a URL. A password that is not percent-encoded is accepted if the URL has one reading.

    Raises:
        OnlineStoreError: It is not a Redis URL; its text is not in the message.
    """
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in SCHEMES:
        raise OnlineStoreError("the Redis URL must begin with redis://, rediss:// or unix://")
    failure = OnlineStoreError(_UNREADABLE)
    read_server = _read_socket if scheme == "unix" else _read_host
    for login, server, is_legal in _splits(rest):
        where, _, query = server.partition("?")
        if (found := read_server(where, scheme)) is None:
            continue
        try:
            options = {**_read_login(login), **_read_options(query, scheme)}
            return Address(found[0], scheme, {**found[1], **_from_environment(scheme, options), **options})
        except OnlineStoreError as wrong:
            # A wrong option of a URL with another @ may be part of an unencoded password: report the whole URL then.
            failure = wrong if is_legal and "@" not in server else failure
    raise failure from None  # the cause could quote the URL, and so the password


def _splits(rest: str) -> Iterator[tuple[str, str, bool]]:
    """Yield every split into login and server, and whether it is legal: that one first, then from the last @ back."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, _, _ = authority.rpartition("@")
    yield login, rest[len(login) + 1 :] if "@" in authority else rest, True
    for at in range(len(rest) - 1, -1, -1):
        if rest[at] == "@":
            yield rest[:at], rest[at + 1 :], False


def _read_host(server: str, scheme: str) -> tuple[str, dict[str, Any]] | None:
    """Read host, port and database; None if they cannot be read."""
    parts = _TCP.fullmatch(server)
    port = int(parts["port"] or 6379) if parts else 0
    if parts is None or not 0 < port <= _LAST_PORT:
        return None
    where = f"{scheme}://{server.rstrip('/')}"
    return where, {"host": parts["ip6"] or parts["host"], "port": port, "db": int(parts["db"] or 0)}


def _read_socket(server: str, scheme: str) -> tuple[str, dict[str, Any]] | None:
    """Read the path of a socket; None if it is not an absolute path."""
    path = unquote(server)
    if not path.startswith("/") or "\0" in path:
        return None
    return f"{scheme}://{server}", {"path": path}


def _read_login(login: str) -> dict[str, Any]:
    """Read user and password as bytes: a password need not be UTF-8."""
    user, _, password = login.partition(":")
    named = {"username": user, "password": password}
    if re.search("[\ud800-\udc7f\udd00-\udfff]", login):  # surrogates that stand for no byte
        raise OnlineStoreError(_UNREADABLE)
    return {name: unquote_to_bytes(text.encode(errors="surrogateescape")) for name, text in named.items() if text}


def _read_options(query: str, scheme: str) -> dict[str, Any]:
    """Read the options after the question mark."""
    known = {**_OPTIONS, **_OPTIONS_OF[scheme]}
    options: dict[str, Any] = {}
    for text in filter(None, query.split("&")):
        parts = _OPTION.fullmatch(text)
        if parts is None:
            raise OnlineStoreError(_UNREADABLE)
        name, value = parts[1], unquote(parts[2].replace("+", " "))
        if name in _TLS_OPTIONS and name not in known:
            raise OnlineStoreError(f"the Redis URL: {name} needs TLS: use rediss://")
        if name not in known:
            raise OnlineStoreError(f"the Redis URL has no option {name!r}{did_you_mean(name, known)}")
        if name in options:
            raise OnlineStoreError(f"the Redis URL has {name} twice")
        try:
            options[name] = known[name](value)
        except ValueError as wrong:
            raise OnlineStoreError(f"the Redis URL: {name} {wrong}") from None
    return options


def _from_environment(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Read the options that the URL leaves to the environment: `FEATURE_SYNC_REDIS_PASSWORD` and its like.

    A socket of this machine takes none. A user of the environment counts only if the URL has neither user nor password.
    """
    if scheme == "unix":
        return {}
    names = ["password"] if options.keys() & {"username", "password"} else ["username", "password"]
    readers: dict[str, Callable[[str], Any]] = {**dict.fromkeys(names, _secret)}
    readers |= _TLS_OPTIONS if scheme == "rediss" else {}
    found: dict[str, Any] = {}
    for name, read in readers.items():
        variable = _VARIABLE + name.upper()
        if name not in options and (value := os.environ.get(variable)):
            try:
                found[name] = read(value)
            except ValueError as wrong:
                raise OnlineStoreError(f"{variable} {wrong}") from None
    return found


def _secret(value: str) -> bytes:
    return os.fsencode(value)


def _text(value: str) -> str:
    if not value or "\0" in value:
        raise ValueError("has no value")
    return value


def _number(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        raise ValueError("must be a whole number")
    return int(value)


def _flag(value: str) -> bool:
    if value.lower() not in (*_TRUE, *_FALSE):
        raise ValueError("must be true or false")
    return value.lower() in _TRUE


def _cert_reqs(value: str) -> str:
    if value not in ("none", "optional", "required"):
        raise ValueError("must be none, optional or required")
    return value


def _tls_version(value: str) -> ssl.TLSVersion:
    import ssl

    versions = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    named = {**versions, **{str(int(version)): version for version in versions.values()}}
    if value not in named:
        raise ValueError("must be 1.2 or 1.3")
    return named[value]


def _ciphers(value: str) -> str:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers(_text(value))
    except ssl.SSLError:
        raise ValueError("names no cipher that can be used") from None
    return value


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "client_name": _text,
    "db": _number,
    "health_check_interval": _number,
    "password": _text,
    "username": _text,
}
_TLS_OPTIONS: dict[str, Callable[[str], Any]] = {
    "ssl_ca_certs": _text,
    "ssl_ca_data": _text,
    "ssl_ca_path": _text,
    "ssl_cert_reqs": _cert_reqs,
    "ssl_certfile": _text,
    "ssl_check_hostname": _flag,
    "ssl_ciphers": _ciphers,
    "ssl_keyfile": _text,
    "ssl_min_version": _tls_version,
    "ssl_password": _text,
}
_KEEPALIVE: dict[str, Callable[[str], Any]] = {"socket_keepalive": _flag}
_OPTIONS_OF = {"redis": _KEEPALIVE, "rediss": {**_KEEPALIVE, **_TLS_OPTIONS}, "unix": {}}
