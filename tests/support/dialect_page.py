"""The table of docs/dialects.md, made of what the tests run: `python -m tests.support.dialect_page` rewrites it."""

from __future__ import annotations

import re
from pathlib import Path

from feature_sync.sql.dialects import DIALECTS
from tests.support.printed import OnClickHouse, OnRedshift, OnSail, OnSnowflake, OnSpark

PAGE = Path(__file__).parents[2] / "docs" / "dialects.md"
_TABLE = re.compile(r"(?<=<!-- begin -->\n).*(?=<!-- end -->)", re.DOTALL)
_SPARK = (
    f"[Sail](https://lakesail.com) {OnSail.told_version}, which runs Spark's SQL without Java, and Apache Spark itself "
    f"{OnSpark.told_version} (`make proof`)"
)
_RUN_BY = {
    "duckdb": ("DuckDB itself", "nothing"),
    "postgres": ("PostgreSQL itself", "nothing"),
    "bigquery": ("Google's own analyzer and reference engine, and an emulator", "not run on BigQuery: its speed"),
    "clickhouse": (f"ClickHouse itself, {OnClickHouse.told_version}, as the library `chdb`", "a server, a cluster"),
    "spark": (_SPARK, "a cluster"),
    "databricks": (f"as Spark's: {_SPARK}", "Databricks itself: `sql` says so"),
    "snowflake": (
        f"the emulator `fakesnow` {OnSnowflake.told_version}, which rewrites it for DuckDB",
        "Snowflake itself: names and shapes are proven, not what its functions mean there; `sql` says so",
    ),
    "redshift": (
        f"PostgreSQL {OnRedshift.told_version}, with `JSON_SERIALIZE` and `VARCHAR(MAX)` replaced",
        "Redshift itself: `sql` warns",
    ),
    "trino": ("no engine: printed and parsed back", "everything: `sql` warns"),
}


def dialects() -> set[str]:
    return set(_RUN_BY)


def written() -> str:
    """The page as it should be."""
    rows = [f"| {name} | {by} | {lacking} |" for name in DIALECTS for by, lacking in [_RUN_BY[name]]]
    table = "\n".join(["| dialect | run by | not proven |", "| --- | --- | --- |", *rows, ""])
    return _TABLE.sub(lambda _: table, PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(written())
