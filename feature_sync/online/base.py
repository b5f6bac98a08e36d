"""The contract of an online store. A new store is a folder beside `redis/` that implements these classes.

No code above this floor uses a command, a pipeline or a key of a store: a view is opened by its reference, rows are
written and deleted by a writer that holds the view's lease, and keys come from `OnlineView.key_writer`.

Row keys are opaque bytes to the callers: they pass those of `key_writer` and `row_keys` back, and compare both. So
`row_keys` yields, for a row that was written, exactly the bytes that `key_writer` gave it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from feature_sync.online.codec import RowSchema
from feature_sync.online.keys import KeyWriter, name_of, row_key_writer
from feature_sync.online.marks import Holder, Mark, SlotMark
from feature_sync.online.rows import Row, RowEncoder
from feature_sync.online.slots import slot_of
from feature_sync.online.stream_rows import StreamEncoder
from feature_sync.online.streams import Position, SnapshotWriter, StreamRecord, StreamWriter
from feature_sync.value_types import ValueType

SchemasOf = Callable[[str], Mapping[bytes, RowSchema]]
"""Reads the row schemas of a view by its reference, the newest last; none if there was no push."""
ComposeCard = Callable[[bytes | None, SchemasOf], tuple[bytes, bool] | None]
"""Given the stored card and a reader of schemas: the card to store, and whether readers find it changed."""
NO_EXPIRY = -1
"""The expiry of a row that never expires, in `Held.expires_at`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """What a primary of a cluster reports of itself.

    Args:
        address: Host and port.
        slots: How many hash slots it serves.
        keys: How many keys it holds, of whatever kind.
        memory_bytes: How much memory it uses.
        replicas: How many replicas follow it.
    """

    address: str
    slots: int
    keys: int
    memory_bytes: int
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHealth:
    """How a node of a cluster is; numbers are None if it does not answer.

    Args:
        address: Host and port.
        is_primary: True if it serves slots, or should.
        slots: How many hash slots it serves; 0 for a replica.
        is_up: True if it answers.
        keys: How many keys it holds, of whatever kind.
        memory_bytes: How much memory it uses.
        replicas: How many replicas follow it now.
        replica_lag_bytes: How much of what it wrote the slowest of them has not acknowledged; None without one.
    """

    address: str
    is_primary: bool
    slots: int
    is_up: bool = False
    keys: int | None = None
    memory_bytes: int | None = None
    replicas: int | None = None
    replica_lag_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterHealth:
    """How a cluster is: its nodes, and how many hash slots no node serves that answers."""

    nodes: tuple[NodeHealth, ...]
    uncovered_slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """What a server reports of itself.

    Args:
        run_id: Identifies one run of the server: differs after each start.
        evicted_keys: How many keys this run has removed because memory was full.
        may_evict: True if the server may remove keys when memory is full.
        eviction_policy: The server's own name for what it does when memory is full.
    """

    run_id: str
    evicted_keys: int
    may_evict: bool
    eviction_policy: str


@dataclass(frozen=True, slots=True)
class Held:
    """What the store holds at a row key.

    Args:
        value: The row's bytes; None if the key does not exist.
        expires_at: Milliseconds since 1970 in UTC, or `NO_EXPIRY`; None if the store does not report expiries. Without
            meaning if the key does not exist.
    """

    value: bytes | None
    expires_at: int | None


