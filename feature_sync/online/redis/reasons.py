"""Translates the errors of Redis's client into ours, with the reason and what to do about it."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.address import Address

_IN_CLUSTER = (
    redis.exceptions.AskError,  # MOVED is one of these
    redis.exceptions.ClusterError,
    redis.exceptions.ClusterCrossSlotError,
    redis.exceptions.TryAgainError,
)
_OF_CLUSTER = re.compile(r"(MOVED|ASK|CLUSTERDOWN|CROSSSLOT|TRYAGAIN) ")
_IS_RUNNING = "; is it running?"
_UNNAMED = "refused a client without a password: put it into the URL, as redis://user:password@host"
_REFUSED = "refused the user or the password; percent-encode special characters in the URL, such as / as %2F"
_CERTIFICATE_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_OTHER_HOST = "is for another host: write the host as the certificate does, or ssl_check_hostname=false"
_UNKNOWN_AUTHORITY = "is signed by an unknown authority: name the file of its CA with ssl_ca_certs in the URL"
_CERTIFICATE_REASONS = {
    2: _UNKNOWN_AUTHORITY,
    9: "is not valid yet: compare the clocks",
    10: "has expired: renew it",
    18: _UNKNOWN_AUTHORITY,
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    62: _OTHER_HOST,
    64: _OTHER_HOST,
}
"""By OpenSSL's verification codes."""
_NO_TLS = "it does not speak TLS at that port: use redis://, or its port for TLS"
_CLIENTS_CERTIFICATE = "it does not accept the certificate that ssl_certfile names"
_TLS_REASONS = {
    "CERTIFICATE_REQUIRED": "it asks for a client's certificate: name ssl_certfile and ssl_keyfile in the URL",
    "ALERT_UNKNOWN_CA": _CLIENTS_CERTIFICATE,
    "ALERT_BAD_CERTIFICATE": _CLIENTS_CERTIFICATE,
    "ALERT_CERTIFICATE": _CLIENTS_CERTIFICATE,
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "PROTOCOL": "it speaks another version of TLS: see ssl_min_version in the URL",
    "EOF": "it ended the handshake of TLS: it may ask for a client's certificate (ssl_certfile and ssl_keyfile), "
    "not accept that, or speak no TLS",
}
"""By parts of OpenSSL's reasons."""


@contextmanager
def translating(address: Address, timeout: float) -> Iterator[None]:
    """Turn the errors of Redis's client inside into ours; `timeout`, in seconds, appears in the message."""
    try:
        yield
    except redis.TimeoutError as silent:
        raise OnlineStoreError(
            f"Redis at {address.where} did not answer in time ({timeout:g} s); raise it with --redis-timeout"
            + ("; if it does not speak TLS, the URL begins with redis://" if address.scheme == "rediss" else "")
        ) from silent
    except redis.ConnectionError as lost:
        raise OnlineStoreError(f"Redis at {address.where} {_loss(lost, address)}") from lost
    except redis.InvalidResponse as foreign:
        raise OnlineStoreError(
            f"what answers at {address.where} does not speak Redis's protocol; is it the port of another service?"
        ) from foreign
    except redis.RedisError as refused:
        raise OnlineStoreError(f"Redis at {address.where} {_refusal(refused)}") from refused


def _loss(lost: redis.ConnectionError, address: Address) -> str:
    """Return why the connection failed."""
    message = str(lost)
    if isinstance(lost, redis.AuthenticationError):
        return _UNNAMED if "equired" in message else _REFUSED
    if isinstance(lost, redis.exceptions.BusyLoadingError):
        return "is still loading its data; try again when it has"
    if "max number of clients" in message:
        return "has as many clients as it allows: close some, or raise maxclients"
    cause = _root(lost)
    if isinstance(cause, OSError):
        return f"cannot be reached{_reason(cause, address)}"
    return f"cannot be reached{_ended(address) if 'closed by server' in message else _IS_RUNNING}"


def _root(lost: BaseException) -> BaseException | None:
    """Return the error of the socket or of TLS that caused an error of the client."""
    seen: set[int] = set()
    cause = lost.__cause__ or lost.__context__
    while cause is not None and id(cause) not in seen and isinstance(cause, redis.RedisError):
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return cause


