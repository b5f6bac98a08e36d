"""Feast's side, run by Feast's own Python: `python -m bench.feast_peer TASK`, by `run_alone`."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas
import pyarrow.parquet
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.data_source import DataSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Float64, Int64, String, UnixTimestamp
from feast.value_type import ValueType

from bench.timing import Run, given_task, measured, report

_ROWS_PER_BATCH = 10_000
_TYPES = {"double precision": Float64, "bigint": Int64, "text": String, "timestamp": UnixTimestamp}


def answer(task: dict[str, Any]) -> Run:
    """Define the views, answer the spine, and keep the answer for comparison.

    A tuned task asks for an Arrow table, where the documentation's quickstart asks for a pandas frame; on PostgreSQL it
    leaves the spine where it is, as SQL within the query, where the quickstart uploads a frame.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = RepoConfig(
            project="bench",
            provider="local",
            registry=str(Path(folder, "registry.db")),
            offline_store=task["offline_store"],
            online_store={"type": "sqlite", "path": str(Path(folder, "online.db"))},
            entity_key_serialization_version=3,
        )
        store = FeatureStore(config=config)
        entity = Entity(name="thing", join_keys=["entity_id"], value_type=ValueType.INT64)
        views = [_view(number, entity, task) for number in range(task["views"])]
        store.apply([entity, *views])
        spine = task["spine_query"] or pandas.read_parquet(task["spine"])
        features = [f"{view.name}:{field.name}" for view in views for field in view.features]

        def ask() -> Any:
            asked = store.get_historical_features(entity_df=spine, features=features)
            return asked.to_arrow() if task["is_tuned"] else asked.to_df()

        result, run = measured(ask)
    table = result if task["is_tuned"] else pyarrow.Table.from_pandas(result)
    pyarrow.parquet.write_table(table, task["output"])
    return run


def materialize(task: dict[str, Any]) -> Run:
    """Fill Redis with all entities, then read some back and keep them for comparison.

    A tuned task writes in batches, and does not ask for each entity whether Redis holds something newer.
    """
    tuned = task["is_tuned"]
    with tempfile.TemporaryDirectory() as folder:
        config = RepoConfig(
            project="bench",
            provider="local",
            registry=str(Path(folder, "registry.db")),
            offline_store=task["offline_store"],
            online_store={
                "type": "redis",
                "connection_string": task["redis"],
                **({"skip_dedup": True} if tuned else {}),
            },
            entity_key_serialization_version=3,
            materialization={"online_write_batch_size": _ROWS_PER_BATCH} if tuned else {},
        )
        store = FeatureStore(config=config)
        entity = Entity(name="thing", join_keys=["entity_id"], value_type=ValueType.INT64)
        view = FeatureView(
            name="entities",
            entities=[entity],
            ttl=timedelta(days=task["ttl_days"]),
            schema=[Field(name=name, dtype=_TYPES[kind]) for name, kind in task["features"].items()],
            source=_source("entities", task["files"]),
        )
        store.apply([entity, view])
        _, run = measured(lambda: store.materialize(datetime(2023, 12, 31, tzinfo=UTC), datetime.now(UTC)))
        rows = [{"entity_id": each} for each in task["asked"]]
        found = store.get_online_features([f"entities:{name}" for name in task["features"]], rows).to_arrow()
    pyarrow.parquet.write_table(found, task["output"])
    return run


def _view(number: int, entity: Entity, task: dict[str, Any]) -> FeatureView:
    return FeatureView(
        name=f"view_{number}",
        entities=[entity],
        ttl=timedelta(days=task["ttl_days"]),
        schema=[Field(name=f"amount_{number}", dtype=Float64), Field(name=f"count_{number}", dtype=Int64)],
        source=_source(f"view_{number}", task["files"]),
    )


def _source(name: str, files: str | None) -> DataSource:
    if files is None:
        return PostgreSQLSource(name=name, table=name, timestamp_field="happened_at")
    return FileSource(path=str(Path(files, f"{name}.parquet")), timestamp_field="happened_at")


if __name__ == "__main__":
    given = given_task()
    report({"answer": answer, "materialize": materialize}[given["job"]](given))
