"""Translates the errors of Redis's client into ours, with the reason and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.address import Address
from feature_sync.online.redis.wording import (
    IN_CLUSTER,
    LOADING,
    MASTERDOWN,
    PUSHING,
    TOO_MANY_CLIENTS,
    closing,
    forbidden,
    foreignness,
    full,
    loss,
    read_only,
    refusal,
    refused_login,
    silence,
)

_IN_CLUSTER = (
    redis.exceptions.AskError,  # MOVED is one of these
    redis.exceptions.ClusterError,
    redis.exceptions.ClusterCrossSlotError,
    redis.exceptions.TryAgainError,
)


@contextmanager
def translating(address: Address, timeout: float) -> Iterator[None]:
    """Turn the errors of Redis's client inside into ours; `timeout`, in seconds, appears in the message."""
    try:
        yield
    except redis.TimeoutError as silent:
        raise OnlineStoreError(silence(address, timeout)) from silent
    except redis.ConnectionError as lost:
        raise OnlineStoreError(f"Redis at {address.where} {_loss(lost, address)}") from lost
    except redis.InvalidResponse as foreign:
        raise OnlineStoreError(foreignness(address)) from foreign
    except redis.RedisError as refused:
        raise OnlineStoreError(f"Redis at {address.where} {_refusal(refused)}") from refused


def _loss(lost: redis.ConnectionError, address: Address) -> str:
    """Return why the connection failed."""
    message = str(lost)
    if isinstance(lost, redis.AuthenticationError):
        return refused_login(message)
    if isinstance(lost, redis.exceptions.BusyLoadingError):
        return LOADING
    if "max number of clients" in message:
        return TOO_MANY_CLIENTS
    cause = _root(lost)
    if "closed by server" in message and not isinstance(cause, OSError):
        return closing(address)
    return loss(cause, address)


def _root(lost: BaseException) -> BaseException | None:
    """Return the error of the socket or of TLS that caused an error of the client."""
    seen: set[int] = set()
    cause = lost.__cause__ or lost.__context__
    while cause is not None and id(cause) not in seen and isinstance(cause, redis.RedisError):
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return cause


def _refusal(refused: redis.RedisError) -> str:
    """Explain a refused command.

    The client turns some errors into classes of their own and drops their first word, such as OOM. Errors of scripts
    and of our own writer keep it, so that both forms are looked for.
    """
    message = str(refused)
    if isinstance(refused, redis.exceptions.MasterDownError):
        return MASTERDOWN
    if isinstance(refused, _IN_CLUSTER):
        return IN_CLUSTER
    if isinstance(refused, redis.exceptions.NoPermissionError):
        return forbidden(message, PUSHING)
    if isinstance(refused, redis.exceptions.ReadOnlyError):
        return read_only(PUSHING)
    if isinstance(refused, redis.exceptions.OutOfMemoryError):
        return full(PUSHING)
    return refusal(message)
