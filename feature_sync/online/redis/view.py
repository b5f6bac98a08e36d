"""One feature view in Redis: its row schemas, mark, rows and lease."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import cast

import redis

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import OnlineView, ServerState
from feature_sync.online.codec import RowSchema
from feature_sync.online.keys import ViewKeys
from feature_sync.online.marks import Holder, Mark, read_holder, read_mark
from feature_sync.online.redis.commands import Commands
from feature_sync.online.redis.comparing import RedisComparer
from feature_sync.online.redis.connections import close_connection, take_connection
from feature_sync.online.redis.globs import literal
from feature_sync.online.redis.lease import hold_lease
from feature_sync.online.redis.retries import ASKING, with_retry
from feature_sync.online.redis.schemas import readable_schemas
from feature_sync.online.redis.stream_record import read_record
from feature_sync.online.redis.stream_writer import RedisStreamWriter
from feature_sync.online.redis.wording import wrong_type
from feature_sync.online.redis.writer import RedisWriter
from feature_sync.online.streams import Position, StreamRecord, read_position

_KEYS_PER_SCAN = 1000


class RedisView(OnlineView):
    """A feature view in Redis, by its reference."""

    def __init__(
        self,
        client: redis.Redis,
        translating: Callable[[], AbstractContextManager[None]],
        *,
        key_prefix: str,
        reference: str,
        awaits_replica: bool = False,
    ) -> None:
        """Open a view; sends no command.

        Args:
            client: The client of Redis.
            translating: Turns the errors of Redis's client into ours.
            key_prefix: The key prefix of the store.
            reference: The reference of the view.
            awaits_replica: True if a replica, where there is one, must have a push unless `hold` is told otherwise.
        """
        super().__init__(key_prefix, reference)
        self._client = client
        self._commands = cast("Commands", client)
        self._translating = translating
        self._keys = ViewKeys(self.name)
        self._awaits_replica = awaits_replica

    def schemas(self, *, strict: bool = False) -> Mapping[bytes, RowSchema]:
        """See `OnlineView`."""
        with self._reading(self._keys.schemas):
            found = self._commands.hgetall(self._keys.schemas)
        return readable_schemas(self._keys.schemas, found, strict=strict)

    def schemas_named(self, ids: Sequence[bytes]) -> Mapping[bytes, RowSchema]:
        """See `OnlineView`."""
        with self._reading(self._keys.schemas):
            contents = self._commands.hmget(self._keys.schemas, ids)
        found = {each: content for each, content in zip(ids, contents, strict=True) if content is not None}
        return readable_schemas(self._keys.schemas, found, strict=False)

    def stream_writer(self, topic: str) -> RedisStreamWriter:
        """See `OnlineView`."""
        return RedisStreamWriter(self._client, self._translating, keys=self._keys, topic=topic)

    def stream_record(self) -> StreamRecord | None:
        """See `OnlineView`."""
        with self._reading(self._keys.stream):
            fields = self._commands.hgetall(self._keys.stream)
            ahead = self._commands.hlen(self._keys.journal) if fields else 0
        return read_record(fields, self._keys.stream, ahead=ahead)

    def stream_positions(self, keys: Sequence[bytes]) -> list[Position | None]:
        """See `OnlineView`."""
        with self._reading(self._keys.journal):
            found = self._commands.hmget(self._keys.journal, keys) if keys else []
        return [None if each is None else read_position(each) for each in found]

    def journal_keys(self) -> Iterator[Sequence[bytes]]:
        """See `OnlineView`."""
        cursor, is_first = 0, True
        while cursor or is_first:
            with self._reading(self._keys.journal):
                cursor, found = self._commands.hscan(self._keys.journal, cursor, count=_KEYS_PER_SCAN)
            is_first = False
            yield [*found]

    def mark(self) -> Mark | None:
        """See `OnlineView`."""
        with self._reading(self._keys.mark):
            return read_mark(self._commands.get(self._keys.mark), self._keys.mark)

    def holder(self) -> Holder | None:
        """See `OnlineView`."""
        with self._reading(self._keys.lease):
            return read_holder(self._commands.get(self._keys.lease))

    def row_keys(self) -> Iterator[list[bytes]]:
        """See `OnlineView`."""
        # SCAN reads the pattern as a glob, but key prefix and reference are literal.
        pattern = literal(self._keys.rows) + "*"
        cursor, is_first = 0, True
        while cursor or is_first:
            with self._translating():
                cursor, found = self._commands.scan(cursor, match=pattern, count=_KEYS_PER_SCAN)
            is_first = False
            if found:
                yield found

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `OnlineView`."""
        with self._translating():
            return list(self._commands.mget(keys)) if keys else []

    def exist(self, keys: Sequence[bytes]) -> list[bool]:
        """See `OnlineView`."""
        with self._translating(), self._commands.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.exists(key)
            return [bool(each) for each in pipeline.execute()]

    def memory_of(self, keys: Sequence[bytes]) -> list[int]:
        """See `OnlineView`."""
        with self._translating(), self._commands.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.memory_usage(key)
            return [each for each in pipeline.execute() if each is not None]

    def comparer(self) -> RedisComparer:
        """See `OnlineView`."""
        return RedisComparer(self._client, self._translating, probe=self._keys.schemas)

    @contextmanager
    def hold(
        self, *, duration: timedelta, wait: bool, stopped: Callable[[], bool], replicas: int | None = None
    ) -> Iterator[RedisWriter]:
        """See `OnlineView`."""
        with (
            self._translating(),
            hold_lease(self._client, self._keys, duration=duration, wait=wait, stopped=stopped) as fence,
        ):
            server = read_server_state(self._commands)
            yield RedisWriter(
                self._client,
                self._translating,
                key_prefix=self.key_prefix,
                reference=self.reference,
                keys=self._keys,
                fence=fence,
                server=server,
                run=with_retry(self._ask_run, ASKING) if self._awaits_replica else server.run_id,
                replicas=self._replicas() if replicas is None else replicas,
            )

    def _ask_run(self) -> str:
        connection = take_connection(self._client)
        try:
            return connection.ask_run()
        finally:
            close_connection(self._client, connection)

    def _replicas(self) -> int:
        """Return how many replicas must have a push by default."""
        return min(int(self._commands.info("replication")["connected_slaves"]), 1) if self._awaits_replica else 0

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        with self._translating(), reading(key):
            yield


def read_server_state(commands: Commands) -> ServerState:
    """Read what Redis reports of itself by INFO."""
    sections = (commands.info(section) for section in ("server", "memory", "stats"))
    reported = {name: value for section in sections for name, value in section.items()}
    policy = reported.get("maxmemory_policy", "noeviction")
    return ServerState(
        run_id=reported["run_id"],
        evicted_keys=reported.get("evicted_keys", 0),
        may_evict=bool(reported.get("maxmemory")) and policy != "noeviction",
        eviction_policy=f"maxmemory-policy {policy}",
    )


@contextmanager
def reading(key: str) -> Iterator[None]:
    """Turn WRONGTYPE errors into one that names the Redis key."""
    try:
        yield
    except redis.ResponseError as refused:
        if "WRONGTYPE" not in str(refused):
            raise
        raise OnlineStoreError(wrong_type(key)) from refused
