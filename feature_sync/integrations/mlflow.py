"""Training sets and models in MLflow: what a model was trained on travels with it, and is checked where it serves."""

from __future__ import annotations

from hashlib import sha256
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any, Unpack

import msgspec

from feature_sync.errors import RequestError
from feature_sync.extras import needed_by
from feature_sync.integrations.categories import Categories
from feature_sync.integrations.mlflow_models import METADATA_KEY, PinnedModel, ServedModel
from feature_sync.integrations.mlflow_schemas import columns_schema, signature_of
from feature_sync.integrations.training_record import RecordSource, TrainingRecord, record_of
from feature_sync.serving.pins import compare

with needed_by("feature_sync.integrations.mlflow"):
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

if TYPE_CHECKING:
    import pandas

    from feature_sync.serving.client import FeatureClient
    from feature_sync.store import FeatureStore
    from feature_sync.training import SpineKeywords, SpineSource, TrainingTable

_ON_DRIFT = ("raise", "warn", "ignore")
_LONGEST_DIGEST = 36
"""Characters that MLflow allows; a content hash has 40."""


def log_training_set(source: RecordSource, *, name: str | None = None, context: str = "training") -> TrainingRecord:
    """Log a training set as an input of the active run, or of a new one.

    The dataset's digest is the start of the content hash, of which MLflow takes 36 characters. Artifacts in the folder
    `training_set` (or `validation_set`, by the context) hold the pin, the query and the sidecar; tags hold service,
    shape, logic and the whole content hash. No row is logged.

    Args:
        source: The training set, which is run; its rows by `collect()`; what `write` returned; or a Parquet file.
        name: The name of the dataset; the default is that of the feature service.
        context: What the rows are for, such as `training` or `validation`.

    Returns:
        What was logged, which `log_model` takes as `training_set`.

    Raises:
        FeatureSyncError: The training set cannot be read.
    """
    record = record_of(source)
    pin = record.pin
    origin = {"feature_service": pin.service, "shape": pin.shape, "logic": pin.logic, "rows": str(record.rows)}
    if record.sql:
        origin["sql_sha256"] = sha256(record.sql.encode()).hexdigest()
    if record.sidecar:
        origin["spine"] = msgspec.json.encode(record.spine).decode()
    mlflow.log_input(
        MetaDataset(
            CodeDatasetSource(origin),
            name=name or pin.service,
            digest=record.content_hash[:_LONGEST_DIGEST],
            schema=columns_schema(record.column_types),
        ),
        context=context,
    )
    tags = {"service": pin.service, "shape": pin.shape, "logic": pin.logic}
    tags[f"{context}_content_hash"] = record.content_hash
    mlflow.set_tags({f"{METADATA_KEY}.{tag}": value for tag, value in tags.items()})
    files = {"pin.json": pin.to_json(), "query.sql": record.sql, "sidecar.json": record.sidecar}
    for file, content in files.items():
        if content:
            mlflow.log_text(content, f"{context}_set/{file}")
    return record


