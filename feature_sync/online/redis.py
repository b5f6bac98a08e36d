"""The Redis that holds the online store: connects, reads many keys at once, and knows what pushes left there."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from feature_sync.errors import OnlineStoreError, RequestError
from feature_sync.online.address import read_address
from feature_sync.online.codec import SCHEMA_ID_BYTES, Schema, read_schema
from feature_sync.online.comparing import Comparer
from feature_sync.online.lease import Holder, Lease, hold_lease, lease_key, read_holder
from feature_sync.online.marks import Mark, read_mark
from feature_sync.online.patience import PatientRedis
from feature_sync.online.reasons import translating
from feature_sync.online.writer import CONNECTIONS, Writer

_SECONDS_TO_ANSWER = 10.0
_MOST_SECONDS = 86_400
_KEYS_PER_SCAN = 1000
_MOST_SCANS = 100


class OnlineStore:
    """A connection to Redis.

    Beside the rows of a view, `<view prefix>schema` holds their schemas, `<view prefix>push` the mark of its newest
    push, and `lease` and `fence` who may write; `<prefix>:store` names this Redis, `<prefix>:views` its views.

    Raises:
        OnlineStoreError: From every method, when Redis cannot be reached or refuses a command.
    """

    def __init__(self, url: str, *, timeout: float = _SECONDS_TO_ANSWER) -> None:
        """Connect. The password in the URL never reaches a message; `timeout` is how long to wait for an answer."""
        self._address = read_address(url)
        self._timeout = timeout
        pool = redis.ConnectionPool(
            connection_class=CONNECTIONS[self._address.scheme],
            protocol=2,  # the writer compares replies byte for byte
            socket_connect_timeout=timeout,
            socket_timeout=timeout,
            retry=Retry(NoBackoff(), 0),  # trying again is the business of `PatientRedis`
            **self._address.options,
        )
        self._client: Any = PatientRedis.from_pool(pool)
        with self.translating():
            if not self._client.ping():
                raise redis.InvalidResponse("it answers PING with something else")

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the values of many keys at once; None where there is none."""
        with self.translating():
            return list(self._client.mget(keys)) if keys else []

    def schemas(self, view_prefix: str, *, strict: bool = False) -> Mapping[bytes, Schema]:
        """Read all schemas of a feature view by their ids, the newest last; none if it was never pushed.

        What is not a schema is left out, since rows may not need it; with `strict`, one that cannot be read raises.
        """
        key = schema_key(view_prefix)
        with self._reading(key):
            found = self._client.hgetall(key)
        return _readable(key, found, strict=strict)

    def schemas_named(self, view_prefix: str, ids: Sequence[bytes]) -> Mapping[bytes, Schema]:
        """Read some of the schemas of a feature view: those of `ids` that are there and can be read."""
        key = schema_key(view_prefix)
        with self._reading(key):
            contents = self._client.hmget(key, ids)
        found = {each: content for each, content in zip(ids, contents, strict=True) if content is not None}
        return _readable(key, found, strict=False)

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
        with self._reading(mark_key(view_prefix)):
            return read_mark(self._client.get(mark_key(view_prefix)), mark_key(view_prefix))

    def holder(self, view_prefix: str) -> Holder | None:
        """Tell who is pushing a view."""
        with self._reading(lease_key(view_prefix)):
            return read_holder(self._client.get(lease_key(view_prefix)))

    def store_id(self, prefix: str, *, create: bool = True) -> str:
        """Read the random id of this Redis, which is lost with its data; empty if there is none and none is made."""
        key = f"{prefix}:store"
        with self._reading(key):
            if create:
                self._client.set(key, secrets.token_hex(8), nx=True)
            return str((self._client.get(key) or b"").decode(errors="backslashreplace"))

    def views(self, prefix: str) -> set[str]:
        """The references of all views that were pushed under a prefix."""
        with self._reading(views_key(prefix)):
            members = self._client.smembers(views_key(prefix))
        return {each.decode() for each in members if _is_text(each)}  # a push writes nothing else

    def prefixes(self) -> list[str]:
        """Find the key prefixes under which something was pushed, among the first keys of this Redis."""
        ending = views_key("").encode()
        found: set[bytes] = set()
        cursor = 0
        for _ in range(_MOST_SCANS):
            with self.translating():
                cursor, keys = self._client.scan(cursor, match=b"*" + ending, count=_KEYS_PER_SCAN, _type="set")
            found.update(key.removesuffix(ending) for key in keys)
            if not cursor:
                break
        return sorted(prefix.decode(errors="backslashreplace") for prefix in found)

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

    def comparer(self, view_prefix: str) -> Comparer:
        """Compare rows of a view with what is here."""
        return Comparer(self._client, self.translating, probe=schema_key(view_prefix))

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
        return translating(self._address, self._timeout)

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        """Name the key where Redis holds something of another type there."""
        with self.translating():
            try:
                yield
            except redis.ResponseError as refused:
                if "WRONGTYPE" not in str(refused):
                    raise
                raise OnlineStoreError(
                    f"{key} in Redis is not of the type that pushes write; delete it and push with --full-refresh"
                ) from refused


def _readable(key: str, found: Mapping[bytes, bytes], *, strict: bool) -> Mapping[bytes, Schema]:
    """Read the schemas that can be read, the newest last."""
    schemas: dict[bytes, Schema] = {}
    for schema_id, content in found.items():
        if len(schema_id) != SCHEMA_ID_BYTES:
            continue  # another program's field
        try:
            schemas[schema_id] = read_schema(content)
        except OnlineStoreError as unreadable:
            if strict:
                raise OnlineStoreError(f"{key} in Redis: {unreadable}") from unreadable
    return dict(sorted(schemas.items(), key=lambda each: each[1].fence))


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def read_timeout(asked: float | str | None) -> float:
    """Read how many seconds to wait for an answer of Redis.

    Raises:
        RequestError: It is not a number of seconds.
    """
    if asked is None or asked == "":
        return _SECONDS_TO_ANSWER
    try:
        seconds = float(asked)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds <= _MOST_SECONDS:
        raise RequestError(f"--redis-timeout: {asked!r} is not a number of seconds, such as 2.5")
    return seconds


def schema_key(view_prefix: str) -> str:
    """Where the schemas of a view stand."""
    return f"{view_prefix}schema"


def mark_key(view_prefix: str) -> str:
    """Where the mark of a view's newest push stands."""
    return f"{view_prefix}push"


def views_key(prefix: str) -> str:
    """Where the references of all pushed views stand."""
    return f"{prefix}:views"
