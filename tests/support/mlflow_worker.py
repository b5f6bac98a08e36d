"""Training sets and models in MLflow by `feature_sync.integrations.mlflow`, in `.venv-models`.

Run in the folder of the example, which has been pushed: `python -m tests.support.mlflow_worker CHECK`.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import mlflow
import mlflow.lightgbm
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.xgboost
import msgspec
import numpy
import pandas
import polars
import pyarrow
import redis
from mlflow.models.utils import _enforce_schema

from feature_sync import DriftWarning, FeatureClient
from feature_sync.integrations.lightgbm import dataset
from feature_sync.integrations.mlflow import load_model, log_model, log_training_set, score_batch
from feature_sync.integrations.mlflow_schemas import signature_of
from feature_sync.integrations.xgboost import quantile_dmatrix
from feature_sync.service_schema import SchemaFeature, ServiceSchema
from feature_sync.service_schema.pin import pin_of
from feature_sync.serving.frames import frame_of
from feature_sync.value_types import parse
from tests.support.integration_worker import Example, gradient_boosted, refused
from tests.support.model_worker import CLOCK, KEYS, PREFIX, SERVICE, UNKNOWN

TRACKING = "sqlite:///mlflow.db"


def log_models(example: Example, *flavors: Any) -> dict[str, str]:
    """Train and log a model of each library; returns their addresses."""
    import xgboost

    table = example.table
    chosen, uris = {each.__name__ for each in flavors or (mlflow.sklearn, mlflow.lightgbm, mlflow.xgboost)}, {}
    with mlflow.start_run():
        record = log_training_set(example.training_set)
        if "mlflow.sklearn" in chosen:
            model = example.model().fit(*table.xy())
            options = {"pyfunc_predict_fn": "predict_proba", "pip_requirements": ["scikit-learn"]}
            uris["sklearn"] = log_model(model, training_set=record, name="sklearn", **options).model_uri
        for flavor in (mlflow.lightgbm, mlflow.xgboost):
            if flavor.__name__ not in chosen:
                continue
            is_light = flavor is mlflow.lightgbm
            data, categories = dataset(table) if is_light else quantile_dmatrix(table)
            model = gradient_boosted(data) if is_light else xgboost.train({"objective": "binary:logistic"}, data, 10)
            name = flavor.__name__.partition(".")[2]
            options = {"flavor": flavor, "name": name, "categories": categories, "pip_requirements": [name]}
            uris[name] = log_model(model, training_set=record, metadata={"team": "research"}, **options).model_uri
    return uris


def a_training_set_is_logged_with_pin_query_and_sidecar(example: Example) -> None:
    """Of a query, of rows in memory, of a file; the rows themselves stay where they are."""
    extract = example.training_set.write("rows.parquet")
    table = example.table
    for source in (example.training_set, table, extract, "rows.parquet"):
        with mlflow.start_run() as run:
            record = log_training_set(source)
        assert record.content_hash == extract.content_hash
        assert (record.pin, record.rows, record.sql) == (extract.pin, len(table), extract.sql)
        done = mlflow.get_run(run.info.run_id)
        (logged,) = (each.dataset for each in done.inputs.dataset_inputs)
        assert (logged.name, logged.digest) == (SERVICE, extract.content_hash[:36])
        assert [each["name"] for each in json.loads(logged.schema)["mlflow_colspec"]] == [*extract.columns]
        assert done.data.tags["feature_sync.training_content_hash"] == extract.content_hash
        assert done.data.tags["feature_sync.shape"] == extract.pin.shape
        names = {"pin.json", "query.sql"} | (set() if source is table else {"sidecar.json"})
        folder = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="training_set"))
        assert {each.name for each in folder.iterdir()} == names
        assert (folder / "pin.json").read_text() == extract.pin.to_json()
        assert (folder / "query.sql").read_text() == extract.sql
        if source is not table:
            assert (folder / "sidecar.json").read_text() == Path("rows.parquet.json").read_text()
            assert "model.feature_sync.departures" in logged.source
    before, after = table.split_by_time("2013-01-25")
    with mlflow.start_run() as run:
        hashes = {
            log_training_set(part, context=name).content_hash for part, name in ((before, "training"), (after, "test"))
        }
    done = mlflow.get_run(run.info.run_id)
    assert {each.dataset.digest for each in done.inputs.dataset_inputs} == {each[:36] for each in hashes}


def the_pin_travels_with_a_model(example: Example) -> None:
    uris = log_models(example, mlflow.lightgbm)
    uri = uris["lightgbm"]
    file = Path(mlflow.artifacts.download_artifacts(uri), "pin.json")
    assert file.read_text() == example.table.pin.to_json()
    metadata = mlflow.models.get_model_info(uri).metadata
    assert metadata["feature_sync"]["pin"]["shape"] == example.table.pin.shape
    assert metadata["team"] == "research"
    signature = mlflow.models.get_model_info(uri).signature
    assert {each.type.name for each in signature.inputs.inputs} == {"double"}
    with mlflow.start_run():
        options = {"training_set": example.table, "flavor": mlflow.pyfunc, "pip_requirements": []}
        seats = log_model(lambda model_input: model_input["seats"].fillna(-1), name="seats", **options)
        bare = mlflow.pyfunc.log_model(name="bare", python_model=lambda model_input: model_input, pip_requirements=[])
    client = FeatureClient(os.environ["FEATURE_SYNC_REDIS_URL"], SERVICE, prefix=PREFIX, timeout=5)
    known = example.entities[:5]
    expected = client.get_many(known).to_pandas()["seats"].fillna(-1)
    assert [*load_model(seats.model_uri, client).predict(known)] == expected.to_list()
    refused(lambda: load_model(bare.model_uri, client), "has no pin", "log_model")
    refused(lambda: load_model(uri, client, on_drift="maybe"), '"ignore"')


def a_model_in_service_notices_a_push(example: Example) -> None:
    """Its next prediction is by the new card: warned of another logic, once, and refused for another shape."""
    (uri,) = log_models(example, mlflow.lightgbm).values()
    entities = example.entities[:5]
    with redis.Redis.from_url(os.environ["FEATURE_SYNC_REDIS_URL"]) as server:
        client = FeatureClient(os.environ["FEATURE_SYNC_REDIS_URL"], SERVICE, prefix=PREFIX, timeout=5)
        model, unguarded = load_model(uri, client), load_model(uri, client, on_drift="ignore")
        before = model.predict(entities).tolist()
        card = json.loads(server.get(f"{PREFIX}:service:{SERVICE}"))

        def publish(revision: str) -> None:
            server.set(f"{PREFIX}:service:{SERVICE}", json.dumps(card))
            server.set(f"{PREFIX}:revision", revision)

        card["logic"] = "0123456789abcdef"
        publish("other logic")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DriftWarning)
            assert [model.predict(entities).tolist() for _ in range(2)] == [before] * 2
            assert unguarded.predict(entities).tolist() == before
        assert [each.category for each in caught if each.category is DriftWarning] == [DriftWarning]
        assert card["selections"][-1]["features"].pop()["name"] == "pressure"
        publish("other shape")
        refused(lambda: model.predict(entities), "pressure: gone")


def a_signature_accepts_served_frames_of_every_type(example: Example) -> None:
    """With values, and of nulls alone."""
    del example
    values = {
        "bool": True, "int64": 7, "float64": 0.5, "decimal(9,2)": "1.50", "wideint": "7", "string": "a",
        "bytes": b"a", "date": 15_000, "timestamp": 10**15, "timestamptz": 10**15, "array<float32>": [0.5],
        "array<int64>": [7],
    }  # fmt: skip
    features = tuple(SchemaFeature(f"f{at}", parse(kind)) for at, kind in enumerate(values))
    schema = ServiceSchema(keys=(("id", parse("int64")),), features=features)
    signature = signature_of(pin_of("every_type", schema, ""))
    for row in ([*values.values()], [None] * len(values)):
        frame = frame_of(schema, [[each, None] for each in row], 2, "numpy")
        accepted = _enforce_schema(frame, signature.inputs)
        assert accepted.columns.tolist() == frame.columns.tolist()


def a_batch_is_scored_as_it_is_served_at_that_moment(example: Example) -> None:
    """By each library; in the order of each kind of spine, with the index of a frame."""
    client = FeatureClient(os.environ["FEATURE_SYNC_REDIS_URL"], SERVICE, prefix=PREFIX, timeout=5)
    entities = example.entities.sample(frac=1, random_state=5)
    asked = entities.assign(event_timestamp=CLOCK, gate=range(len(entities)))
    for uri in log_models(example).values():
        served = numpy.asarray(load_model(uri, client).predict(entities))
        scored = score_batch(uri, asked, example.store)
        assert scored.index.equals(asked.index)
        pandas.testing.assert_frame_equal(scored[[*KEYS, "gate"]], asked[[*KEYS, "gate"]])
        names = [name for name in scored.columns if name.startswith("prediction")]
        assert numpy.array_equal(scored[names].to_numpy().reshape(served.shape), served)
        assert len(numpy.unique(served)) > 100
    asked[:500].to_parquet("asked.parquet")
    pyarrow_table = pyarrow.Table.from_pandas(asked[:500], preserve_index=False)
    for spine in (polars.from_pandas(asked[:500]), "asked.parquet", pyarrow_table):
        assert score_batch(uri, spine, example.store)["prediction"].tolist() == served[:500].tolist()
    of_model = score_batch(uri, "departures", example.store, limit=500, prediction="late")
    spine = [*example.store.get_training_set(SERVICE, "departures").collect().table.column_names]
    assert of_model.columns.tolist() == [*spine[: -len(example.table.feature_names)], "late"]
    assert of_model["asked_at"].is_monotonic_increasing
    assert of_model["flight_id"].tolist() == example.table.to_pandas()["flight_id"][:500].tolist()
    refused(lambda: score_batch(uri, "departures", example.store, prediction="dest"), "prediction=")


def log_for_a_host(example: Example) -> None:
    """Log models and what they predict online, for `mlflow_host`."""
    entities = [*example.entities[:300].to_dict("records"), UNKNOWN]
    client = FeatureClient(os.environ["FEATURE_SYNC_REDIS_URL"], SERVICE, prefix=PREFIX, timeout=5)
    expected = {
        uri: numpy.asarray(load_model(uri, client).predict(entities)).tolist() for uri in log_models(example).values()
    }
    Path("expected.json").write_bytes(msgspec.json.encode({"entities": entities, "predictions": expected}))


def score_after_a_change(example: Example) -> None:
    """The project has another shape now than the models of `log_for_a_host`."""
    uri = next(iter(json.loads(Path("expected.json").read_text())["predictions"]))
    refused(lambda: score_batch(uri, "departures", example.store, limit=5), "precip: gone")


CHECKS = {
    each.__name__: each
    for each in (
        a_training_set_is_logged_with_pin_query_and_sidecar,
        the_pin_travels_with_a_model,
        a_model_in_service_notices_a_push,
        a_signature_accepts_served_frames_of_every_type,
        a_batch_is_scored_as_it_is_served_at_that_moment,
        log_for_a_host,
        score_after_a_change,
    )
}

if __name__ == "__main__":
    mlflow.set_tracking_uri(TRACKING)
    CHECKS[sys.argv[1]](Example())
    sys.stdout.write("done")
