"""PostgreSQL through psycopg 3: results stream in the binary protocol, in chunks that the server sends ahead."""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, cast
from uuid import UUID

import msgspec
import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Composed, Identifier
from psycopg.types.json import set_json_loads

from feature_sync.definitions import Target
from feature_sync.errors import RequestError, UnfitValue, WarehouseConflict, WarehouseError
from feature_sync.warehouses.base import Columns, TargetSettings, Warehouse, never, read_settings
from feature_sync.warehouses.postgres_rights import missing_grants
from feature_sync.warehouses.postgres_snapshots import Locked, Snapshots, locking
from feature_sync.warehouses.postgres_values import arrow_array, load_times_as_numbers

if TYPE_CHECKING:
    import pyarrow

_SECONDS_TO_CONNECT = 10
_ROWS_PER_CHUNK = 512
_PINNED = {
    "array_nulls": "on",
    "bytea_output": "hex",
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "default_transaction_deferrable": "off",
    "extra_float_digits": "1",
    "gin_fuzzy_search_limit": "0",
    "IntervalStyle": "postgres",
    "standard_conforming_strings": "on",
    "TimeZone": "UTC",
    "timezone_abbreviations": "Default",
    "transform_null_equals": "off",
}
"""What a role or a database may set otherwise, and our SQL or the texts of values depend on."""
_MORE_MEMORY_TO_SORT = SQL(
    "select set_config('work_mem', '64MB', false) "
    "where pg_size_bytes(current_setting('work_mem')) < pg_size_bytes('64MB')"
)
_CONFLICTS = (
    psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateSchema, psycopg.errors.DuplicateTable,
)  # fmt: skip
_GRANTS = (
    ("temporary tables", "TEMPORARY on"), ("for schema", "USAGE on"), ("for database", "CREATE on"),
    ("for table", "SELECT on"), ("for view", "SELECT on"), ("for materialized view", "SELECT on"),
)  # fmt: skip
_MILLISECONDS_TO_LOCK = 500
_SECONDS_TO_IDLE = 60
"""A pusher that is suspended in a transaction loses its session then, and with it all locks."""
_DECIMAL128_DIGITS = 38
_BYTES_OF_NAME = 63
_COLUMN_TYPES = {
    "bool": "boolean", "int8": "smallint", "int16": "smallint", "int32": "integer", "int64": "bigint",
    "uint8": "smallint", "uint16": "integer", "uint32": "bigint", "uint64": "numeric(20, 0)", "float": "real",
    "double": "double precision", "string": "text", "date32[day]": "date", "time64[us]": "time",
}  # fmt: skip


class PostgresSettings(TargetSettings):
    """The fields of dbt-postgres's profile; `pass` and `database` are dbt's own second names."""

    host: str
    user: str
    port: int = 5432
    password: str | None = None
    pass_: str | None = msgspec.field(default=None, name="pass")
    dbname: str | None = None
    database: str | None = None
    connect_timeout: int = _SECONDS_TO_CONNECT
    role: str | None = None
    search_path: str | None = None
    keepalives_idle: int = 0
    sslmode: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    sslrootcert: str | None = None

    def connection(self) -> dict[str, Any]:
        """The arguments of libpq.

        None are `options`, which PgBouncer refuses: see `session`.
        """
        same = ("host", "user", "port", "connect_timeout", "sslmode", "sslcert", "sslkey", "sslrootcert")
        arguments = {name: getattr(self, name) for name in same}
        arguments |= {"password": self.password or self.pass_, "dbname": self.dbname or self.database}
        arguments |= {"keepalives_idle": self.keepalives_idle or None, "application_name": "feature-sync"}
        return {name: value for name, value in arguments.items() if value is not None}

    def session(self, *, writable: bool) -> Composed:
        """The statement that sets the session up, in one round trip.

        A push compares a view with as many rows as it has: the planner takes the newest rows for a few, and would
        hash them; and it would spend longer on compiling than that saves. Should its process be suspended in a
        transaction, the server ends it, so that it stands in nobody's way.
        """
        settings = dict(_PINNED)
        if writable:
            settings |= {"enable_hashjoin": "off", "jit": "off"}
            settings["idle_in_transaction_session_timeout"] = f"{_SECONDS_TO_IDLE}s"
        if self.search_path:
            settings["search_path"] = self.search_path
        calls = [SQL("set_config({}, {}, false)").format(name, value) for name, value in settings.items()]
        return SQL("select {}").format(SQL(", ").join(calls))


