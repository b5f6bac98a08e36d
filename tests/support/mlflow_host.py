"""A host that serves models of MLflow, without project or warehouse, in `.venv-models`.

Run in any folder: `python -m tests.support.mlflow_host TRACKING EXPECTED ON_DRIFT`; prints what happened as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

FOR_PROJECTS = ("dbt", "duckdb", "redis", "rich", "sqlglot")
"""Libraries that a host lacks."""
sys.modules.update(dict.fromkeys(FOR_PROJECTS))

import mlflow  # noqa: E402 - without the libraries
import numpy  # noqa: E402

from feature_sync import DriftWarning, FeatureClient, PinMismatch  # noqa: E402
from feature_sync.integrations.mlflow import load_model  # noqa: E402

SERVICE, PREFIX = "departure_delay_model", "feature_sync"


def main(tracking: str, expected: str, on_drift: str) -> None:
    """Serve each model to the same entities."""
    mlflow.set_tracking_uri(tracking)
    content = json.loads(Path(expected).read_text())
    told: dict[str, list[str]] = {}
    client = FeatureClient(os.environ["FEATURE_SYNC_REDIS_URL"], SERVICE, prefix=PREFIX, timeout=5)
    for uri, predictions in content["predictions"].items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DriftWarning)
            try:
                model = load_model(uri, client, on_drift=on_drift)
                found = [numpy.asarray(model.predict(content["entities"])).tolist() for _ in range(2)]
                outcome = ["equal" if found == [predictions] * 2 else "others"]
            except PinMismatch as mismatch:
                outcome = ["refused", *mismatch.differences]
        told[uri] = outcome + [f"warned: {each.message}" for each in caught if each.category is DriftWarning]
    loaded = [name for name in ("feature_sync.store", "feature_sync.training") if name in sys.modules]
    sys.stdout.write(json.dumps({"models": told, "loaded": loaded}))


if __name__ == "__main__":
    main(*sys.argv[1:])
