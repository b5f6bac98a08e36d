"""Explains why Redis has no schema of a feature view: never pushed, another key prefix, or lost."""

from __future__ import annotations

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import OnlineStore

_MOST_PREFIXES = 5


def why_unknown(online: OnlineStore, reference: str) -> str:
    """Return a message that says why a view has no readable schema, and what to do.

    Also works for a user who lacks the right to list views or key prefixes.
    """
    nothing = f"Redis has no schema of {reference} under the key prefix {online.key_prefix!r}"
    push = f"feature-sync push {reference}"
    try:
        views = online.references()
        others = [] if views else online.prefixes()
    except OnlineStoreError:
        return f"{nothing}: push first ({push}), or name another prefix with --key-prefix"
    if reference in views:
        return f"Redis has no schema of {reference} that can be read; push again: {push} --full-refresh"
    if views or not others:
        return f"{nothing}; push first: {push}"
    prefixes = ", ".join(map(repr, others[:_MOST_PREFIXES])) + (", ..." if len(others) > _MOST_PREFIXES else "")
    return (
        f"{nothing}, which is empty; others are {prefixes}: name the right one with --key-prefix or "
        f"FEATURE_SYNC_KEY_PREFIX, or push first: {push}"
    )
