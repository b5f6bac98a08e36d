"""The Redis that holds the online store: connects, reads many keys at once, and knows what pushes left there."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import redis

from feature_sync.errors import OnlineStoreError
from feature_sync.online.codec import Schema, read_schema
from feature_sync.online.comparing import Comparer
from feature_sync.online.lease import Holder, Lease, hold_lease, lease_key, read_holder
from feature_sync.online.marks import Mark, read_mark
from feature_sync.online.patience import PatientRedis
from feature_sync.online.writer import CONNECTIONS, Writer

_SECONDS_TO_CONNECT = 5
_SECONDS_TO_ANSWER = 60
_KEYS_PER_SCAN = 1000


class OnlineStore:
    """A connection to Redis.

    Beside the rows of a view, `<view prefix>schema` holds their schemas, `<view prefix>push` the mark of its newest
    push, and `lease` and `fence` who may write; `<prefix>:store` names this Redis, `<prefix>:views` its views.

    Raises:
        OnlineStoreError: From every method, when Redis cannot be reached or refuses a command.
    """

    def __init__(self, url: str) -> None:
        """Connect. The password in the URL never reaches a message."""
        parts = urlsplit(url)
        if parts.scheme not in CONNECTIONS:
            raise OnlineStoreError("the Redis URL must begin with redis://, rediss:// or unix://")
        self._where = (
            f"unix://{parts.path}" if parts.scheme == "unix" else f"{parts.scheme}://{_host(parts.netloc)}{parts.path}"
        )
        try:
            self._client: Any = PatientRedis.from_url(
                url,
                connection_class=CONNECTIONS[parts.scheme],
                protocol=2,  # the writer compares replies byte for byte
                socket_connect_timeout=_SECONDS_TO_CONNECT,
                socket_timeout=_SECONDS_TO_ANSWER,
            )
        except ValueError as wrong:
            raise OnlineStoreError(f"the Redis URL of {self._where} cannot be read") from wrong
        with self.translating():
            self._client.ping()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the values of many keys at once; None where there is none."""
        with self.translating():
            return list(self._client.mget(keys)) if keys else []

    def schemas(self, view_prefix: str) -> Mapping[bytes, Schema]:
        """Read all schemas of a feature view by their ids, the newest last; none if it was never pushed."""
        with self.translating():
            found = self._client.hgetall(schema_key(view_prefix))
        schemas = {schema_id: read_schema(content) for schema_id, content in found.items()}
        return dict(sorted(schemas.items(), key=lambda each: each[1].fence))

    def keys(self, view_prefix: str) -> Iterator[list[bytes]]:
        """Find the keys of all rows of a view, in batches; one that is there all the while is found at least once."""
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", view_prefix) + "{*"
        cursor, is_first = 0, True
        while cursor or is_first:
            with self.translating():
                cursor, found = self._client.scan(cursor, match=pattern, count=_KEYS_PER_SCAN)
            is_first = False
            if found:
                yield found

    def mark(self, view_prefix: str) -> Mark | None:
        """Read the mark of the newest push that touched a view's rows."""
        with self.translating():
            return read_mark(self._client.get(mark_key(view_prefix)), mark_key(view_prefix))

    def holder(self, view_prefix: str) -> Holder | None:
        """Tell who is pushing a view."""
        with self.translating():
            return read_holder(self._client.get(lease_key(view_prefix)))

    def store_id(self, prefix: str, *, create: bool = True) -> str:
        """Read the random id of this Redis, which is lost with its data; empty if there is none and none is made."""
        key = f"{prefix}:store"
        with self.translating():
            if create:
                self._client.set(key, secrets.token_hex(8), nx=True)
            return str((self._client.get(key) or b"").decode())

    def views(self, prefix: str) -> set[str]:
        """The references of all views that were pushed under a prefix."""
        with self.translating():
            return {reference.decode() for reference in self._client.smembers(views_key(prefix))}

    def facts(self, *sections: str) -> Mapping[str, Any]:
        """Read what Redis tells of itself."""
        with self.translating():
            return {name: value for section in sections for name, value in self._client.info(section).items()}

    @contextmanager
    def lease(
        self, view_prefix: str, *, duration: timedelta, wait: bool, stopped: Callable[[], bool]
    ) -> Iterator[Lease]:
        """Be the one who pushes a view.

        Raises:
            LeaseHeld: Another is, and we do not `wait`.
        """
        with (
            self.translating(),
            hold_lease(self._client, view_prefix, duration=duration, wait=wait, stopped=stopped) as lease,
        ):
            yield lease

    def writer(self, lease: Lease, run_id: str) -> Writer:
        """Write under a lease, to this very run of Redis; its errors become ours inside `translating`."""
        return Writer(self._client, lease, run_id)

    def comparer(self) -> Comparer:
        """Compare rows with what is here."""
        return Comparer(self._client, self.translating)

    def now(self) -> datetime:
        """Read the clock by which this Redis lets keys expire."""
        with self.translating():
            seconds, microseconds = self._client.time()
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)

    def there(self, keys: Sequence[bytes]) -> list[bool]:
        """Tell of many keys whether anything is there, of whatever type."""
        with self.translating(), self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.exists(key)
            return [bool(each) for each in pipeline.execute()]

    def bytes_of(self, keys: Sequence[bytes]) -> list[int]:
        """Tell how many bytes keys take in memory, with all that Redis keeps beside them; those that are there."""
        with self.translating(), self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.memory_usage(key)
            return [each for each in pipeline.execute() if each is not None]

    def translating(self) -> AbstractContextManager[None]:
        """Turn the errors of Redis's client into ours."""
        return _translating(self._where)


@contextmanager
def _translating(where: str) -> Iterator[None]:
    try:
        yield
    except redis.AuthenticationError as refused:
        raise OnlineStoreError(f"Redis at {where} refused the user or the password") from refused
    except redis.TimeoutError as silent:
        raise OnlineStoreError(f"Redis at {where} did not answer in time") from silent
    except redis.ConnectionError as lost:
        raise OnlineStoreError(f"Redis at {where} cannot be reached; is it running?") from lost
    except redis.ResponseError as refused:
        raise OnlineStoreError(f"Redis at {where} {_refusal(refused)}") from refused


def _refusal(refused: redis.ResponseError) -> str:
    """Say what to do about the refusals that operators meet.

    The client makes kinds of some and takes the first word away; scripts and our own writer leave it.
    """
    said = str(refused)
    if isinstance(refused, redis.OutOfMemoryError) or "OOM" in said:
        return "is full: raise maxmemory or remove keys; nothing of this push is committed, push again"
    if isinstance(refused, redis.ReadOnlyError) or "READONLY" in said:
        return "is a read-only replica: push to its primary"
    if isinstance(refused, redis.exceptions.NoPermissionError) or "no permissions" in said:
        return f"does not allow it to this user: {said.removeprefix('NOPERM ')}"
    return f"refused a command: {said}"


def schema_key(view_prefix: str) -> str:
    """Where the schemas of a view stand."""
    return f"{view_prefix}schema"


def mark_key(view_prefix: str) -> str:
    """Where the mark of a view's newest push stands."""
    return f"{view_prefix}push"


def views_key(prefix: str) -> str:
    """Where the references of all pushed views stand."""
    return f"{prefix}:views"


def _host(netloc: str) -> str:
    return netloc.rpartition("@")[2]
