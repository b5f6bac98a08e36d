"""Opens the online store that a Redis URL names: one server, the primary that Sentinels name, or a cluster."""

from __future__ import annotations

from feature_sync.online.base import OnlineStore
from feature_sync.online.redis.address import read_address


def open_online_store(url: str, *, key_prefix: str, timeout: float) -> OnlineStore:
    """Connect. The password in the URL never reaches a message.

    Args:
        url: In one of the forms that `read_address` reads.
        key_prefix: The start of all Redis keys.
        timeout: How many seconds to wait for an answer.

    Raises:
        OnlineStoreError: The URL cannot be read, Redis cannot be reached, or it refuses the user.
    """
    if read_address(url).is_cluster:
        from feature_sync.online.redis.cluster_store import ClusterStore

        return ClusterStore(read_address(url), key_prefix=key_prefix, timeout=timeout)
    from feature_sync.online.redis.store import RedisStore

    return RedisStore(url, key_prefix=key_prefix, timeout=timeout)
