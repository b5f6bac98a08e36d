"""The settings of config.yaml, and where MLflow keeps the runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def read_settings() -> dict[str, Any]:
    """Read config.yaml, and let MLflow keep its runs in the file that it names."""
    import mlflow

    settings: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "config.yaml").read_text(encoding="utf-8"))
    models = Path("target", "mlruns")
    models.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(settings["tracking"])
    if mlflow.get_experiment_by_name(settings["experiment"]) is None:
        mlflow.create_experiment(settings["experiment"], artifact_location=models.absolute().as_uri())
    mlflow.set_experiment(settings["experiment"])
    return settings
