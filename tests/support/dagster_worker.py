"""What Dagster makes of examples/scheduling/dagster_assets.py, by the Python of `.venv-schedulers`: prints JSON.

`python -m tests.support.dagster_worker all` makes all assets with their checks; `online` leaves out what dbt builds.
"""

from __future__ import annotations

import json
import sys

import dagster

from examples.scheduling import dagster_assets as example


def materialize(assets: list) -> dict[str, object]:
    """Materialize some assets; returns what became of each, and which steps failed or wait for a retry."""
    dagster.Definitions.validate_loadable(example.defs)
    done = dagster.materialize(assets, raise_on_error=False)
    made = [event.event_specific_data.materialization for event in done.get_asset_materialization_events()]
    found = {
        each.asset_key.to_user_string(): {name: said.value for name, said in each.metadata.items()} for each in made
    }
    observed = [event.event_specific_data.asset_observation for event in done.get_asset_observation_events()]
    held_back = {each.asset_key.to_user_string(): each.metadata["held back"].value for each in observed}
    checks = {each.asset_key.to_user_string(): each.passed for each in done.get_asset_check_evaluations()}
    failed = [event for event in done.all_events if event.is_step_failure or event.is_step_up_for_retry]
    failures = [[event.step_key, event.event_type_value] for event in failed]
    return {"success": done.success, "assets": found, "held back": held_back, "checks": checks, "failures": failures}


if __name__ == "__main__":
    online = [example.push, example.training_set, *example.defs.asset_checks]
    answer = materialize({"all": [example.dbt_build, *online], "online": online}[sys.argv[1]])
    sys.stdout.write(f"\n{json.dumps(answer)}\n")
