"""Feast's side of serving, run by Feast's own Python: it fills Redis, and then answers what it is told to.

It leaves a repository in the folder of its task, from which Feast's feature server starts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float64, Int64
from feast.value_type import ValueType

from bench.serving.clock import repeated
from bench.serving.names import KEY, SERVICES, VIEWS, features_of
from bench.timing import given_task

_TYPES = {"int64": Int64, "float64": Float64}
_REPOSITORY = """project: bench
provider: local
registry: registry.db
online_store:
  type: redis
  connection_string: {redis}
entity_key_serialization_version: 3
"""


def fill(task: dict[str, Any]) -> FeatureStore:
    """Define the same views and services, and write the same rows, which stand in Parquet files."""
    folder = Path(task["folder"])
    folder.joinpath("feature_store.yaml").write_text(_REPOSITORY.format(redis=task["redis"]), encoding="utf-8")
    store = FeatureStore(repo_path=str(folder))
    entity = Entity(name="thing", join_keys=[KEY], value_type=ValueType.INT64)
    views = {name: _view(name, entity, folder) for name in VIEWS}
    services = [FeatureService(name=name, features=[views[each] for each in some]) for name, some in SERVICES.items()]
    store.apply([entity, *views.values(), *services])
    for name in views:
        store.write_to_online_store(name, pandas.read_parquet(folder / f"{name}.parquet"))
    return store


def _view(name: str, entity: Entity, folder: Path) -> FeatureView:
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=timedelta(days=3_650),
        schema=[Field(name=each, dtype=_TYPES[kind]) for each, kind in features_of(name).items()],
        source=FileSource(path=str(folder / f"{name}.parquet"), timestamp_field="event_timestamp"),
    )


def asker(store: FeatureStore, service: str, count: int, *, is_tuned: bool) -> Callable[[], dict[str, list[Any]]]:
    """Ask for the first entities; tuned by a list of features, for which Feast reads less of its registry."""
    listed = [f"{view}:{name}" for view in SERVICES[service] for name in features_of(view)]
    features = listed if is_tuned else store.get_feature_service(service)
    rows = [{KEY: thing} for thing in range(count)]
    return lambda: store.get_online_features(features, rows).to_dict()


def main(task: dict[str, Any]) -> None:
    """Fill Redis, and then answer: `times` 0 asks for the answer, else for the seconds of so many."""
    store = fill(task)
    _say("ready")
    for line in sys.stdin:
        told = json.loads(line)
        ask = asker(store, told["service"], told["count"], is_tuned=told["is_tuned"])
        _say(repeated(ask)(told["times"]) if told["times"] else ask())


def _say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(given_task())
