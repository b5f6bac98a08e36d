"""Lands messages in PostgreSQL: rows and ranges in one transaction, so that neither is seen without the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Self

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from feature_sync.definitions import Target
from feature_sync.errors import RequestError, WarehouseConflict, WarehouseError
from feature_sync.warehouses.base import read_settings
from feature_sync.warehouses.landing import LandedRow, LandingTable, LandingWriter, OffsetRange, chained
from feature_sync.warehouses.postgres.errors import one_line, translating
from feature_sync.warehouses.postgres.session import Session
from feature_sync.warehouses.postgres.settings import PostgresSettings
from feature_sync.warehouses.postgres.tls import why_refused

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = SQL("topic_partition, topic_offset, message_timestamp, message_key, message_value, key_bytes, value_bytes")
_CREATE = SQL(
    "create table if not exists {table} (topic text not null, topic_partition bigint not null, "
    "topic_offset bigint not null, message_timestamp timestamptz, message_key text, message_value text, "
    "key_bytes bytea, value_bytes bytea, landed_at timestamptz not null default now(), "
    "primary key (topic, topic_partition, topic_offset))"
)
_CREATE_RANGES = SQL(
    "create table if not exists {ranges} (topic text not null, topic_partition bigint not null, "
    "first_offset bigint not null, next_offset bigint not null, primary key (topic, topic_partition, first_offset))"
)
_STAGE = SQL(
    "create temp table if not exists feature_sync_landing (topic_partition bigint, topic_offset bigint, "
    "message_timestamp timestamptz, message_key text, message_value text, key_bytes bytea, value_bytes bytea) "
    "on commit delete rows"
)
_COPY = SQL("copy feature_sync_landing ({columns}) from stdin").format(columns=_COLUMNS)
_LAND = SQL(
    "insert into {table} (topic, {columns}) select {topic}, {columns} from feature_sync_landing "
    "order by topic_partition, topic_offset on conflict do nothing"
)
_EXTEND = SQL(
    "update {ranges} set next_offset = greatest(next_offset, %(next)s) where topic = %(topic)s "
    "and topic_partition = %(partition)s and first_offset <= %(first)s and next_offset >= %(first)s"
)
_BEGIN = SQL(
    "insert into {ranges} (topic, topic_partition, first_offset, next_offset) "
    "values (%(topic)s, %(partition)s, %(first)s, %(next)s) on conflict (topic, topic_partition, first_offset) "
    "do update set next_offset = greatest({ranges}.next_offset, excluded.next_offset)"
)
_ENDS = SQL("select topic_partition, first_offset, next_offset from {ranges} where topic = %(topic)s")
_CHECKS = (
    SQL("select topic, {columns} from {table} where false"),
    SQL("select topic, topic_partition, first_offset, next_offset from {ranges} where false"),
)


class PostgresLanding(LandingWriter):
    """A connection of its own. Messages that are there already, from before or another writer, stay as they are."""

    seconds_between = 1.0

    def __init__(self, session: Session, table: LandingTable, topic: str) -> None:
        self._session = session
        self._topic = topic
        self._tables = {
            "table": Identifier(table.schema, table.name), "ranges": Identifier(table.schema, table.ranges),
        }  # fmt: skip

    @classmethod
    def connect(cls, target: Target, table: LandingTable, topic: str) -> Self:
        """Connect with dbt's own fields, and see to it that the tables are there."""
        settings = read_settings(target, PostgresSettings)
        database = settings.dbname or settings.database
        if table.database not in (None, database):
            raise RequestError(f"{table} is not in the database of target {target.name}, {database}")
        try:
            session = Session.of(settings, writable=True)
        except psycopg.Error as refused:
            said = one_line(refused)
            cure = why_refused(said, settings)
            raise WarehouseError(f"PostgreSQL at {settings.host}:{settings.port}: {said}{cure}") from refused
        session.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # or rows of other writers would be conflicts
        landing = cls(session, table, topic)
        landing._create(table)
        landing._check(table)
        return landing

    def ends(self) -> Mapping[int, int]:
        """See `LandingWriter`."""
        with translating(), self._session.transaction():
            found = self._session.execute(self._of(_ENDS), {"topic": self._topic}).fetchall()
        return chained(OffsetRange(*row) for row in found)

    def write(self, rows: Sequence[LandedRow], ranges: Sequence[OffsetRange]) -> None:
        """See `LandingWriter`; both take effect together."""
        with translating(), self._session.transaction():
            self._session.execute(_STAGE)
            with self._session.cursor() as cursor, cursor.copy(_COPY) as copy:
                for row in rows:
                    copy.write_row(_stored(row))
            self._session.execute(self._of(_LAND))
            for each in sorted(ranges):  # in one order, so that two writers never wait for each other
                values = {"topic": self._topic, **each._asdict()}
                if not self._session.execute(self._of(_EXTEND), values).rowcount:
                    self._session.execute(self._of(_BEGIN), values)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _create(self, table: LandingTable) -> None:
        """Create what is missing; needs no right to create where all is there."""
        wanted = {table.name: _CREATE, table.ranges: _CREATE_RANGES}
        found = SQL(
            "select relname from pg_catalog.pg_class where relnamespace = "
            "(select oid from pg_catalog.pg_namespace where nspname = %s)"
        )
        try:
            with translating(), self._session.transaction():
                there = {name for (name,) in self._session.execute(found, [table.schema]).fetchall()}
                for name, statement in wanted.items():
                    if name not in there:
                        self._session.execute(self._of(statement))
        except WarehouseConflict:
            self._create(table)  # another writer has just created one, or is about to
        except WarehouseError as refused:
            self._session.close()
            raise WarehouseError(f"cannot land in {table} and {table.ranges}: {refused}") from refused

    def _check(self, table: LandingTable) -> None:
        """Raise if one of the tables is of another kind."""
        try:
            with translating(), self._session.transaction():
                for statement in _CHECKS:
                    self._session.execute(self._of(statement))
        except WarehouseError as unfit:
            self._session.close()
            raise WarehouseError(
                f"{table} is no table to land in: {unfit}; name one that does not exist yet"
            ) from unfit

    def _of(self, statement: SQL) -> Composed:
        return statement.format(**self._tables, columns=_COLUMNS, topic=psycopg.sql.Literal(self._topic))


def _stored(row: LandedRow) -> tuple[object, ...]:
    """Return the values of a row; a text of PostgreSQL holds no zero byte, so such a one is kept as bytes."""
    key, key_bytes = _storable(row.key, row.key_bytes)
    value, value_bytes = _storable(row.value, row.value_bytes)
    moment = None if row.timestamp is None else _EPOCH + timedelta(milliseconds=row.timestamp)
    return row.partition, row.offset, moment, key, value, key_bytes, value_bytes


def _storable(text: str | None, content: bytes | None) -> tuple[str | None, bytes | None]:
    return (None, text.encode()) if text is not None and "\0" in text else (text, content)