def _reason(cause: OSError, address: Address) -> str:
    """Explain an error of the socket or of TLS."""
    if missing := [name for name in _CERTIFICATE_FILES if not _exists(address, name)]:
        return f": {address.options[missing[0]]}, which {missing[0]} of the URL names, does not exist"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f": its certificate {_certificate_reason(cause)}"
    if isinstance(cause, ssl.SSLError):
        return f": {_tls_reason(cause.reason or str(cause), address)}"
    if isinstance(cause, socket.gaierror):
        return f": its host name is not known here ({cause.strerror}); look for a typing error"
    return _of_socket(cause, address)


def _of_socket(cause: OSError, address: Address) -> str:
    if isinstance(cause, PermissionError):
        return f": this user may not open {'its socket' if address.scheme == 'unix' else 'it or a certificate file'}"
    if isinstance(cause, FileNotFoundError):
        return ": its socket does not exist; is it running?"
    if isinstance(cause, ConnectionResetError | BrokenPipeError):
        return _ended(address)
    if isinstance(cause, ConnectionRefusedError) or cause.strerror is None:
        return _IS_RUNNING
    return f" ({cause.strerror}); is it running?"


def _exists(address: Address, name: str) -> bool:
    return name not in address.options or Path(address.options[name]).exists()


def _ended(address: Address) -> str:
    """Explain a connection that the server closed: TLS 1.3 refuses a missing certificate only after the handshake."""
    if address.scheme == "rediss" and "ssl_certfile" not in address.options:
        return ": it closed the connection; if it asks for a client's certificate, name ssl_certfile and ssl_keyfile"
    return f"{_IS_RUNNING} It closed the connection, as the port of another service may do"


def _tls_reason(reason: str, address: Address) -> str:
    """Explain a reason of OpenSSL."""
    if "HANDSHAKE_FAILURE" in reason and "ssl_certfile" not in address.options:
        reason = "CERTIFICATE_REQUIRED"  # a server of TLS 1.2 reports it so
    known = next((text for part, text in _TLS_REASONS.items() if part in reason), None)
    return (
        known or f"TLS failed ({reason.lower()}); check the files that ssl_certfile, ssl_keyfile and ssl_ca_certs name"
    )


def _certificate_reason(cause: ssl.SSLCertVerificationError) -> str:
    return _CERTIFICATE_REASONS.get(cause.verify_code, f"is refused ({cause.verify_message})")


def _refusal(refused: redis.RedisError) -> str:
    """Explain a refused command, and what to do where that is known.

    The client turns some errors into classes of their own and drops their first word, such as OOM. Errors of scripts
    and of our own writer keep it, so that both forms are looked for.
    """
    message = str(refused)
    if isinstance(refused, redis.exceptions.MasterDownError):
        return _REFUSALS["MASTERDOWN"]
    if isinstance(refused, _IN_CLUSTER) or _OF_CLUSTER.match(message):
        return "is a node of a Redis Cluster, which is not supported yet: use a standalone Redis"
    if isinstance(refused, redis.exceptions.NoPermissionError) or "no permissions" in message.lower():
        what = message.removeprefix("NOPERM ").rstrip(".")
        return (
            f"does not allow it to this user: {what}; an ACL user needs the keys ~PREFIX:* and the commands that "
            "docs/pushing.md lists"
        )
    kind = next((text for kind, text in _REFUSALS.items() if kind in message), None)
    if isinstance(refused, redis.exceptions.OutOfMemoryError):
        kind = _REFUSALS["OOM"]
    if isinstance(refused, redis.exceptions.ReadOnlyError):
        kind = _REFUSALS["READONLY"]
    return kind or f"refused a command: {message}"


_REFUSALS = {
    "OOM": "is full: raise maxmemory or remove keys; nothing of this push is committed, push again",
    "READONLY": "is a read-only replica: push to its primary",
    "MASTERDOWN": "is a replica that has lost its primary: use the primary",
    "MISCONF": "accepts no writes because it cannot save to its disk (MISCONF): see its log",
    "DENIED": "runs in protected mode and accepts clients of its own machine only: give it a password",
    "BUSY ": "is busy with a script of another client: try again, or end it with SCRIPT KILL",
}
