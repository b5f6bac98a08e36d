"""What every warehouse can do for the rest of the package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import msgspec

from feature_sync.definitions import Target
from feature_sync.errors import ProfileError

if TYPE_CHECKING:
    import pyarrow

Settings = TypeVar("Settings", bound="TargetSettings")
Columns = Sequence[Sequence[Any]]
"""Some rows of a result, column by column."""


class TargetSettings(msgspec.Struct):
    """The fields of a target that a warehouse uses. Some are passwords, so that a `repr` holds none."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


def never() -> bool:
    """Ask for nothing to end early."""
    return False


class Warehouse(ABC):
    """A connection. One that is not `writable` writes temporary tables alone, which end with it.

    Queries and statements are `sql.render`'s text.

    Raises:
        WarehouseError: From every method, when the warehouse cannot be reached or refuses the query.
    """

    adapter: ClassVar[str]
    """The name of dbt's adapter, which is also that of its SQL."""

    @classmethod
    @abstractmethod
    def connect(
        cls, target: Target, *, writable: bool = False, wait: bool = False, stopped: Callable[[], bool] = never
    ) -> Self:
        """Connect to a target of `profiles.yml`; `wait` for who has it or its tables alone, until `stopped` says so."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Name the database, unlike all others, without secrets: by host and name, or by path."""

    @property
    def database(self) -> str | None:
        """What a schema's name needs before it, where the connection does not imply it."""
        return None

    def label(self, **labels: str) -> None:  # noqa: B027 - most warehouses keep no such notes
        """Say what is asked from now on is for, so that whoever pays can tell; only where the warehouse notes it."""

    def bytes_to_scan(self, query: str) -> int | None:  # noqa: ARG002 - most warehouses do not charge by it
        """Ask how many bytes a query would read, without running it; None where the warehouse does not say."""
        return None

    def check_rights(self, relations: Sequence[str], *, writes_to: str | None = None) -> None:  # noqa: B027
        """Check that this user may read relations, and keep tables in a schema; where the warehouse tells.

        Raises:
            WarehouseError: Something is missing; all of it is named.
        """

    @abstractmethod
    def has_schema(self, schema: str) -> bool:
        """True if there is such a schema: then no right to create one is needed."""

    @abstractmethod
    def tables(self, schema: str) -> set[str]:
        """Return the names of the tables in a schema; none where there is no such schema."""

    @abstractmethod
    def describe(self, query: str) -> Mapping[str, str]:
        """Return the types of a query's columns by name, in the warehouse's own words, without running it whole."""

    @abstractmethod
    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Read a short result."""

    @abstractmethod
    def columns(self, query: str, *, batch_size: int) -> Iterator[Columns]:
        """Stream a result as batches, each a sequence of values for each column; memory is bounded by the batch."""

    @abstractmethod
    def arrow(self, query: str, *, batch_size: int) -> AbstractContextManager[pyarrow.RecordBatchReader]:
        """Stream a result as Arrow batches with exact types; memory is bounded by the batch."""

    @abstractmethod
    def keep(self, name: str, query: str) -> str:
        """Evaluate a query once, into a temporary table that is gone when the connection is; returns how to name it."""

    @abstractmethod
    def load(self, name: str, rows: pyarrow.RecordBatchReader, types: Mapping[str, str]) -> str:
        """Fill a temporary table that is gone when the connection is; memory is bounded by the batch.

        Returns how to name the table.

        `types` holds, in the warehouse's own words, those of columns whose values come as text. What reading the rows
        raises comes through unchanged.
        """

    @abstractmethod
    def snapshot(self, reads: Sequence[str] = ()) -> AbstractContextManager[None]:
        """Let all reads inside see the tables as they are at the first of them.

        The relations in `reads` stand still from then on where others could swap them.
        """

    @abstractmethod
    def transaction(self, reads: Sequence[str] = ()) -> AbstractContextManager[None]:
        """Let all statements inside see one snapshot, and take effect together or not at all; `reads` as above.

        Where the warehouse has no such transactions (its dialect says so), each statement takes effect by itself, and
        what goes wrong drops the tables that were made inside.
        """

    @abstractmethod
    def execute(self, statement: str) -> int:
        """Run a statement that gives no rows; returns how many it touched, where the warehouse says so."""

    @abstractmethod
    def execute_if_free(self, statement: str) -> None:
        """Run a statement outside a transaction, unless somebody else holds what it needs."""

    @abstractmethod
    def detached_results(
        self, queries: Sequence[str], *, batch_size: int
    ) -> AbstractContextManager[Sequence[Iterator[Columns]]]:
        """Stream the results of queries, one after the other, while others may use the warehouse.

        Memory is bounded by the batch. Inside, nothing else can be asked of this connection.
        """

    @abstractmethod
    def cancel(self) -> None:
        """End what runs, which then fails; for another thread to call, at any time."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_settings(target: Target, kind: type[Settings]) -> Settings:
    """Read the fields of a target that a warehouse uses; dbt's others are ignored.

    Raises:
        ProfileError: A field is missing or of the wrong type; its value is never quoted.
    """
    try:
        return msgspec.convert(dict(target.settings), type=kind, strict=False)
    except msgspec.ValidationError as wrong:
        raise ProfileError(f"profile {target.profile}, target {target.name}: {wrong}") from wrong
