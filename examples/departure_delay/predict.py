"""Predict by the newest model: one flight, as a server would, and all flights of a day, as a nightly job would.

In the folder of the dbt project, after `feature-sync push` and train.py: `python examples/departure_delay/predict.py`.
"""

from __future__ import annotations

from typing import Any

import mlflow
from settings import read_settings

from feature_sync import FeatureClient, FeatureStore
from feature_sync.integrations.mlflow import load_model, score_batch

FLIGHT = {"carrier": "B6", "tailnum": "N552JB", "origin": "JFK"}
DAY = {"since": "2013-01-31T00:00:00", "until": "2013-01-31T23:59:59"}


def main() -> None:
    """Predict from Redis, then from the warehouse."""
    settings = read_settings()
    uri = newest_model(settings)
    with FeatureStore() as store:
        with FeatureClient(
            store.connections.redis_url(), settings["service"], prefix=store.project.key_prefix
        ) as client:
            model = load_model(uri, client)  # refuses a service that has another shape than the model was trained on
            ((_, risk),) = model.predict([FLIGHT])
        print(f"{risk:.3f}  is the risk of delay of {FLIGHT} now, by the features in Redis")
        day = score_batch(uri, settings["spine"], store, **DAY)
    worst = day.rename(columns={"prediction_1": "risk"}).sort_values("risk", ascending=False).head(3)
    print(f"{len(day):,} flights of the day scored as of an hour before each; the worst three:")
    print(worst[["flight_id", "asked_at", "risk", "is_late"]].to_string(index=False))


def newest_model(settings: dict[str, Any]) -> str:
    """Return the URI of the model of the experiment's newest run."""
    runs = mlflow.search_runs(experiment_names=[settings["experiment"]], max_results=1, output_format="list")
    if not runs:
        raise SystemExit("there is no run yet: python examples/departure_delay/train.py")
    return f"models:/{runs[0].outputs.model_outputs[0].model_id}"


if __name__ == "__main__":
    main()
