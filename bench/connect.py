"""Sail, which speaks Spark Connect, with tables in Parquet files that DuckDB writes; Spark itself where it is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter

import duckdb

from bench.data import DUCKDB, Sizes
from bench.product import Question
from feature_sync.warehouses import open_warehouse
from feature_sync.warehouses.base import Warehouse
from tests.support.spark import SailServer, SparkServer

SERVERS = {"Sail": SailServer, "Spark": SparkServer}
_SKEWED = "case when i % 2 = 0 then 0 else {} end as entity_id"


class ConnectEngine:
    """A session, and the folder of its tables."""

    def __init__(self, warehouse: Warehouse, folder: Path) -> None:
        self._warehouse, self._folder = warehouse, folder

    def make(self, sizes: Sizes, *, is_skewed: bool = False) -> None:
        """Make spine and view; where they are skewed, one entity has half of the rows of both."""
        spine, view = DUCKDB.spine(sizes), DUCKDB.view(0, sizes)
        if is_skewed:
            for key in (f"(i * 31) % {sizes.entities}", f"i % {sizes.entities}"):
                spine, view = (each.replace(f"{key} as entity_id", _SKEWED.format(key)) for each in (spine, view))
        for name, query in (("spine", spine), ("view_0", view)):
            path = self._folder / f"{name}.parquet"
            moment = "asked_at" if name == "spine" else "happened_at"
            zoned = f"select * replace ({moment}::timestamptz as {moment}) from ({query})"
            with duckdb.connect() as connection:
                connection.execute("set timezone = 'UTC'")
                connection.execute(f"copy ({zoned}) to '{path}' (format parquet)")
            spark = self._warehouse._session.spark  # noqa: SLF001 - a user's tables are in a catalog
            spark.sql(f"create or replace temporary view {name} as select * from parquet.`{path}`")

    def seconds(self) -> float:
        """Time a training set, of which only sums leave the server."""
        query = Question(adapter="spark", views=1, is_ordered=False).sql()
        started = perf_counter()
        ((rows, _, _),) = self._warehouse.fetch(f"select count(*), sum(amount_0), sum(count_0) from ({query})")
        if not rows:
            raise RuntimeError("the training set is empty")
        return perf_counter() - started


@contextmanager
def connect_engine(name: str, folder: Path) -> Iterator[ConnectEngine]:
    """Start a server and lend a session of it."""
    with SERVERS[name]() as server, closing(open_warehouse(server.target())) as warehouse:
        yield ConnectEngine(warehouse, folder)