class OnlineStore(ABC):
    """The online store of one key prefix. Threads may share it.

    Raises:
        OnlineStoreError: From every method except `view`: the store cannot be reached, or refuses a command.
    """

    key_prefix: str

    @abstractmethod
    def view(self, reference: str) -> OnlineView:
        """Return a feature view version by its reference, whether or not it was ever pushed; sends no command."""

    @abstractmethod
    def references(self) -> set[str]:
        """List the references of views under this key prefix: begun by a push, and not forgotten since."""

    @abstractmethod
    def prefixes(self) -> list[str]:
        """List the key prefixes under which something was pushed, sorted; incomplete if a short search misses some."""

    @abstractmethod
    def services(self) -> set[str]:
        """List the feature services that have a card."""

    @abstractmethod
    def card(self, service: str) -> bytes | None:
        """Read the card of a feature service; None if there is none."""

    @abstractmethod
    def publish(self, service: str, compose: ComposeCard) -> None:
        """Store a card, with a new revision if readers find it changed, unless `compose` returns None.

        If the stored card, or schemas that `compose` has read, change meanwhile, it is called again.
        """

    @abstractmethod
    def withdraw(self, services: Collection[str]) -> None:
        """Remove the cards of services, in one atomic step with a new revision."""

    def settle_revision(self) -> None:
        """Set the revision that a publisher which was cut off has not set, where that is not one step with the card."""
        return

    @abstractmethod
    def store_id(self, *, create: bool = True) -> str:
        """Return the random id of the data under this key prefix, by which the warehouse recognizes it.

        The id is stored with the data and lost with it. With `create`, one is made if none exists, atomically: all
        callers get the same. Without, it is empty if none exists.
        """

    @abstractmethod
    def server_state(self) -> ServerState:
        """Read what the server reports of itself."""

    def nodes(self) -> tuple[NodeState, ...]:
        """Read the state of each primary of a cluster; none for one server."""
        return ()

    def cluster_health(self) -> ClusterHealth | None:
        """Read how each node of a cluster is, those that do not answer included; None for one server."""
        return None

    @abstractmethod
    def now(self) -> datetime:
        """Read the clock by which rows expire, in UTC."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""


class OnlineView(ABC):
    """One feature view version in the online store. No method needs the lease; `hold` takes it.

    Raises:
        OnlineStoreError: From every method that reads: the store failed, or holds what no push writes.
    """

    def __init__(self, key_prefix: str, reference: str) -> None:
        self.key_prefix = key_prefix
        self.reference = reference
        self.name = name_of(key_prefix, reference)
        """Identifies the view in the warehouse's records of pushes."""

    def key_writer(self, types: Sequence[ValueType]) -> KeyWriter:
        """Return the function that writes row keys, from columns of join keys of these types in wire form."""
        return row_key_writer(self.key_prefix, self.reference, types)

    def encoder(self, schema: RowSchema, *, lag: timedelta | None, expires: bool) -> RowEncoder:
        """Return the encoder of rows of a schema; see `RowEncoder` for `lag` and `expires`.

        Args:
            schema: The schema of the rows.
            lag: See `RowEncoder`.
            expires: See `RowEncoder`.
        """
        return RowEncoder(self.key_writer([kind for _, kind in schema.keys]), schema, lag=lag, expires=expires)

    def stream_encoder(self, schema: RowSchema) -> StreamEncoder:
        """Return the encoder of streamed rows; `schema` is that of pushed rows, the newest of `schemas`."""
        return StreamEncoder(self.key_writer([kind for _, kind in schema.keys]), schema)

    @abstractmethod
    def stream_writer(self, topic: str) -> StreamWriter:
        """Return a writer of the rows of the view's stream, which reads a topic; sends no command yet."""

    @abstractmethod
    def stream_record(self) -> StreamRecord | None:
        """Read what the store records of the view's stream; None if it does not stream."""

    @abstractmethod
    def stream_positions(self, keys: Sequence[bytes]) -> list[Position | None]:
        """Read for each key, in order, the position of the stream's row or deletion; None if a push wrote it last."""

    @abstractmethod
    def journal_keys(self) -> Iterator[Sequence[bytes]]:
        """Yield all keys of the stream's rows and deletions in batches, in no order; a key can come twice."""

    @abstractmethod
    def schemas(self, *, strict: bool = False) -> Mapping[bytes, RowSchema]:
        """Read all row schemas by their ids, in ascending order of `RowSchema.fence`; none if there was no push.

        Entries that are not schemas are left out: rows may not need them. With `strict`, an unreadable one raises.
        """

    @abstractmethod
    def schemas_named(self, ids: Sequence[bytes]) -> Mapping[bytes, RowSchema]:
        """Read the row schemas among `ids` that exist and can be read."""

    @abstractmethod
    def mark(self) -> Mark | None:
        """Read the mark that a writer set last; None if none was set, or the view was forgotten."""

    def slot_marks(self) -> Sequence[SlotMark | None] | None:
        """Read the mark of each part that can lose its newest writes alone; None if `mark` stands for all rows.

        On a cluster those parts are the hash slots, by their number.
        """
        return None

    @abstractmethod
    def holder(self) -> Holder | None:
        """Read the holder of the lease; None if the lease is free or has expired."""

    @abstractmethod
    def row_keys(self) -> Iterator[list[bytes]]:
        """Find the row keys of this view alone, whichever schema the rows have, in batches that are not empty.

        A key that exists throughout is found at least once; one written, deleted or expired meanwhile, perhaps.
        """

    @abstractmethod
    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the rows at many keys, in their order; None for a key without a row."""

    @abstractmethod
    def exist(self, keys: Sequence[bytes]) -> list[bool]:
        """Return for each key, in order, whether it exists, whatever is stored there."""

    @abstractmethod
    def memory_of(self, keys: Sequence[bytes]) -> list[int]:
        """Measure keys in bytes of memory, with the store's overhead; keys that do not exist are left out."""

    @abstractmethod
    def comparer(self) -> Comparer:
        """Return an object that compares rows with those in the store."""

    def slot(self, key: bytes) -> int:
        """Return the number of the part, as in `slot_marks`, that holds the row at a key."""
        return slot_of(key)

    def shard(self, key: bytes) -> str | None:
        """Return the address of the primary that a row at a key is on; None if there is one server for all."""
        del key
        return None

    @abstractmethod
    def hold(
        self, *, duration: timedelta, wait: bool, stopped: Callable[[], bool], replicas: int | None = None
    ) -> AbstractContextManager[ViewWriter]:
        """Take the lease of the view and raise its fence, in one atomic step; renew the lease until the exit.

        The store's own clock times the lease. The exit gives it back if it is still held; it expires by itself if the
        process dies. The lease keeps pushes apart, but only the fence makes writes safe: see `ViewWriter`.

        Args:
            duration: How long the store waits for a writer that does not renew the lease.
            wait: Wait while another push holds the lease.
            stopped: Ends the waiting when it returns True.
            replicas: How many replicas must have all writes before they count as confirmed; None for one where there
                is one.

        Raises:
            LeaseHeld: Another push holds the lease, and `wait` is False.
            OnlineStoreError: The store failed, or `stopped` ended the waiting.
        """


