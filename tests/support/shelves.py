"""The stock project's one view, with any rows: its table is rewritten by plain SQL, no dbt run is needed."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import duckdb
import psycopg

from feature_sync import FeatureStore

COLUMNS = ("shop", "item", "counted_at", "amount", "pieces", "label")


def rewrite(store: FeatureStore, rows: list[tuple]) -> None:
    """Let the table behind `shelves` hold these rows."""
    run(store, "delete from {schema}.counts")
    if rows:
        run(store, "insert into {schema}.counts values ({marks})", rows)


def fill(store: FeatureStore, rows: int) -> None:
    """Let it hold many rows, all of noon."""
    rewrite(store, [])
    values = "'shop', i, timestamp '2024-01-01 12:00:00', 0.5, i, 'some text'"
    run(store, f"insert into {{schema}}.counts select {values} from generate_series(1, {rows}) as g(i)")


def run(store: FeatureStore, statement: str, rows: list[tuple] | None = None) -> None:
    """Run a statement, for each of some rows if there are any."""
    with connected(store) as (cursor, names):
        text = statement.format(**names)
        cursor.executemany(text, rows) if rows else cursor.execute(text)


def fetch(store: FeatureStore, query: str) -> list[tuple]:
    with connected(store) as (cursor, names):
        cursor.execute(query.format(**names))
        return cursor.fetchall()


@contextmanager
def connected(store: FeatureStore):
    """A cursor of our own, and what differs in the words of the warehouse."""
    settings = store.target.settings
    if store.target.adapter == "duckdb":
        with duckdb.connect(str(Path(store.target.project_dir, settings["path"]))) as connection:
            yield connection, {"schema": "main", "marks": ", ".join("?" * len(COLUMNS))}
        return
    login = {name: settings[name] for name in ("host", "port", "user", "password", "dbname")}
    with psycopg.connect(**login) as connection, connection.cursor() as cursor:
        yield cursor, {"schema": "stock", "marks": ", ".join(["%s"] * len(COLUMNS))}
