"""What a stream says when a topic of Kafka cannot be read."""

from __future__ import annotations

from collections.abc import Iterable

from feature_sync.errors import did_you_mean

UNTRUSTED = "certificate verify failed"
"""What Kafka's client says of every certificate that it refuses, whatever the reason."""


def no_topic(topic: str, known: Iterable[str]) -> str:
    """Return the message of a topic that the brokers do not have."""
    return f"kafka has no topic {topic!r}{did_you_mean(topic, known)}: see stream.topic, and --from"


def untrusted(where: str) -> str:
    """Return the message of a certificate that the client refuses."""
    return (
        f"{where} cannot be read: the certificate of a broker cannot be verified. Is it of an authority that "
        "ssl.ca.location names, for the host as the URL and the broker write it, and still valid?"
    )


def silent(where: str, reason: str, *, uses_tls: bool) -> str:
    """Return the message of brokers that do not answer; `reason` is the client's."""
    tls = "do they speak TLS there?" if uses_tls else "if they speak TLS, set security.protocol"
    return f"no broker answers for {where} ({reason}): is --from right, do they run? And {tls}"