class ViewWriter(ABC):
    """Writes to one view, only while the view's fence is this writer's.

    The store checks the fence in the same atomic step as each write: a writer that was suspended until another took
    the lease changes nothing afterwards. Every write is idempotent, since one whose reply was lost is sent again.
    Each method returns when the store has confirmed all of its writes. `publish`, `begin`, `finish` and `forget` take
    effect as a whole or not at all, unless a foreign value stands at one of their keys; `write` and `delete` may stop
    after some batches.

    Raises:
        LeaseLost: From every method: another push has taken over.
        OnlineStoreError: From every method: the store failed, or was restarted or emptied since the lease was taken.
            A writer never continues on another run of the server, which may have lost confirmed writes.
    """

    fence: int
    """Larger than that of every earlier lease of the view, also after the store was emptied or restored."""
    server: ServerState
    """What the server reported after the lease was taken."""

    @abstractmethod
    def check_lease(self) -> None:
        """Raise unless the fence is still this writer's; writes nothing."""

    @abstractmethod
    def publish(self, schema: RowSchema, mark: Mark | None) -> None:
        """Store a row schema, replacing one with the same id, and the mark if one is given; rows stay as they are.

        A schema with the same id may differ in TTL, defaults, `as_of` and fence, none of which is part of the id.
        """

    @abstractmethod
    def begin(self, mark: Mark, schema: RowSchema, *, lost: Collection[int] = ()) -> None:
        """Set the mark with the status `SENDING`, add the view to the references, store the schema: before any row.

        Args:
            mark: The mark of this push.
            schema: The schema of its rows.
            lost: The numbers of the slots, as in `OnlineView.slot_marks`, whose rows are all sent.
        """

    def mark_slots(self, mark: Mark, slots: Collection[int], *, are_done: bool) -> None:
        """Mark slots of a view that is not pushed otherwise: before, and at last after, their rows are all sent."""
        raise NotImplementedError("this store has one mark for all rows")

    @abstractmethod
    def write(self, batches: Iterable[Sequence[Row]]) -> None:
        """Write rows, each replacing what its key held; a row that has expired already leaves no row at its key.

        Batches are taken one after the other; the writer keeps at most two of them in memory, on a cluster so many that
        they hold 100,000 rows.
        """

    @abstractmethod
    def delete(self, keys: Iterable[bytes]) -> int:
        """Delete rows; returns how many existed. Fewer are counted if a connection was lost on the way."""

    @abstractmethod
    def finish(self, mark: Mark, schema: RowSchema, *, is_only: bool, streamed: RowSchema | None = None) -> None:
        """Set the mark with the status `DONE`; after the last row was written and deleted.

        Args:
            mark: The mark of this push.
            schema: The schema that `begin` stored.
            is_only: True if all rows of the view have this schema or that of the stream: all others are then removed.
            streamed: The schema of the rows of the view's stream; None if it has none.
        """

    @abstractmethod
    def beside_stream(self) -> SnapshotWriter:
        """Return the writer of the rows of a view that a stream writes, too; it has this writer's fence."""

    @abstractmethod
    def forget(self) -> None:
        """Remove schemas, mark, stream and reference of the view; its rows are deleted before. The fence stays."""


class Comparer(ABC):
    """Compares the rows of one view with those in the store, byte for byte. One thread uses it at a time."""

    reports_expiry: bool
    """True if the store and its rights let this user read when a row expires."""

    @abstractmethod
    def compare(
        self, batches: Iterable[Sequence[Row]]
    ) -> Generator[tuple[Sequence[Row], Sequence[Held] | None], None, None]:
        """Compare batch after batch, values and expiries (where `reports_expiry`).

        Yields each batch, in order, with None if the store holds exactly its rows; else with what `read` returns for
        its keys. At most two batches are in memory. Closing the generator releases its connection. `read` may be called
        between two batches.

        Raises:
            OnlineStoreError: The store failed.
        """

    @abstractmethod
    def read(self, keys: Sequence[bytes]) -> list[Held]:
        """Read rows and expiries, in the order of the keys, at one moment.

        Raises:
            OnlineStoreError: The store failed.
        """
