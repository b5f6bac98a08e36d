"""Models of MLflow with what was logged beside them: the pin, and the categories of their text features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from feature_sync.errors import RequestError
from feature_sync.extras import needed_by
from feature_sync.integrations.categories import Categories
from feature_sync.service_schema import Pin, read_pin
from feature_sync.serving.pins import PinGuard
from feature_sync.serving.vectors import FeatureVector, FeatureVectors

with needed_by("feature_sync.integrations.mlflow"):
    import mlflow.pyfunc

if TYPE_CHECKING:
    from feature_sync.serving.client import FeatureClient
    from feature_sync.training import TrainingTable

METADATA_KEY = "feature_sync"
"""Under which a model's metadata hold what it was trained on."""


class PinnedModel:
    """A model of MLflow with what `log_model` kept beside it.

    Args:
        uri: Where MLflow has it, such as `models:/late/3` or `runs:/.../model`.

    Raises:
        RequestError: It was not logged by `log_model`.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._model = mlflow.pyfunc.load_model(uri)
        known = (self._model.metadata.metadata or {}).get(METADATA_KEY)
        if not isinstance(known, Mapping) or "pin" not in known:
            raise RequestError(f"{uri} has no pin: log it by feature_sync.integrations.mlflow.log_model")
        self.pin = read_pin(known)
        found = known.get("categories")
        self.categories = None if found is None else Categories.from_json(msgspec.json.encode(found))

    def predict(
        self, rows: FeatureVector | FeatureVectors | TrainingTable, params: Mapping[str, Any] | None = None
    ) -> Any:
        """Predict from the features of rows, shape (rows, features), encoded here if the model has categories."""
        if self.categories is not None:
            features = self.categories.encode(rows)
        elif isinstance(rows, FeatureVector | FeatureVectors):
            features = rows.to_pandas()
        else:
            features = rows.features()
        return self._model.predict(features) if params is None else self._model.predict(features, params=dict(params))


class ServedModel:
    """A model that predicts for entities, by the vectors that a client reads; threads may share it.

    Args:
        model: MLflow's model with its pin.
        client: Reads the vectors.
        on_drift: See `load_model`.
    """

    def __init__(self, model: PinnedModel, client: FeatureClient, on_drift: str) -> None:
        self._model = model
        self._client = client
        self._guard = None if on_drift == "ignore" else PinGuard(model.pin, on_drift)
        card = client.warm_up()
        if self._guard is not None:
            self._guard.check(card)

    def __repr__(self) -> str:
        return f"ServedModel({self._model.uri!r}, {self.pin.service!r})"

    @property
    def pin(self) -> Pin:
        """What the model was trained on."""
        return self._model.pin

    def predict(self, entities: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Predict for entities, in their order.

        Args:
            entities: As `FeatureClient.get_many` takes them: mappings, a frame, or values of the only key.
            params: Parameters of the model's signature.

        Returns:
            What the model makes of the vectors, such as an array of shape (entities,).

        Raises:
            OnlineStoreError: Redis failed.
            PinMismatch: A push has changed the shape of the service.
            RequestError: A key is missing, unknown or of the wrong type.
        """
        return self.predict_vectors(self._client.get_many(entities), params)

    def predict_vectors(self, vectors: FeatureVectors | FeatureVector, params: Mapping[str, Any] | None = None) -> Any:
        """Predict from vectors that were read already, such as by an `AsyncFeatureClient`; see `predict`."""
        if self._guard is not None:
            self._guard.check(vectors.card)
        return self._model.predict(vectors, params)
