"""Explains why Redis has no card of a service: never pushed, another key prefix, or another name."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from feature_sync.errors import OnlineStoreError, did_you_mean
from feature_sync.online.keys import services_key, views_key

_MOST_LISTED = 5
_KEYS_PER_SCAN = 1_000
_MOST_SCANS = 100


class NoCard(OnlineStoreError):
    """Redis has no card of a service."""


def why_no_card(key_prefix: str, service: str) -> Generator[Sequence[Any], Sequence[Any], NoCard]:
    """Return the error that says why a service has no card, and what to do; yields commands as requests do.

    Also works for a user who lacks the right to list services or key prefixes.
    """
    nothing = f"Redis has no card of the feature service {service!r} under the key prefix {key_prefix!r}"
    push = "push the project that defines it (feature-sync push)"
    try:
        (members,) = yield [("SMEMBERS", services_key(key_prefix))]
        names = [each.decode(errors="backslashreplace") for each in members]
        prefixes = [] if names else (yield from _prefixes())
    except OnlineStoreError:
        return NoCard(f"{nothing}; {push}, or name another prefix or service")
    if names:
        return NoCard(f"{nothing}{did_you_mean(service, names)}")
    if not prefixes:
        return NoCard(f"{nothing}, and none at all; {push}")
    listed = ", ".join(map(repr, prefixes[:_MOST_LISTED])) + (", ..." if len(prefixes) > _MOST_LISTED else "")
    return NoCard(f"{nothing}, which is empty; others are {listed}: name the right one, or {push}")


def _prefixes() -> Generator[Sequence[Any], Sequence[Any], list[str]]:
    """Search the key prefixes under which something was pushed; a short search may miss some."""
    found: set[bytes] = set()
    cursor = b"0"
    for _ in range(_MOST_SCANS):
        scan = ("SCAN", cursor, "MATCH", f"*{views_key('')}", "COUNT", str(_KEYS_PER_SCAN), "TYPE", "set")
        ((cursor, keys),) = yield [scan]
        found.update(key.removesuffix(views_key("").encode()) for key in keys)
        if cursor == b"0":
            break
    return sorted(each.decode(errors="backslashreplace") for each in found)
