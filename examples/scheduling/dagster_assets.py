"""Dagster: each feature view in Redis is an asset, its push the computation, `verify` its check; then a training set.

`dagster dev -f dagster_assets.py`, with these environment variables, and `dbt parse` before the first start:

- `DBT_PROJECT_DIR`: the folder of dbt_project.yml; also `DBT_PROFILES_DIR` and `DBT_TARGET`, unless dbt's defaults fit.
- `FEATURE_SYNC_REDIS_URL`: the Redis to push to.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from feature_sync import DefinitionError, FeatureStore, ProfileError, ProjectError, RequestError

PROJECT = Path(os.environ.get("DBT_PROJECT_DIR", "."))
NODES_FAILED = 1
MISTAKES = (DefinitionError, ProfileError, ProjectError, RequestError)

with FeatureStore(PROJECT) as features:
    VIEWS = [view.reference for view in features.registry.feature_views.values() if view.online]
KEYS = {view: dg.AssetKey(["redis", view.replace(".", "_")]) for view in VIEWS}  # such as redis/carrier_delays_v2


@dg.asset(group_name="features", check_specs=[dg.AssetCheckSpec("all_nodes_passed", asset="dbt_build")])
def dbt_build() -> dg.MaterializeResult:
    """Build and test with dbt. After failed tests the check fails and pushes go on: they hold back just those views.

    Raises:
        Failure: dbt could not run.
    """
    done = subprocess.run(["dbt", "build"], cwd=PROJECT, check=False)
    if done.returncode > NODES_FAILED:
        raise dg.Failure(f"dbt build exited with {done.returncode}")
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=done.returncode == 0)])


@dg.multi_asset(
    specs=[
        dg.AssetSpec(key, deps=[dbt_build], skippable=True, group_name="features", kinds={"redis", "dbt"})
        for key in KEYS.values()
    ],
    can_subset=True,
    retry_policy=dg.RetryPolicy(max_retries=3, delay=30, backoff=dg.Backoff.EXPONENTIAL),
)
def push(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
    """Push the selected views.

    One that is held back is observed, not materialized: its check, and what is downstream, are skipped.

    Raises:
        Failure: A definition or a setting is wrong, which no retry mends.
    """
    names = [view for view, key in KEYS.items() if key in context.selected_asset_keys]
    try:
        with FeatureStore(PROJECT) as store:
            pushed = [each for each in store.push_each(names, wait=True) if each.feature_view in KEYS]
            statuses = {status.feature_view: status for status in store.status(names)}
    except MISTAKES as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    for each in pushed:
        if each.held_back:
            context.log_event(dg.AssetObservation(KEYS[each.feature_view], metadata={"held back": each.held_back}))
            continue
        status = statuses[each.feature_view]
        yield dg.MaterializeResult(
            KEYS[each.feature_view],
            metadata={
                "dagster/row_count": status.rows,
                "written": each.written,
                "deleted": each.deleted,
                "age of the newest row (s)": status.age.total_seconds() if status.age else None,
                "last push": dg.MetadataValue.timestamp(status.last.at) if status.last else None,
            },
        )


def verify_check(view: str) -> dg.AssetChecksDefinition:
    """The check that Redis holds what the warehouse answers, for one view."""

    @dg.asset_check(asset=KEYS[view], name="redis_equals_warehouse", blocking=True)
    def check() -> dg.AssetCheckResult:
        with FeatureStore(PROJECT) as store:
            (verified,) = store.verify([view])
        counts = {name: getattr(verified, name) for name in ("matching", "different", "missing", "extra", "expired")}
        return dg.AssetCheckResult(passed=verified.is_equal, metadata=counts, description="; ".join(verified.problems))

    return check


@dg.asset(deps=KEYS.values(), group_name="features")
def training_set() -> dg.MaterializeResult:
    """What a model learns from; not made where a view was held back, or its check failed. A place for training."""
    path = PROJECT / "target" / "training_set.parquet"
    with FeatureStore(PROJECT) as store:
        written = store.get_training_set("departure_delay_model", "departures").write(path)
    return dg.MaterializeResult(
        metadata={"dagster/row_count": written.rows, "path": dg.MetadataValue.path(path)},
    )


hourly = dg.ScheduleDefinition(
    job=dg.define_asset_job("features", selection=dg.AssetSelection.groups("features")), cron_schedule="5 * * * *"
)
defs = dg.Definitions(
    assets=[dbt_build, push, training_set],
    asset_checks=[verify_check(view) for view in VIEWS],
    schedules=[hourly],
)
