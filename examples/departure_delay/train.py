"""Train a model of late departures, score it honestly, and log it to MLflow with what it was trained on.

In the folder of the dbt project, after `dbt build`: `python examples/departure_delay/train.py`.
"""

from __future__ import annotations

from typing import Any

import mlflow
import pandas
from settings import read_settings
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from feature_sync import FeatureStore, TrainingTable
from feature_sync.integrations.categories import Categories
from feature_sync.integrations.mlflow import log_model, log_training_set


def main() -> None:
    """Train, score three ways, of which one is honest, and log the honest one."""
    settings = read_settings()
    with FeatureStore() as store, mlflow.start_run():
        training_set = store.get_training_set(settings["service"], settings["spine"])
        table = training_set.collect()
        train, test = table.split_by_time(settings["cut"], gap=settings["gap"])
        categories = Categories.of(train)
        model = fitted(train, categories, settings["model"])
        scores = {
            "auc": auc(model, test, categories),
            "auc_random_split": random_split(table, settings["model"]),
            "auc_leaking_join": leaking_join(store, settings, table),
        }
        mlflow.log_params(settings["model"])
        mlflow.log_metrics(scores)
        record = log_training_set(train)
        logged = log_model(model, training_set=record, categories=categories, pyfunc_predict_fn="predict_proba")
    for name, lesson in LESSONS.items():
        print(f"{scores[name]:.3f}  {lesson}")
    print(f"logged as {logged.model_uri}, trained on {len(train):,} rows with the content hash {train.content_hash}")


LESSONS = {
    "auc": "split by time: trained on the past, tested on what came after. This is what to expect",
    "auc_random_split": "split at random: the model has seen other flights of the same hours",
    "auc_leaking_join": "a join by the day: by the evening, features know how late the day's flights were",
}


def fitted(table: TrainingTable, categories: Categories, options: dict[str, Any]) -> HistGradientBoostingClassifier:
    """Train a model; the same rows give the same model."""
    _, label = table.xy()
    model = HistGradientBoostingClassifier(categorical_features=categories.places, **options)
    return model.fit(categories.encode(table), label)


def auc(model: HistGradientBoostingClassifier, table: TrainingTable, categories: Categories) -> float:
    """Return the area under the ROC curve: 0.5 is a guess, 1 is perfect."""
    _, label = table.xy()
    return float(roc_auc_score(label, model.predict_proba(categories.encode(table))[:, 1]))


def random_split(table: TrainingTable, options: dict[str, Any]) -> float:
    """Score as people often do: a random half of the rows tests what the other half has taught."""
    features, label = table.xy()
    encoded = Categories.of(table).encode(features)
    parts = train_test_split(encoded, label, test_size=0.4, random_state=options["random_state"])
    model = HistGradientBoostingClassifier(categorical_features=Categories.of(table).places, **options)
    model.fit(parts[0], parts[2])
    return float(roc_auc_score(parts[3], model.predict_proba(parts[1])[:, 1]))


def leaking_join(store: FeatureStore, settings: dict[str, Any], table: TrainingTable) -> float:
    """Score a join by the day, as people write it in SQL: by the evening, the day's delays are known."""
    spine = table.to_pandas().drop(columns=list(table.feature_names))
    evenings = spine.assign(event_timestamp=spine[table.moment_name].dt.normalize() + pandas.Timedelta(days=1))
    leaking = store.get_training_set(settings["service"], evenings, labels=table.label_names)
    train, test = leaking.split_by_time(settings["cut"], gap=settings["gap"])
    categories = Categories.of(train)
    return auc(fitted(train, categories, settings["model"]), test, categories)


if __name__ == "__main__":
    main()