class _Connection(psycopg.Connection[Any]):
    """Closes itself where a signal came between the sending of a command and its answer: nothing else can be sent."""

    @contextmanager
    def transaction(self, *arguments: Any, **options: Any) -> Iterator[psycopg.Transaction]:
        """Begin and commit; whatever goes wrong rolls back."""
        with super().transaction(*arguments, **options) as begun:
            try:
                yield begun
            except BaseException:
                if self.info.transaction_status == TransactionStatus.ACTIVE:
                    with suppress(psycopg.Error):  # the server may be gone
                        self.cancel_safe(timeout=_SECONDS_TO_CONNECT)
                    self.close()
                raise


class PostgresWarehouse(Warehouse):
    """A connection to PostgreSQL."""

    dialect = "postgres"

    def __init__(self, connection: psycopg.Connection[Any], place: str, snapshots: Snapshots) -> None:
        self._connection = connection
        self._snapshots = snapshots
        self._place = place
        self._cursors = itertools.count()

    @classmethod
    def connect(
        cls, target: Target, *, writable: bool = False, wait: bool = False, stopped: Callable[[], bool] = never
    ) -> Self:
        """Connect with dbt's own fields.

        Raises:
            ProfileError: A field is missing or wrong.
            WarehouseError: The server cannot be reached or refuses the user.
        """
        settings = read_settings(target, PostgresSettings)
        try:
            connection = _Connection.connect(**settings.connection(), autocommit=True)
            if settings.role:
                connection.execute(SQL("set role {}").format(Identifier(settings.role)))
            connection.execute(settings.session(writable=writable))
            if writable:
                connection.execute(_MORE_MEMORY_TO_SORT)
            connection.autocommit = False
            connection.read_only = not writable
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            snapshots = Snapshots(
                connection, translating=_translating, patience=math.inf if wait else None, stopped=stopped
            )
        except psycopg.Error as refused:
            raise WarehouseError(f"PostgreSQL at {settings.host}:{settings.port}: {_one_line(refused)}") from refused
        connection.adapters.register_loader("uuid", _UuidAsText)
        set_json_loads(lambda text: text.decode() if isinstance(text, bytes) else text, connection)
        return cls(connection, f"postgres {settings.host}:{settings.port}/{connection.info.dbname}", snapshots)

    @property
    def place(self) -> str:
        """Host, port and database."""
        return self._place

    def check_rights(self, relations: Sequence[str], *, writes_to: str | None = None) -> None:
        """Ask for each right, in one transaction."""
        with _translating(), self._connection.transaction():
            grants = missing_grants(self._connection, relations, writes_to)
        if grants:
            raise WarehouseError(f"PostgreSQL: rights are missing; have their owner run: {'; '.join(grants)}")

    def has_schema(self, schema: str) -> bool:
        """Look it up in the catalog."""
        query = "select 1 from pg_catalog.pg_namespace where nspname = %s"
        with _translating(), self._connection.transaction():
            return self._connection.execute(query, [schema]).fetchone() is not None

    def tables(self, schema: str) -> set[str]:
        """Look them up in the catalog: also those that this user may not read, which must not seem to be missing."""
        query = (
            "select relname from pg_catalog.pg_class where relkind in ('r', 'p', 'v', 'm', 'f') "
            "and relnamespace = (select oid from pg_catalog.pg_namespace where nspname = %s)"
        )
        with _translating(), self._connection.transaction():
            return {name for (name,) in self._connection.execute(query, [schema]).fetchall()}

    def describe(self, query: str) -> Mapping[str, str]:
        """Ask for the query's columns, without running it whole."""
        described = self._snapshots.run(lambda: self._described(query))
        named = self._type_names({column.type_code for column in described if column.type_display.isdigit()})
        return {column.name: named.get(column.type_code, column.type_display) for column in described}

    def _type_names(self, unknown: set[int]) -> Mapping[int, str]:
        """Ask for the names of types that the driver knows by number alone: enums, composites and extensions'."""
        query = "select oid::bigint, format_type(oid, null) from pg_type where oid = any(%s)"
        if not unknown:
            return {}
        with _translating(), self._connection.transaction():
            return dict(self._connection.execute(query, [list(unknown)]).fetchall())

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Run the query in a transaction of its own, unless there is one."""

        def fetched() -> list[tuple[Any, ...]]:
            with _translating(), self._connection.transaction():
                return self._connection.execute(query.encode(), binary=True).fetchall()

        return self._snapshots.run(fetched)

    def columns(self, query: str, *, batch_size: int) -> Generator[Columns]:
        """Stream the rows, and turn every batch."""
        with self._snapshots.of([_planning(query)]), closing(self._batches(query, batch_size)) as batches:
            for rows in batches:
                yield list(zip(*rows, strict=True))

    @contextmanager
    def arrow(self, query: str, *, batch_size: int) -> Iterator[pyarrow.RecordBatchReader]:
        """Build record batches, with the types that the server reports."""
        import pyarrow

        with self._snapshots.of([_planning(query)]):
            schema = pyarrow.schema([(column.name, _arrow_type(column)) for column in self._described(query)])

            def batches() -> Generator[pyarrow.RecordBatch]:
                with _translating():
                    for rows in self._batches(query, batch_size, times_as_numbers=True):
                        columns = zip(schema.names, zip(*rows, strict=True), schema.types, strict=True)
                        arrays = [arrow_array(*column) for column in columns]
                        rows.clear()  # many times as large as their batch
                        yield pyarrow.RecordBatch.from_arrays(arrays, schema=schema)

            with closing(batches()) as rows:
                yield pyarrow.RecordBatchReader.from_batches(schema, rows)

    def keep(self, name: str, query: str) -> str:
        """Create a temporary table, and let the planner know what is in it."""

        def kept() -> None:
            self._execute(SQL("create temp table {} as {}").format(Identifier(name), SQL(query)))
            self._execute(SQL("analyze {}").format(Identifier(name)))

        with self._writing_temporarily():
            self._snapshots.run(kept)
        return Identifier(name).as_string()

    def load(self, name: str, rows: pyarrow.RecordBatchReader, types: Mapping[str, str]) -> str:
        """Copy batch after batch in as CSV, which Arrow writes much faster than Python writes rows."""
        import pyarrow.csv

        for column in rows.schema.names:
            if not 0 < len(column.encode()) <= _BYTES_OF_NAME:
                raise RequestError(
                    f"the spine's column {column!r}: PostgreSQL takes names of 1 to {_BYTES_OF_NAME} bytes"
                )
        declared = {field.name: types.get(field.name) or _column_type(field) for field in rows.schema}
        columns = [SQL("{} {}").format(Identifier(column), SQL(kind)) for column, kind in declared.items()]
        options = pyarrow.csv.WriteOptions(include_header=False)
        into = SQL("copy {} from stdin (format csv)").format(Identifier(name))
        with self._writing_temporarily(), self._snapshots.of():
            self._execute(SQL("create temp table {} ({})").format(Identifier(name), SQL(", ").join(columns)))
            for batch in rows:
                text = io.BytesIO()
                pyarrow.csv.write_csv(batch, text, options)
                with _translating(), self._connection.cursor() as cursor, cursor.copy(into) as copy:
                    copy.write(text.getbuffer())
            self._execute(SQL("analyze {}").format(Identifier(name)))
        return Identifier(name).as_string()

    def snapshot(self, reads: Sequence[str] = ()) -> AbstractContextManager[None]:
        """Read in one transaction."""
        return self.transaction(reads)

    def transaction(self, reads: Sequence[str] = ()) -> AbstractContextManager[None]:
        """Work in one transaction, which sees what was committed before it began."""
        return self._snapshots.of([locking(relation) for relation in reads])

    def execute(self, statement: str) -> int:
        """Run a statement."""
        with _translating():
            return max(self._connection.execute(statement.encode(), binary=True).rowcount, 0)

    def execute_if_free(self, statement: str) -> None:
        """Wait for a lock for a moment only: who holds it may be suspended."""
        with suppress(WarehouseConflict), self.transaction():
            self.execute(f"set local lock_timeout = {_MILLISECONDS_TO_LOCK}")
            self.execute(statement)

    @contextmanager
    def detached_results(self, queries: Sequence[str], *, batch_size: int) -> Iterator[Sequence[Iterator[Columns]]]:
        """Stream from the server, which others can use at any time."""
        with ExitStack() as streams:
            yield [streams.enter_context(closing(self.columns(each, batch_size=batch_size))) for each in queries]

    def cancel(self) -> None:
        """Ask the server to end the query."""
        with suppress(psycopg.Error):  # it may be closed by now
            self._connection.cancel_safe(timeout=_SECONDS_TO_CONNECT)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def _writing_temporarily(self) -> Iterator[None]:
        """Lift the connection's own ban on writing for a transaction; creating a temporary table counts as writing."""
        self._connection.read_only = False
        try:
            yield
        finally:
            self._connection.read_only = True

    def _execute(self, statement: Composed) -> None:
        """Run one statement: in the binary protocol a text that holds several is refused."""
        with _translating():
            self._connection.execute(statement, binary=True)

    def _described(self, query: str) -> Sequence[psycopg.Column]:
        """Let the server plan the query behind a cursor from which nothing is fetched."""
        cursor: psycopg.ServerCursor[Any]
        with _translating(), self._connection.transaction():
            cursor = psycopg.ServerCursor(self._connection, f"feature_sync_{next(self._cursors)}")
            with cursor:
                cursor.execute(query, binary=True)
                return cursor.description or []

    def _batches(self, query: str, size: int, *, times_as_numbers: bool = False) -> Generator[list[tuple[Any, ...]]]:
        """Stream the rows of a query, which the server sends ahead; a cursor's it sends only when it is asked for them.

        It may also work in parallel, which for a cursor it never does.
        """
        chunk = _ROWS_PER_CHUNK if psycopg.capabilities.has_stream_chunked() else 1
        with _translating(), self._connection.cursor() as cursor:
            if times_as_numbers:
                load_times_as_numbers(cursor)
            stream = cast("Generator[tuple[Any, ...]]", cursor.stream(query, binary=True, size=chunk))
            with closing(stream) as rows:
                while batch := list(itertools.islice(rows, size)):
                    yield batch
                    del batch


