"""What Prefect makes of examples/scheduling/prefect_flow.py, by the Python of `.venv-schedulers`: prints JSON.

It reads commands from stdin, a line each, and runs them against one server of its own: `run` runs the flow, `push` only
its push, whose retries do not wait. Behind a command stand environment variables to set before, as NAME=VALUE.
"""

from __future__ import annotations

import json
import os
import sys
import time

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.testing.utilities import prefect_test_harness

from examples.scheduling.prefect_flow import keep_features_fresh, push

_SECONDS_TO_RECORD = 60


def run() -> dict[str, object]:
    """Run the flow; returns its state, and of each task the state and its runs."""
    state = keep_features_fresh(return_state=True)
    with get_client(sync_client=True) as client:
        tasks = _recorded(client, flow_run_filter=FlowRunFilter(id={"any_": [state.state_details.flow_run_id]}))
    return {
        "run": state.name,
        "message": state.message,
        "tasks": {each.name.rpartition("-")[0]: [each.state.name, each.run_count] for each in tasks},
    }


def push_alone() -> dict[str, object]:
    """Run the push, without a flow; returns its state and how often it ran."""
    state = push.with_options(retry_delay_seconds=0)(return_state=True)
    with get_client(sync_client=True) as client:
        (done,) = _recorded(client, task_run_filter=TaskRunFilter(id={"any_": [state.state_details.task_run_id]}))
    return {"push": [done.state.name, done.run_count]}


def _recorded(client, **chosen):
    """Read task runs when all have ended: the server records what became of them some time after they did."""
    deadline = time.monotonic() + _SECONDS_TO_RECORD
    while True:
        runs = client.read_task_runs(**chosen)
        if (runs and all(each.state.is_final() for each in runs)) or time.monotonic() > deadline:
            return runs
        time.sleep(0.1)


if __name__ == "__main__":
    with prefect_test_harness():
        for line in sys.stdin:
            command, *settings = line.split()
            os.environ.update(each.split("=", 1) for each in settings)
            answer = {"run": run, "push": push_alone}[command]()
            sys.stdout.write(f"\n{json.dumps(answer)}\n")
            sys.stdout.flush()
