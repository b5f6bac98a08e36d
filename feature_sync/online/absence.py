"""Says why Redis has no schema of a feature view: never pushed, another key prefix, or lost."""

from __future__ import annotations

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import OnlineStore

_MOST_PREFIXES = 5


def why_unknown(online: OnlineStore, reference: str) -> str:
    """Say what is there in place of the schemas of a view, and what to do. A user may lack the right to ask."""
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
    shown = ", ".join(map(repr, others[:_MOST_PREFIXES])) + (", ..." if len(others) > _MOST_PREFIXES else "")
    return (
        f"{nothing}, which holds nothing; there is {shown}: name the right one with --key-prefix or "
        f"FEATURE_SYNC_KEY_PREFIX, or push first: {push}"
    )
