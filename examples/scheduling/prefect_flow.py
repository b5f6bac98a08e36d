"""Prefect 3: build with dbt, push, verify, then write a training set.

Beside a `prefect server start`, `python prefect_flow.py` serves the flow on its schedule, with these environment
variables:

- `DBT_PROJECT_DIR`: the folder of dbt_project.yml; also `DBT_PROFILES_DIR` and `DBT_TARGET`, unless dbt's defaults fit.
- `FEATURE_SYNC_REDIS_URL`: the Redis to push to.
"""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, runtime, task
from prefect.states import Completed, State

from feature_sync import (
    DefinitionError,
    FeatureStore,
    FeatureSyncError,
    ProfileError,
    ProjectError,
    PushReport,
    RequestError,
    UnknownName,
)

PROJECT = Path(os.environ.get("DBT_PROJECT_DIR", "."))
MISTAKES = (DefinitionError, ProfileError, ProjectError, RequestError, UnknownName)


def may_pass(_task: Any, _run: Any, state: State) -> bool:
    """Tell whether a retry may help: after an error of a server, not where a definition or a setting is wrong."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, FeatureSyncError) and not isinstance(error, MISTAKES)


@task
def build() -> None:
    """Build and test with dbt. Not retried: a failed test fails again; for connections, the profile has `retries`."""
    subprocess.run(["dbt", "build"], cwd=PROJECT, check=True)


@task(retries=3, retry_delay_seconds=[10, 60, 300], retry_condition_fn=may_pass)
def push() -> PushReport:
    """Push every view whose build and tests passed; the others are held back."""
    with FeatureStore(PROJECT) as store:
        return store.push(wait=True)


@task
def verify() -> None:
    """Prove that Redis equals the warehouse. Not retried: what differs now will differ then.

    Raises:
        ValueError: It does not.
    """
    with FeatureStore(PROJECT) as store:
        different = [each.feature_view for each in store.verify() if not each.is_equal]
    if different:
        raise ValueError(f"Redis differs from the warehouse: {', '.join(different)}")


@task(retries=2, retry_delay_seconds=60, retry_condition_fn=may_pass)
def train(until: datetime) -> Path:
    """Write the training set of all flights until the moment for which the run was due; a place for training."""
    path = PROJECT / "target" / f"training_set_{until:%Y%m%dT%H%M%S}.parquet"
    with FeatureStore(PROJECT) as store:
        store.get_training_set("departure_delay_model", "departures", until=until).write(path)
    return path


@flow(name="features")
def keep_features_fresh() -> Any:
    """Build, push, verify, train.

    A failed build fails the flow, after the push of what passed; a view that is held back ends it without training.
    """
    built = build(return_state=True)
    held_back = [each for each in push() if each.held_back]
    for each in held_back:
        get_run_logger().warning("%s is held back: %s", each.feature_view, each.held_back)
    if built.is_failed():
        return built
    if held_back:
        return Completed(name="HeldBack", message=", ".join(each.feature_view for each in held_back))
    verify()
    return train(runtime.flow_run.scheduled_start_time or datetime.now(UTC))


if __name__ == "__main__":
    keep_features_fresh.serve(cron="5 * * * *", limit=1)