def log_model(
    model: Any,
    *,
    training_set: RecordSource,
    flavor: ModuleType | None = None,
    name: str = "model",
    categories: Categories | None = None,
    **options: Any,
) -> Any:
    """Log a model together with the pin of what it was trained on: in its metadata, and as its file `pin.json`.

    The signature has a double for each number, since MLflow's integers refuse nulls, and any feature can be null.
    Models of scikit-learn are written by cloudpickle, unless `serialization_format` says otherwise.

    Args:
        model: The model, which takes the features of the service in order.
        training_set: What it was trained on, as for `log_training_set`, or what that returned.
        flavor: The module of MLflow that logs it; the default is `mlflow.sklearn`.
        name: The name of the model.
        categories: By which served vectors are encoded before the model takes them.
        options: Arguments of the flavor's own `log_model`.

    Returns:
        MLflow's `ModelInfo`, whose `model_uri` is what `load_model` takes.

    Raises:
        FeatureSyncError: The training set cannot be read.
    """
    record = record_of(training_set)
    flavor = flavor or import_module("mlflow.sklearn")
    if flavor.__name__ == "mlflow.sklearn":
        options.setdefault("serialization_format", "cloudpickle")
    options.setdefault("signature", signature_of(record.pin, categories))
    known = {"pin": msgspec.to_builtins(record.pin), "content_hash": record.content_hash}
    if categories is not None:
        known["categories"] = msgspec.json.decode(categories.to_json())
    metadata = {**(options.pop("metadata", None) or {}), METADATA_KEY: known}
    given = {"python_model": model} if flavor.__name__ == "mlflow.pyfunc" else {}
    info = flavor.log_model(*(() if given else (model,)), name=name, metadata=metadata, **given, **options)
    with TemporaryDirectory(prefix="feature_sync_") as folder:
        file = Path(folder, "pin.json")
        file.write_text(record.pin.to_json(), encoding="utf-8")
        mlflow.MlflowClient().log_model_artifact(info.model_id, str(file))
    return info


def load_model(uri: str, client: FeatureClient, *, on_drift: str = "raise") -> ServedModel:
    """Load a model to predict for entities; needs no project, dbt or warehouse.

    Compares the model's pin with the service's card now, and again when a push changes the card. Another logic is
    warned of (`DriftWarning`), once for each card.

    Args:
        uri: Where MLflow has the model, such as `models:/late/3`.
        client: Reads the vectors of the model's service.
        on_drift: What to do if the service has another shape: `"raise"`, `"warn"`, or `"ignore"`, which warns of
            another logic neither.

    Raises:
        OnlineStoreError: Redis failed, or has no card of the service.
        PinMismatch: The service no longer has the shape that the model was trained on.
        RequestError: The model was not logged by `log_model`, or `on_drift` makes no sense.
    """
    _check_on_drift(on_drift)
    return ServedModel(PinnedModel(uri), client, on_drift)


def score_batch(
    uri: str,
    spine: SpineSource,
    store: FeatureStore,
    *,
    prediction: str = "prediction",
    on_drift: str = "raise",
    **options: Unpack[SpineKeywords],
) -> pandas.DataFrame:
    """Predict for the rows of a spine by what was known at their moments.

    Args:
        uri: Where MLflow has the model.
        spine: As for `FeatureStore.get_training_set`: a model by name, a file, a frame.
        store: The project of the model's service.
        prediction: The column of the predictions; several per row get `_0`, `_1`... behind it.
        on_drift: See `load_model`.
        options: See `SpineOptions`.

    Returns:
        The spine's columns and the predictions, in the order of the spine: a frame's own, with its index, else by the
        moment and the keys.

    Raises:
        FeatureSyncError: The spine cannot be answered, or has the column of the predictions already.
        PinMismatch: The service no longer has the shape that the model was trained on.
    """
    _check_on_drift(on_drift)
    model = PinnedModel(uri)
    table = store.get_training_set(model.pin.service, spine, **options).collect()
    if on_drift != "ignore":
        compare(model.pin, table.pin, warns=on_drift == "warn")
    return _scored(table, model.predict(table), prediction)


def _scored(table: TrainingTable, predicted: Any, name: str) -> pandas.DataFrame:
    """Return the spine's columns of a table, and predictions of shape (rows,) or (rows, outputs)."""
    import numpy

    features = set(table.feature_names)
    scored = table.to_pandas().drop(columns=[*features])
    values = numpy.asarray(predicted)
    columns = {name: values} if values.ndim == 1 else {f"{name}_{at}": each for at, each in enumerate(values.T)}
    if taken := [each for each in columns if each in scored.columns]:
        raise RequestError(f"the spine has a column {taken[0]!r}; name the predictions otherwise with prediction=")
    return scored.assign(**columns)


def _check_on_drift(on_drift: str) -> None:
    if on_drift not in _ON_DRIFT:
        raise RequestError(f'on_drift is "raise", "warn" or "ignore", and not {on_drift!r}')
