"""The contract of a warehouse. A new warehouse is a folder beside this file that implements it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import msgspec

from feature_sync.definitions import Index, Target
from feature_sync.errors import ProfileError

if TYPE_CHECKING:
    import pyarrow

Settings = TypeVar("Settings", bound="TargetSettings")
Columns = Sequence[Sequence[Any]]
"""A batch of rows of a result: one sequence of values for each column."""


class TargetSettings(msgspec.Struct):
    """The fields of a target that a warehouse uses. Their `repr` is empty, since some are passwords."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


def never() -> bool:
    """Return False: never end early."""
    return False


class Warehouse(ABC):
    """A connection to a warehouse. One that is not `writable` writes only temporary tables, which end with it.

    Queries and statements are texts that `sql.render` made. One thread uses a connection; only `cancel` may come from
    others.

    Raises:
        WarehouseError: From every method: the warehouse cannot be reached, or refuses the query.
        WarehouseConflict: From every method that writes: another session changed the same rows or tables.
    """

    adapter: ClassVar[str]
    """The name of dbt's adapter, which is also the name of its SQL dialect."""

    @classmethod
    @abstractmethod
    def connect(
        cls, target: Target, *, writable: bool = False, wait: bool = False, stopped: Callable[[], bool] = never
    ) -> Self:
        """Connect to a target of `profiles.yml`.

        Args:
            target: The target.
            writable: Also write permanent tables.
            wait: Wait as long as another process has the warehouse or its tables to itself.
            stopped: Ends the waiting when it returns True.

        Raises:
            ProfileError: A field of the target is missing or wrong.
        """

    @classmethod  # noqa: B027 - most warehouses are made by others
    def create(cls, target: Target) -> None:
        """Make an empty warehouse unless there is one; no-op where it is not a file.

        Raises:
            ProfileError: A field of the target is missing or wrong.
            WarehouseError: It cannot be made.
        """

    @property
    @abstractmethod
    def address(self) -> str:
        """The unique name of the database, without secrets: host and name, or path."""

    @property
    def database(self) -> str | None:
        """The qualifier that schema names need; None if the connection implies it."""
        return None

    def label(self, **labels: str | None) -> None:  # noqa: B027 - most warehouses have no labels
        """Tag subsequent queries with labels (BigQuery job labels; no-op elsewhere); None takes a label away."""

    def bytes_to_scan(self, query: str) -> int | None:  # noqa: ARG002 - most warehouses do not charge by it
        """Return how many bytes a query would read, without running it; None if the warehouse does not report it."""
        return None

    def check_rights(self, relations: Sequence[str], *, writes_to: str | None = None) -> None:  # noqa: B027
        """Raise unless this user may read relations and keep tables in a schema; no-op where rights cannot be listed.

        Args:
            relations: Quoted names of relations to read.
            writes_to: The schema to keep tables in, which need not exist; None to write nothing.

        Raises:
            WarehouseError: Rights are missing; the message lists all of them.
        """

    @abstractmethod
    def has_schema(self, schema: str) -> bool:
        """True if a schema exists, so that no right to create it is needed."""

    @abstractmethod
    def tables(self, schema: str) -> set[str]:
        """Return the names of the tables in a schema; none if it does not exist."""

    @abstractmethod
    def describe(self, query: str) -> Mapping[str, str]:
        """Return the types of a query's columns by name, as the warehouse writes them, without reading all rows."""

    def indexes(self, relations: Sequence[str]) -> Mapping[str, Sequence[Index]]:  # noqa: ARG002 - few have indexes
        """Return the indexes of tables by their quoted names; empty where they do not make a query faster."""
        return {}

    def estimated_depth(self, relation: str, columns: Sequence[str]) -> float | None:  # noqa: ARG002
        """Return how many rows of a table have equal values in columns, by statistics that the warehouse keeps.

        No row is read. None where it keeps none.
        """
        return None

    @abstractmethod
    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Read a short result whole."""

    @abstractmethod
    def columns(self, query: str, *, batch_size: int) -> Iterator[Columns]:
        """Stream a result in batches of at most so many rows; memory is bounded by the batch."""

    @abstractmethod
    def arrow(self, query: str, *, batch_size: int) -> AbstractContextManager[pyarrow.RecordBatchReader]:
        """Stream a result as Arrow batches with exact types; memory is bounded by the batch.

        The reader is valid inside the context alone.
        """

    @abstractmethod
    def keep(self, name: str, query: str) -> str:
        """Evaluate a query once, into a temporary table that ends with the connection; returns its quoted name."""

    @abstractmethod
    def load(self, name: str, rows: pyarrow.RecordBatchReader, types: Mapping[str, str]) -> str:
        """Load rows into a temporary table that ends with the connection; returns its quoted name.

        Memory is bounded by the batch. Errors from reading the rows pass unchanged.

        Args:
            name: The name of the table.
            rows: The rows.
            types: The types, as the warehouse writes them, of columns whose values come as text.

        Raises:
            RequestError: The warehouse has no type or name for a column.
        """

    def unload(self, name: str) -> None:
        """Drop a table that `load` made, by the name that it returned; places of states need it, which stay open."""
        self.execute_if_free(f"drop table if exists {name}")

    @abstractmethod
    def snapshot(self, reads: Sequence[str] = ()) -> AbstractContextManager[None]:
        """Let all reads inside see the tables as of the first of them.

        Where others could swap tables, the relations in `reads` are locked first, so that none changes afterwards.
        """

    @abstractmethod
    def transaction(self, reads: Sequence[str] = ()) -> AbstractContextManager[None]:
        """Let all statements inside see one snapshot, and take effect together or not at all; `reads` as in `snapshot`.

        Where the warehouse has no such transactions (its dialect declares it), each statement takes effect by itself,
        and an error drops the tables that were created inside.
        """

    @abstractmethod
    def execute(self, statement: str) -> int:
        """Run a statement without a result; returns how many rows it changed, 0 if the warehouse does not report it."""

    @abstractmethod
    def execute_if_free(self, statement: str) -> None:
        """Run a statement outside a transaction; does nothing if another session holds what it needs."""

    @abstractmethod
    def detached_results(
        self, queries: Sequence[str], *, batch_size: int
    ) -> AbstractContextManager[Sequence[Iterator[Columns]]]:
        """Stream the results of queries, one after the other, without keeping other processes from the warehouse.

        Memory is bounded by the batch. Inside, this connection runs nothing else.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Cancel the query that runs, which then fails; another thread may call it, at any time."""

    def rest(self) -> None:  # noqa: B027 - most warehouses are open to all
        """Let other processes have the warehouse until the next query; no-op where a connection keeps nobody out."""

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
    """Read the fields of a target that a warehouse uses; dbt's other fields are ignored.

    Raises:
        ProfileError: A field is missing or of the wrong type; the message never quotes its value.
    """
    try:
        return msgspec.convert(dict(target.settings), type=kind, strict=False)
    except msgspec.ValidationError as wrong:
        raise ProfileError(f"profile {target.profile}, target {target.name}: {wrong}") from wrong
