"""Writes one view to Redis under its lease: row schema, mark and rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import cast

import msgspec
import redis

from feature_sync.online.base import ServerState, ViewWriter
from feature_sync.online.codec import RowSchema
from feature_sync.online.keys import ViewKeys, revision_key, views_key
from feature_sync.online.marks import DONE, SENDING, Mark
from feature_sync.online.redis.cards import set_revision
from feature_sync.online.redis.commands import Commands
from feature_sync.online.redis.fenced import Command, FencedSender
from feature_sync.online.redis.schemas import readable_schemas
from feature_sync.online.redis.stream_push import RedisSnapshotWriter
from feature_sync.online.rows import Row

_KEYS_PER_COMMAND = 500


class RedisWriter(ViewWriter):
    """Writes while the fence has this writer's number, to the run of Redis on which the lease was taken."""

    def __init__(
        self,
        client: redis.Redis,
        translating: Callable[[], AbstractContextManager[None]],
        *,
        key_prefix: str,
        reference: str,
        keys: ViewKeys,
        fence: int,
        server: ServerState,
        run: str,
        replicas: int = 0,
    ) -> None:
        """Prepare to write.

        Args:
            client: The client of Redis.
            translating: Turns the errors of Redis's client into ours.
            key_prefix: The key prefix of the store.
            reference: The reference of the view.
            keys: The Redis keys of the view.
            fence: The number to which the lease raised the fence.
            server: What Redis reported after the lease was taken.
            run: The run of Redis at that moment, as a connection asks for it.
            replicas: How many replicas must have a push.
        """
        self.fence = fence
        self.server = server
        self._translating = translating
        self._client = client
        self._commands = cast("Commands", client)
        self._views = views_key(key_prefix)
        self._revision = revision_key(key_prefix)
        self._reference = reference
        self._keys = keys
        self._replicas = replicas
        self._run_of_redis = run
        self._sender = FencedSender(client, keys.fence, fence, run)

    def check_lease(self) -> None:
        """See `ViewWriter`."""
        self._run()  # an empty transaction still compares the fence

    def publish(self, schema: RowSchema, mark: Mark | None) -> None:
        """See `ViewWriter`."""
        marked = [] if mark is None else [self._set_mark(mark)]
        self._run(self._set_schema(schema), *marked, *self._revised(schema))

    def begin(self, mark: Mark, schema: RowSchema, *, lost: Collection[int] = ()) -> None:  # noqa: ARG002 - no slots
        """See `ViewWriter`."""
        # One transaction: a row never exists without its schema, nor a mark without an entry for `prune` to find.
        listed = "SADD", self._views, self._reference
        self._run(self._set_mark(mark, SENDING), listed, self._set_schema(schema), *self._revised(schema))

    def write(self, batches: Iterable[Sequence[Row]]) -> None:
        """See `ViewWriter`."""
        with self._sending():
            self._sender.set_rows(batches)

    def delete(self, keys: Iterable[bytes]) -> int:
        """See `ViewWriter`."""
        deleted, rest = 0, iter(keys)
        with self._sending():
            while batch := list(islice(rest, _KEYS_PER_COMMAND)):
                deleted += int(self._sender.run([("UNLINK", *batch)])[0])
        return deleted

    def finish(self, mark: Mark, schema: RowSchema, *, is_only: bool, streamed: RowSchema | None = None) -> None:
        """See `ViewWriter`."""
        # Other schemas go only when no row needs them: after changes alone, rows of older schemas remain.
        beside = [] if streamed is None else [self._set_schema(streamed)]
        schemas = [("DEL", self._keys.schemas), self._set_schema(schema), *beside] if is_only else []
        with self._sending():
            self._sender.run([*schemas, self._set_mark(mark, DONE)])
            if self._replicas:
                self._sender.wait(self._replicas)

    def beside_stream(self) -> RedisSnapshotWriter:
        """See `ViewWriter`."""
        return RedisSnapshotWriter(
            self._client, self._translating, keys=self._keys, fence=self.fence, run=self._run_of_redis
        )

    def forget(self) -> None:
        """See `ViewWriter`."""
        keys = (self._keys.schemas, self._keys.mark, self._keys.stream, self._keys.journal)
        self._run(("DEL", *keys), ("SREM", self._views, self._reference), self._set_revision())

    def _revised(self, schema: RowSchema) -> list[Command]:
        """Return the change of the revision that lets readers notice a schema; none if it is the newest already."""
        with self._translating():
            found = readable_schemas(self._keys.schemas, self._commands.hgetall(self._keys.schemas), strict=False)
        newest = next(reversed([*found.values()]), None)
        is_known = newest is not None and msgspec.structs.replace(newest, fence=schema.fence) == schema
        return [] if is_known else [self._set_revision()]

    def _set_revision(self) -> Command:
        return set_revision(self._client, self._revision)

    def _set_schema(self, schema: RowSchema) -> Command:
        return "HSET", self._keys.schemas, schema.id, schema.to_json()

    def _set_mark(self, mark: Mark, status: str | None = None) -> Command:
        marked = mark if status is None else msgspec.structs.replace(mark, status=status)
        return "SET", self._keys.mark, marked.to_json()

    def _run(self, *commands: Command) -> None:
        with self._sending():
            self._sender.run(commands)

    @contextmanager
    def _sending(self) -> Iterator[None]:
        with self._translating():
            try:
                yield
            finally:  # a connection that watches a key is not shared, nor kept idle while the warehouse works
                self._sender.disconnect()
