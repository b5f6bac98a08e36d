"""Explains failures of Redis in sentences: errors of the socket and of TLS, and the text of its error replies.

Imports neither redis-py nor, unless TLS is used, `ssl`: a serving client starts without them.
"""

from __future__ import annotations

import re
import socket

import msgspec

from feature_sync.online.redis.address import Address

LOADING = "is still loading its data; try again when it has"
TOO_MANY_CLIENTS = "has as many clients as it allows: close some, or raise maxclients"
IN_CLUSTER = "is a node of a Redis Cluster: begin the URL with redis+cluster:// (rediss+cluster:// for TLS)"
MASTERDOWN = "is a replica that has lost its primary: use the primary"
_OF_CLUSTER = re.compile(r"(MOVED|ASK|CLUSTERDOWN|CROSSSLOT|TRYAGAIN) ")
_OF_LOGIN = re.compile(
    r"NOAUTH |WRONGPASS |ERR (invalid password|AUTH <password> called|Client sent AUTH|wrong number .* 'auth')"
)
_OF_COMMAND = re.compile(r"the '([^']+)' command")
_IS_RUNNING = "; is it running?"
_UNNAMED = (
    "refused a client without a password: put it into the URL, as redis://user:password@host, or into "
    "FEATURE_SYNC_REDIS_PASSWORD"
)
_REFUSED = "refused the user or the password; percent-encode special characters in the URL, such as / as %2F"
_CERTIFICATE_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_OTHER_HOST = "is for another host: write the host as the certificate does, or ssl_check_hostname=false"
_UNKNOWN_AUTHORITY = (
    "is signed by an unknown authority: name the file of its CA with ssl_ca_certs in the URL, or "
    "FEATURE_SYNC_REDIS_SSL_CA_CERTS"
)
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


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What messages advise: a push and the command line can do other things than the client of a service.

    Args:
        timeout: How to wait for longer.
        full: What to do when Redis has no memory left.
        read_only: What to do when Redis accepts no writes.
        rights: What an ACL user needs.
    """

    timeout: str
    full: str
    read_only: str
    rights: str


PUSHING = Advice(
    timeout="raise it with --redis-timeout",
    full="raise maxmemory or remove keys; nothing of this push is committed, push again",
    read_only="push to its primary",
    rights="feature-sync acl prints the rules of its users",
)
SERVING = Advice(
    timeout="raise the client's timeout",
    full="raise maxmemory or remove keys",
    read_only="a client may only read from it",
    rights="feature-sync acl --service NAME prints the rules of a service's reader",
)


def silence(address: Address, timeout: float, advice: Advice = PUSHING) -> str:
    """Return the whole message of a request without an answer; `timeout` in seconds."""
    return f"Redis at {address.where} did not answer in time ({timeout:g} s); {advice.timeout}" + (
        "; if it does not speak TLS, the URL begins with redis://" if address.uses_tls else ""
    )


def foreignness(address: Address) -> str:
    """Return the whole message of an answer that is not in Redis's protocol."""
    return f"what answers at {address.where} does not speak Redis's protocol; is it the port of another service?"


def loss(cause: BaseException | None, address: Address) -> str:
    """Explain an error of the socket or of TLS; None means that the connection was lost for an unknown reason."""
    return f"cannot be reached{_reason(cause, address) if isinstance(cause, OSError) else _IS_RUNNING}"


def closing(address: Address) -> str:
    """Explain a connection that the server closed."""
    return f"cannot be reached{_ended(address)}"


def refused_login(message: str) -> str:
    """Explain a refused login by the text of the reply, with or without its first word."""
    return _UNNAMED if "equired" in message else _REFUSED


def refusal(message: str, advice: Advice = PUSHING) -> str:
    """Explain the text of an error reply, and what to do where that is known.

    Errors of scripts quote other errors, so their first words are looked for inside the text, too.
    """
    if _OF_LOGIN.match(message):
        return refused_login(message)
    if message.startswith("LOADING "):
        return LOADING
    if "max number of clients" in message:
        return TOO_MANY_CLIENTS
    if _OF_CLUSTER.match(message):
        return IN_CLUSTER
    if message.startswith("NOPERM ") or "no permissions" in message.lower():
        return forbidden(message, advice)
    reasons = {"OOM": full(advice), "READONLY": read_only(advice), **_REFUSALS}
    return next((text for kind, text in reasons.items() if kind in message), _refused_command(message))


def _refused_command(message: str) -> str:
    hint = "; if it is a Sentinel, begin the URL with redis+sentinel://" if "unknown command" in message else ""
    return f"refused a command: {message.rstrip() if hint else message}{hint}"


def wrong_type(key: str) -> str:
    """Return the whole message of a Redis key that holds another type of value than pushes write."""
    again = "feature-sync push --full-refresh"
    return f"{key} in Redis is not of the type that pushes write; delete it and push again: {again}"


def forbidden(message: str, advice: Advice) -> str:
    """Explain a command or a key that the user has no right to, and name the rule that is missing."""
    text = message.removeprefix("NOPERM ").rstrip(".")
    if command := _OF_COMMAND.search(text):
        missing = f" (give it +{command[1].lower()})"
    else:
        missing = " (give it a rule for that key)" if "key" in text else ""
    return f"does not allow it to this user: {text}{missing}; {advice.rights}"


def full(advice: Advice) -> str:
    """Explain a Redis that has no memory left."""
    return f"is full: {advice.full}"


def read_only(advice: Advice) -> str:
    """Explain a replica that was asked to write."""
    return f"is a read-only replica: {advice.read_only}"


_REFUSALS = {
    "MASTERDOWN": MASTERDOWN,
    "MISCONF": "accepts no writes because it cannot save to its disk (MISCONF): see its log",
    "DENIED": "runs in protected mode and accepts clients of its own machine only: give it a password",
    "BUSY ": "is busy with a script of another client: try again, or end it with SCRIPT KILL",
}


def _reason(cause: OSError, address: Address) -> str:
    """Explain an error of the socket or of TLS."""
    if missing := [name for name in _CERTIFICATE_FILES if not _exists(address, name)]:
        return f": {address.options[missing[0]]}, which {missing[0]} of the URL names, does not exist"
    if address.uses_tls:
        import ssl

        if isinstance(cause, ssl.SSLCertVerificationError):
            known = _CERTIFICATE_REASONS.get(cause.verify_code, f"is refused ({cause.verify_message})")
            return f": its certificate {known}"
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
    if name not in address.options:
        return True
    from pathlib import Path

    return Path(address.options[name]).exists()


def _ended(address: Address) -> str:
    """Explain a connection that the server closed: TLS 1.3 refuses a missing certificate only after the handshake."""
    if address.uses_tls and "ssl_certfile" not in address.options:
        return ": it closed the connection; if it asks for a client's certificate, name ssl_certfile and ssl_keyfile"
    if address.uses_tls:
        return ": it closed the connection; it may not accept the certificate that ssl_certfile names, or be no Redis"
    return f"{_IS_RUNNING} It closed the connection, as the port of another service may do"


def _tls_reason(reason: str, address: Address) -> str:
    """Explain a reason of OpenSSL."""
    if "HANDSHAKE_FAILURE" in reason and "ssl_certfile" not in address.options:
        reason = "CERTIFICATE_REQUIRED"  # a server of TLS 1.2 reports it so
    known = next((text for part, text in _TLS_REASONS.items() if part in reason), None)
    return (
        known or f"TLS failed ({reason.lower()}); check the files that ssl_certfile, ssl_keyfile and ssl_ca_certs name"
    )
