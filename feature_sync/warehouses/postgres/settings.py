"""The fields of dbt-postgres's profile: how to reach the server, and the settings of the session."""

from __future__ import annotations

from typing import Any

import msgspec
from psycopg.sql import SQL, Composed

from feature_sync.warehouses.base import TargetSettings

SECONDS_TO_CONNECT = 10
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
"""Settings that a role or a database may change, and on which our SQL or the texts of values depend."""
_SECONDS_TO_IDLE = 60
"""After this, a push that was suspended in a transaction loses its session, and with it all locks."""


class PostgresSettings(TargetSettings):
    """The fields of dbt-postgres's profile; `pass` and `database` are dbt's aliases of `password` and `dbname`."""

    host: str
    user: str
    port: int = 5432
    password: str | None = None
    pass_: str | None = msgspec.field(default=None, name="pass")
    dbname: str | None = None
    database: str | None = None
    connect_timeout: int = SECONDS_TO_CONNECT
    role: str | None = None
    search_path: str | None = None
    keepalives_idle: int = 0
    sslmode: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    sslrootcert: str | None = None

    def connection(self) -> dict[str, Any]:
        """Return the arguments of libpq.

        `options` is not among them, since PgBouncer refuses it: `session` sets the session up instead.
        """
        same = ("host", "user", "port", "connect_timeout", "sslmode", "sslcert", "sslkey", "sslrootcert")
        arguments = {name: getattr(self, name) for name in same}
        arguments |= {"password": self.password or self.pass_, "dbname": self.dbname or self.database}
        arguments |= {"keepalives_idle": self.keepalives_idle or None, "application_name": "feature-sync"}
        return {name: value for name, value in arguments.items() if value is not None}

    def session(self, *, writable: bool) -> Composed:
        """Return the statement that sets the session up, in one round trip.

        The planner underestimates the newest rows of a push, and would choose JIT compilation that takes longer than it
        saves. If the process is suspended in a transaction, the server ends the session, which would block others.
        """
        settings = dict(_PINNED)
        if writable:
            settings |= {"jit": "off"}
            settings["idle_in_transaction_session_timeout"] = f"{_SECONDS_TO_IDLE}s"
        if self.search_path:
            settings["search_path"] = self.search_path
        calls = [SQL("set_config({}, {}, false)").format(name, value) for name, value in settings.items()]
        return SQL("select {}").format(SQL(", ").join(calls))
