"""The promises of an online store. A new store is a folder beside `redis/` that keeps them.

Above this floor nobody knows a command, a pipeline or a key of a store: a view is asked for by its reference, rows are
written and deleted by a writer that holds the view's lease, and keys come from `OnlineView.key_writer`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from feature_sync.online.codec import RowSchema
from feature_sync.online.keys import KeyWriter, name_of, row_key_writer
from feature_sync.online.marks import Holder, Mark
from feature_sync.online.rows import Row, RowEncoder
from feature_sync.value_types import ValueType

NO_EXPIRY = -1
"""The expiry of a row that never expires, in `Held.expires_at`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """What a server reports of itself.

    Args:
        run_id: Differs after each start of the server.
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
    """What the store holds at a key.

    Args:
        value: The row; None where there is none.
        expires_at: Milliseconds since 1970 in UTC, or `NO_EXPIRY`; None where the store does not report it.
    """

    value: bytes | None
    expires_at: int | None


class OnlineStore(ABC):
    """The online store of one key prefix.

    Raises:
        OnlineStoreError: From every method: the store cannot be reached, or refuses a command.
    """

    key_prefix: str

    @abstractmethod
    def view(self, reference: str) -> OnlineView:
        """Return a feature view version by its reference, whether or not it was ever pushed; asks nothing."""

    @abstractmethod
    def references(self) -> set[str]:
        """List the references of all views that were pushed under this key prefix."""

    @abstractmethod
    def prefixes(self) -> list[str]:
        """List the key prefixes under which something was pushed, as far as a short search finds them."""

    @abstractmethod
    def store_id(self, *, create: bool = True) -> str:
        """Read the random id of this store, which is lost with its data; empty if there is none and none is made."""

    @abstractmethod
    def server_state(self) -> ServerState:
        """Read what the server reports of itself."""

    @abstractmethod
    def now(self) -> datetime:
        """Read the clock by which rows expire, in UTC."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""


class OnlineView(ABC):
    """One feature view version in the online store.

    Raises:
        OnlineStoreError: From every method: the store failed, or holds what no push writes.
    """

    def __init__(self, key_prefix: str, reference: str) -> None:
        self.key_prefix = key_prefix
        self.reference = reference
        self.name = name_of(key_prefix, reference)

    def key_writer(self, types: Sequence[ValueType]) -> KeyWriter:
        """Return the function that writes the keys of rows, from columns of join keys of these types in wire form."""
        return row_key_writer(self.key_prefix, self.reference, types)

    def encoder(self, schema: RowSchema, *, lag: timedelta | None, expires: bool) -> RowEncoder:
        """Return the encoder of rows of a schema; see `RowEncoder` for `lag` and `expires`."""
        return RowEncoder(self.key_writer([kind for _, kind in schema.keys]), schema, lag=lag, expires=expires)

    @abstractmethod
    def schemas(self, *, strict: bool = False) -> Mapping[bytes, RowSchema]:
        """Read all schemas by their ids, the newest last; none if the view was never pushed.

        What is not a schema is left out, since rows may not need it; with `strict`, one that cannot be read raises.
        """

    @abstractmethod
    def schemas_named(self, ids: Sequence[bytes]) -> Mapping[bytes, RowSchema]:
        """Read those schemas of `ids` that exist and can be read."""

    @abstractmethod
    def mark(self) -> Mark | None:
        """Read the mark of the newest push that touched the rows; None where no push has."""

    @abstractmethod
    def holder(self) -> Holder | None:
        """Read who pushes the view now."""

    @abstractmethod
    def row_keys(self) -> Iterator[list[bytes]]:
        """Find the keys of all rows, in batches; a key that exists all the while is found at least once."""

    @abstractmethod
    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the rows of many keys at once; None where there is none."""

    @abstractmethod
    def exist(self, keys: Sequence[bytes]) -> list[bool]:
        """Check for each key whether the store holds anything there, of whatever type."""

    @abstractmethod
    def memory_of(self, keys: Sequence[bytes]) -> list[int]:
        """Measure keys in bytes of memory, with all that the store keeps beside them; those that exist."""

    @abstractmethod
    def comparer(self) -> Comparer:
        """Return what compares rows with those in the store."""

    @abstractmethod
    def hold(
        self, *, duration: timedelta, wait: bool, stopped: Callable[[], bool]
    ) -> AbstractContextManager[ViewWriter]:
        """Take the lease of the view, so that no other push writes to it.

        Args:
            duration: How long the store waits for a writer that does not renew the lease.
            wait: Wait while another push has the lease.
            stopped: Ends the waiting when it returns True.

        Raises:
            LeaseHeld: Another push has it, and `wait` is False.
        """


class ViewWriter(ABC):
    """Writes to one view while its lease, and so its fence, is ours. What a lost connection leaves open is sent again.

    Raises:
        LeaseLost: From every method: another push has taken over.
        OnlineStoreError: From every method: the store failed, or was restarted or emptied since the lease was taken.
    """

    fence: int
    """Grows with every lease of the view."""
    server: ServerState
    """What the server reported when the lease was taken."""

    @abstractmethod
    def check_lease(self) -> None:
        """Check that the lease is still ours."""

    @abstractmethod
    def publish(self, schema: RowSchema, mark: Mark | None) -> None:
        """Publish a schema, and replace the mark if one is given: rows stay as they are, but their clock may move."""

    @abstractmethod
    def begin(self, mark: Mark, schema: RowSchema) -> None:
        """Mark the view as being sent, list it among those pushed, and publish the schema: before the first row."""

    @abstractmethod
    def write(self, batches: Iterable[Sequence[Row]]) -> None:
        """Write rows, batch after batch; a row that has expired already is not stored."""

    @abstractmethod
    def delete(self, keys: Iterable[bytes]) -> int:
        """Delete rows; returns how many there were."""

    @abstractmethod
    def finish(self, mark: Mark, schema: RowSchema, *, is_only: bool) -> None:
        """Mark the view as sent; where it holds rows of this schema only, forget all others."""

    @abstractmethod
    def forget(self) -> None:
        """Remove schemas and mark, and the view from the list of those pushed; its rows are deleted before."""


class Comparer(ABC):
    """Compares the rows of one view with those in the store, byte for byte."""

    tells_expiry: bool
    """True if the store lets us ask when a row expires."""

    @abstractmethod
    def compare(
        self, batches: Iterable[Sequence[Row]]
    ) -> Generator[tuple[Sequence[Row], Sequence[Held] | None], None, None]:
        """Compare batch after batch; what the store holds comes with those that differ from it in any byte.

        Raises:
            OnlineStoreError: The store failed.
        """

    @abstractmethod
    def read(self, keys: Sequence[bytes]) -> list[Held]:
        """Read rows and expiries at one moment."""
