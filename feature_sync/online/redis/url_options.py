"""Reads the options of a Redis URL, and those that a URL leaves to the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from feature_sync.errors import OnlineStoreError, did_you_mean

if TYPE_CHECKING:
    import ssl  # at run time only where TLS is asked for: it takes as long as everything else here

_VARIABLE = "FEATURE_SYNC_REDIS_"
"""What the names of the variables begin with that hold options which the URL lacks."""
_SENTINEL = "sentinel_"
"""What the names of options begin with that hold for the connections to Sentinels."""
_OPTION = re.compile(r"([a-z_]+)=(.*)", re.ASCII | re.DOTALL)
_TRUE, _FALSE = ("true", "yes", "y", "1"), ("false", "no", "n", "0")


class UnreadableOption(OnlineStoreError):
    """Text after the question mark is not an option; it may be part of a secret."""


def read_options(query: str, scheme: str) -> dict[str, Any]:
    """Read the options after the question mark.

    Raises:
        UnreadableOption: Some text is not an option.
        OnlineStoreError: An option is unknown here, or its value is not legal.
    """
    known = _options_of(scheme)
    options: dict[str, Any] = {}
    for text in filter(None, query.split("&")):
        parts = _OPTION.fullmatch(text)
        if parts is None:
            raise UnreadableOption
        name, value = parts[1], unquote(parts[2].replace("+", " "))
        if name not in known:
            raise OnlineStoreError(f"the Redis URL{_unknown(name, scheme)}")
        if name in options:
            raise OnlineStoreError(f"the Redis URL has {name} twice")
        try:
            options[name] = known[name](value)
        except ValueError as wrong:
            raise OnlineStoreError(f"the Redis URL: {name} {wrong}") from None
    return options


def _unknown(name: str, scheme: str) -> str:
    if name in _TLS_OPTIONS:
        return f": {name} needs TLS: use {scheme.replace('redis', 'rediss', 1)}://"
    if name in _SENTINEL_OPTIONS:
        return f": {name} is for Sentinels: use redis+sentinel:// or rediss+sentinel://"
    return f" has no option {name!r}{did_you_mean(name, _options_of(scheme))}"


def options_from_environment(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Read the options that the URL leaves to the environment: `FEATURE_SYNC_REDIS_PASSWORD` and its like.

    A socket of this machine takes none. A user of the environment counts only if the URL has neither user nor password.

    Raises:
        OnlineStoreError: A variable's value is not legal.
    """
    if scheme == "unix":
        return {}
    readers: dict[str, Callable[[str], Any]] = {}
    for prefix in ("", _SENTINEL) if scheme.endswith("+sentinel") else ("",):
        user, password = f"{prefix}username", f"{prefix}password"
        readers |= dict.fromkeys([password] if options.keys() & {user, password} else [user, password], _secret)
    readers |= _TLS_OPTIONS if scheme.startswith("rediss") else {}
    found: dict[str, Any] = {}
    for name, read in readers.items():
        variable = _VARIABLE + name.upper()
        if name not in options and (value := os.environ.get(variable)):
            try:
                found[name] = read(value)
            except ValueError as wrong:
                raise OnlineStoreError(f"{variable} {wrong}") from None
    return found


def split_sentinel_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of connections to Redis, and those of connections to Sentinels: TLS is the same for both."""
    redis = {name: value for name, value in options.items() if not name.startswith(_SENTINEL)}
    login = {name.removeprefix(_SENTINEL): value for name, value in options.items() if name.startswith(_SENTINEL)}
    shared = {name: value for name, value in redis.items() if name not in ("username", "password", "db")}
    return redis, {**shared, **login}


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
_SENTINEL_OPTIONS: dict[str, Callable[[str], Any]] = {f"{_SENTINEL}password": _text, f"{_SENTINEL}username": _text}


def _options_of(scheme: str) -> dict[str, Callable[[str], Any]]:
    if scheme == "unix":
        return _OPTIONS
    tls = _TLS_OPTIONS if scheme.startswith("rediss") else {}
    return {**_OPTIONS, **_KEEPALIVE, **tls, **(_SENTINEL_OPTIONS if scheme.endswith("+sentinel") else {})}
