"""Explains why TLS to PostgreSQL failed, and which field of the profile cures it."""

from __future__ import annotations

import socket
import ssl
import struct

from feature_sync.warehouses.postgres.settings import SECONDS_TO_CONNECT, PostgresSettings

_ASKS_FOR_TLS = struct.pack("!ii", 8, 80_877_103)
"""The first message of PostgreSQL's protocol, to which a server answers S if it speaks TLS."""
_UNKNOWN = "its certificate is signed by an unknown authority: name the file of its CA with sslrootcert (PGSSLROOTCERT)"
_BY_CODE = {
    9: "its certificate is not valid yet: compare the clocks",
    10: "its certificate has expired: renew it",
    **dict.fromkeys((2, 18, 19, 20, 21), _UNKNOWN),
}
"""By OpenSSL's verification codes."""
_OWN = "the certificate and key of this client stand in sslcert and sslkey (PGSSLCERT, PGSSLKEY)"
_REASONS = {
    "does not match host name": "its certificate is for another host: write the host as the certificate does, or "
    "sslmode: verify-ca",
    "root certificate file": "name the file of its CA with sslrootcert (PGSSLROOTCERT)",
    "server does not support SSL": "it does not speak TLS there: sslmode: disable, or its port for TLS",
    "requires a valid client certificate": f"it asks for a client's certificate: {_OWN}",
    "alert certificate required": f"it asks for a client's certificate: {_OWN}",
    "alert handshake failure": f"it may ask for a client's certificate: {_OWN}",
    "alert unknown ca": f"it does not accept this client's certificate: {_OWN}",
    "alert decrypt error": f"it does not accept this client's certificate: {_OWN}",
    "could not load private key file": f"the key cannot be read: {_OWN}",
    "certificate file": f"the certificate cannot be read: {_OWN}",
    "private key file": f"the key cannot be read, or others may read it (chmod 600): {_OWN}",
}
"""By parts of libpq's messages."""


def why_refused(message: str, settings: PostgresSettings) -> str:
    """Return what to do about a failure of TLS, as the end of a message; empty for another failure.

    libpq says of a certificate only that it could not be verified, so it is looked at again.
    """
    if "certificate verify failed" in message:
        return f"; {_BY_CODE.get(_verification_code(settings), _UNKNOWN)}"
    return next((f"; {cure}" for part, cure in _REASONS.items() if part in message), "")


def _verification_code(settings: PostgresSettings) -> int:
    """Return OpenSSL's code for what is wrong with the server's certificate; 0 if that cannot be found out."""
    try:
        context = ssl.create_default_context(cafile=settings.sslrootcert)
        context.check_hostname = False
        address = (settings.host, settings.port)
        with socket.create_connection(address, timeout=SECONDS_TO_CONNECT) as opened:
            opened.sendall(_ASKS_FOR_TLS)
            if opened.recv(1) == b"S":
                context.wrap_socket(opened).close()
    except ssl.SSLCertVerificationError as refused:
        return refused.verify_code
    except OSError:
        return 0
    return 0