class _UuidAsText(Loader):
    """Loads a uuid as the text that Arrow holds."""

    format = psycopg.pq.Format.BINARY

    def load(self, data: Buffer) -> str:
        return str(UUID(bytes=bytes(data)))


def _column_type(field: pyarrow.Field) -> str:
    """Map a column of rows that come from outside.

    Raises:
        RequestError: PostgreSQL has no such type, or its text would not come back as the same value.
    """
    import pyarrow

    kind = field.type
    if pyarrow.types.is_decimal(kind):
        return f"numeric({kind.precision}, {kind.scale})"
    if pyarrow.types.is_timestamp(kind):
        return "timestamp with time zone" if kind.tz else "timestamp"
    if str(kind) not in _COLUMN_TYPES:
        raise RequestError(
            f"the spine's column {field.name!r} is {kind}, which cannot be sent to PostgreSQL; leave it out"
        )
    return _COLUMN_TYPES[str(kind)]


def _arrow_type(column: psycopg.Column) -> pyarrow.DataType:
    """Map a column of a result; numeric without a precision takes the widest that Arrow has."""
    import pyarrow

    simple = {
        "bool": pyarrow.bool_(), "int2": pyarrow.int16(), "int4": pyarrow.int32(), "int8": pyarrow.int64(),
        "float4": pyarrow.float32(), "float8": pyarrow.float64(), "bytea": pyarrow.binary(), "date": pyarrow.date32(),
        "timestamp": pyarrow.timestamp("us"), "timestamptz": pyarrow.timestamp("us", tz="UTC"),
        "interval": pyarrow.duration("us"), "time": pyarrow.time64("us"),
    }  # fmt: skip
    name = re.sub(r"\(.*?\)", "", column.type_display)
    element = name.removesuffix("[]")
    if element == "numeric":
        precision, scale = column.precision, column.scale
        if precision is None or scale is None:
            precision, scale = 76, 38
        precision, scale = max(precision - min(scale, 0), scale), max(scale, 0)  # PostgreSQL also has (3, 5), (5, -2)
        kind = (
            pyarrow.decimal128(precision, scale)
            if precision <= _DECIMAL128_DIGITS
            else pyarrow.decimal256(precision, scale)
        )
    else:
        kind = simple.get(element, pyarrow.string())
    return pyarrow.list_(kind) if name.endswith("[]") else kind


