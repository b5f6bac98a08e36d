"""Airflow 3: build with dbt, push, verify, then write a training set.

It needs `dbt` and `feature-sync` on the workers' PATH, and in Airflow:

- Variable `features_project`: the folder of dbt_project.yml. All tasks of a run must see the same one: a push
  reads in `target/` what dbt has built.
- Variable `features_target`: the dbt target; without it, the profile's own.
- Connection `features_redis`, of type redis (or rediss, for TLS): the Redis to push to.

profiles.yml is found as dbt finds it: in `DBT_PROFILES_DIR`, the project's folder, or ~/.dbt.
"""

from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Connection, TriggerRule
from airflow.sdk.log import mask_secret

HELD_BACK = 3

# run_after is when the run was due, however late it runs or is repeated, so a repeated run asks for the same rows and
# replaces its file. A run that was started by hand may have no logical date and no data interval, but has this.
TRAIN = """
feature-sync extract departure_delay_model --spine departures \
    --until '{{ dag_run.run_after.isoformat() }}' \
    --output 'target/training_set_{{ dag_run.run_after | ts_nodash }}.parquet'
"""


def redis_url() -> str:
    """The URL of the Connection, masked as a whole: Airflow masks its password, but not the %-encoding of one."""
    url = Connection.get("features_redis").get_uri()
    mask_secret(url)
    return url


with DAG(
    dag_id="features",
    schedule="5 * * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,  # a push sends what is newest now: there is no past run to make up for
    max_active_runs=1,
    user_defined_macros={"redis_url": redis_url},
    default_args={
        "retries": 0,
        "cwd": "{{ var.value.features_project }}",
        "append_env": True,
        "env": {
            "DBT_PROJECT_DIR": "{{ var.value.features_project }}",
            "DBT_TARGET": "{{ var.value.get('features_target', '') }}",
            "FEATURE_SYNC_REDIS_URL": "{{ redis_url() }}",
        },
    },
) as dag:
    # A mistake in the definitions ends the run here: after this, an error of a push is one of a server.
    check = BashOperator(task_id="check", bash_command="dbt parse && feature-sync check")

    # Not retried: dbt exits with 1 for a failed test and for a lost connection, which the profile's `retries` are for.
    build = BashOperator(task_id="build", bash_command="dbt build")

    # Whatever failed in dbt, the views that passed are pushed; the others are held back.
    push = BashOperator(
        task_id="push",
        bash_command="feature-sync push --wait",
        skip_on_exit_code=HELD_BACK,
        trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
        retries=3,
        retry_delay=timedelta(minutes=1),
        retry_exponential_backoff=2,  # after 1, 2 and 4 minutes
    )

    # Exit code 3 is a difference here, and fails: what differs now will differ after a retry.
    verify = BashOperator(task_id="verify", bash_command="feature-sync verify")

    # A place for training; a build that failed fails this task, too, and with it the run.
    train = BashOperator(task_id="train", bash_command=TRAIN, retries=2, retry_delay=timedelta(minutes=1))

    check >> build >> push >> verify >> train
    check >> push
    build >> train
