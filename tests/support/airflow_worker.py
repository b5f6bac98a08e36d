"""What Airflow makes of a file of DAGs, by the Python of `.venv-airflow`: prints JSON.

`python -m tests.support.airflow_worker parse` loads the files of `AIRFLOW__CORE__DAGS_FOLDER`; `run [PATTERN]` runs
their DAG once, against the metadata database of `AIRFLOW_HOME`; tasks that match the pattern are taken as done.
"""

from __future__ import annotations

import json
import sys

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG


def loaded() -> DAG:
    """The only DAG of the folder; fails if Airflow cannot import a file, or finds a cycle."""
    bag = DagBag()
    assert not bag.import_errors, bag.import_errors
    (dag,) = bag.dags.values()
    return dag


def parse() -> dict[str, object]:
    """Describe each task: what it waits for, and how often it is retried."""
    dag = loaded()
    dag.check_cycle()
    return {
        task.task_id: {"after": sorted(task.upstream_task_ids), "retries": task.retries, "rule": task.trigger_rule}
        for task in dag.tasks
    }


def run(done: str | None = None) -> dict[str, object]:
    """Run the DAG; returns the state of the run, and of each task with the number of its tries."""
    ended = loaded().test(mark_success_pattern=done)
    tasks = {each.task_id: [each.state, each.try_number] for each in ended.get_task_instances()}
    return {"run": ended.state, "tasks": tasks}


if __name__ == "__main__":
    answer = {"parse": parse, "run": run}[sys.argv[1]](*sys.argv[2:])
    sys.stdout.write(f"\n{json.dumps(answer)}\n")
