"""What model libraries make of training sets and served vectors, by the Python of `.venv-models`.

Run in the folder of the example, which has been pushed: `python -m tests.support.model_worker CHECK`.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy
import pandas

from feature_sync import FeatureClient, FeatureStore

SERVICE, PREFIX = "departure_delay_model", "feature_sync"
KEYS = ["carrier", "tailnum", "origin"]
CLOCK = pandas.Timestamp("2013-01-31T16:50:00", tz="UTC")
UNKNOWN = {"carrier": "ZZ", "tailnum": "N00000", "origin": "ZZZ"}
BATCH = 500
SINGLES = 200


class Example:
    """The training set, and what is served of the same flights."""

    def __init__(self) -> None:
        self.client = FeatureClient(os.environ["FEATURE_SYNC_REDIS_URL"], SERVICE, prefix=PREFIX, timeout=5)
        with FeatureStore(".", profiles_dir="profiles") as store:
            self.pin = store.pin(SERVICE)
            self.training = store.get_training_set(SERVICE, "departures").to_pandas()
            self.entities = self.training[KEYS].drop_duplicates(ignore_index=True)
            asked = self.entities.assign(event_timestamp=CLOCK, number=range(len(self.entities)))
            answers = store.get_training_set(SERVICE, asked).to_pandas()
            self.at_the_clock = answers.sort_values("number", ignore_index=True)
        self.names = [each.name for each in self.pin.features]
        self.numbers = [each.name for each in self.pin.features if each.type != "string"]

    def served(self) -> Iterator[pandas.DataFrame]:
        """Every flight of the training set in batches, each with an unknown one; then some alone."""
        flights = self.training[KEYS]
        for begin in range(0, len(flights), BATCH):
            yield self.client.get_many([*flights[begin : begin + BATCH].to_dict("records"), UNKNOWN]).to_pandas()
        for entity in [UNKNOWN, *self.entities[:SINGLES].to_dict("records")]:
            yield self.client.get(entity).to_pandas()


def mlflow_accepts_every_served_vector(example: Example) -> str:
    """By a signature of all training rows, and by one of rows without nulls."""
    from mlflow.models import infer_signature
    from mlflow.models.utils import _enforce_schema

    features = example.training[example.names]
    count = 0
    for frame in (features, features.dropna()):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            schema = infer_signature(frame).inputs
        for batch in example.served():
            accepted = _enforce_schema(batch, schema)
            pandas.testing.assert_frame_equal(accepted, batch)
            count += len(batch)
    return f"{count} vectors"


def mlflow_predicts_by_a_logged_model(example: Example) -> str:
    """Through `pyfunc`, which enforces the signature."""
    import mlflow

    class Seats(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            del context, params
            return model_input["seats"].fillna(-1)

    features = example.training[example.names]
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    with mlflow.start_run():
        logged = mlflow.pyfunc.log_model(
            name="seats",
            python_model=Seats(),
            signature=mlflow.models.infer_signature(features),
            pip_requirements=["pandas"],
        )
    model = mlflow.pyfunc.load_model(logged.model_uri)
    count = 0
    for batch in example.served():
        assert model.predict(batch).tolist() == batch["seats"].fillna(-1).tolist()
        count += len(batch)
    return f"{count} vectors"


def _models() -> dict[str, Any]:
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier
    from xgboost import XGBClassifier

    return {
        "LightGBM": LGBMClassifier(n_estimators=20, verbose=-1),
        "XGBoost": XGBClassifier(n_estimators=20),
        "scikit-learn": HistGradientBoostingClassifier(max_iter=20),
    }


def predictions_are_those_of_the_training_rows_of_the_same_moment(example: Example) -> str:
    """Of every entity, with all dtypes; the frames are equal, too."""
    served = example.client.get_many(example.entities)
    pandas.testing.assert_frame_equal(served.to_pandas(), example.at_the_clock[example.names])
    label = example.training["is_late"].astype(bool)
    for name, model in _models().items():
        model.fit(example.training[example.numbers], label)
        trained = model.predict_proba(example.at_the_clock[example.numbers])
        predicted = model.predict_proba(served.to_pandas()[example.numbers])
        assert numpy.array_equal(trained, predicted), name
        assert len(numpy.unique(predicted)) > 10, name
    return f"{len(served)} entities"


def every_library_predicts_a_batch_with_an_unknown_entity(example: Example) -> str:
    """Whose numbers are NaN, or defaults; alone it is predicted as in the batch."""
    known = example.entities[:3].to_dict("records")
    batch = example.client.get_many([*known, UNKNOWN])
    assert {each.value for each in batch[-1].statuses.values()} == {"missing"}
    alone = example.client.get(UNKNOWN)
    label = example.training["is_late"].astype(bool)
    for name, model in _models().items():
        model.fit(example.training[example.numbers], label)
        predicted = model.predict_proba(batch.to_pandas()[example.numbers])
        assert numpy.isfinite(predicted).all(), name
        assert numpy.array_equal(model.predict_proba(alone.to_pandas()[example.numbers]), predicted[-1:]), name
    return "3 libraries"


CHECKS = {
    each.__name__: each
    for each in (
        mlflow_accepts_every_served_vector,
        mlflow_predicts_by_a_logged_model,
        predictions_are_those_of_the_training_rows_of_the_same_moment,
        every_library_predicts_a_batch_with_an_unknown_entity,
    )
}

if __name__ == "__main__":
    sys.stdout.write(CHECKS[sys.argv[1]](Example()))
