"""The SQL of each warehouse: one file each, and one line in this table."""

from __future__ import annotations

from feature_sync.errors import RequestError, did_you_mean
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.dialects.bigquery import BigQuery
from feature_sync.sql.dialects.clickhouse import ClickHouse
from feature_sync.sql.dialects.duckdb import DuckDB
from feature_sync.sql.dialects.postgres import Postgres, Redshift
from feature_sync.sql.dialects.snowflake import Snowflake
from feature_sync.sql.dialects.spark import Databricks, Spark
from feature_sync.sql.dialects.trino import Trino

DIALECTS: dict[str, Dialect] = {
    each.name: each()
    for each in (DuckDB, Postgres, BigQuery, Snowflake, Redshift, Spark, Databricks, Trino, ClickHouse)
}


def dialect_named(name: str) -> Dialect:
    """Return the dialect of a dbt adapter, by the adapter's name.

    Raises:
        RequestError: No dialect has that name.
    """
    if name not in DIALECTS:
        raise RequestError(f"no dialect is called {name!r}{did_you_mean(name, DIALECTS)}")
    return DIALECTS[name]