def _planning(query: str) -> Composed:
    """Let the server plan a query, which locks what it reads, and run nothing."""
    return SQL("explain {}").format(SQL(cast("Any", query)))


@contextmanager
def _translating() -> Iterator[None]:
    import pyarrow

    try:
        yield
    except psycopg.errors.UndefinedTable as missing:
        raise WarehouseError(f"PostgreSQL: {_one_line(missing)}; run dbt build") from missing
    except psycopg.errors.InsufficientPrivilege as forbidden:
        raise WarehouseError(f"PostgreSQL: {_one_line(forbidden)}{_grant(forbidden)}") from forbidden
    except psycopg.errors.LockNotAvailable as locked:
        raise Locked(f"PostgreSQL: {_one_line(locked)}") from locked
    except _CONFLICTS as conflict:
        raise WarehouseConflict(f"PostgreSQL: {_one_line(conflict)}") from conflict
    except psycopg.Error as refused:
        text = _one_line(refused)
        raise UnfitValue.read(text) or WarehouseError(f"PostgreSQL: {text}") from refused
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as unfit:
        raise WarehouseError(f"a value does not fit its column: {unfit}; cast the column in the model") from unfit


def _grant(forbidden: psycopg.Error) -> str:
    """Say what to grant to this role."""
    said = _one_line(forbidden)
    found = next((found for words, found in _GRANTS if words in said), None)
    return f"; grant this role {found} that" if found else ""


def _one_line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error)
    return " ".join(text.split())
