"""The examples of examples/scheduling run in the libraries that they are written for, on the example's own project."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow.parquet
import pytest
import redis
import yaml

from tests.support.projects import EXAMPLE, BuiltProject, own_copy

pytestmark = pytest.mark.slow
FOLDER = EXAMPLE / "examples" / "scheduling"
AIRFLOW = EXAMPLE / ".venv-airflow" / "bin"
SCHEDULERS = EXAMPLE / ".venv-schedulers" / "bin"
VIEWS = {"carrier_delays_v1", "carrier_delays_v2", "aircraft_history", "aircraft_profile", "airport_weather"}
RENDERED = "select rendered_fields from rendered_task_instance_fields"
NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "SCARF_ANALYTICS": "false",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "false",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


@pytest.fixture
def project(example, redis_url, tmp_path):
    """A copy of the example, with dbt and feature-sync on PATH, as in the examples."""
    copy = own_copy(example, tmp_path / "copy")
    path = f"{EXAMPLE / '.venv' / 'bin'}:{copy.variables['PATH']}"
    copy.environment.update(
        PATH=path, PYTHONPATH=str(EXAMPLE), FEATURE_SYNC_REDIS_URL=redis_url, HOME=str(tmp_path), **NO_TELEMETRY
    )
    return copy


@pytest.fixture
def airflow(project, tmp_path):
    """The same, with Airflow's home, metadata database, Variables and Connection."""
    assert AIRFLOW.exists(), f"{AIRFLOW} is missing: make .venv-airflow/.made"
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "airflow_dag.py").write_text((FOLDER / "airflow_dag.py").read_text())
    project.environment.update(
        AIRFLOW_HOME=str(tmp_path / "airflow"),
        AIRFLOW__CORE__DAGS_FOLDER=str(dags),
        AIRFLOW__CORE__LOAD_EXAMPLES="false",
        AIRFLOW_VAR_FEATURES_PROJECT=str(project.folder),
        AIRFLOW_VAR_FEATURES_TARGET="duckdb",
        AIRFLOW_CONN_FEATURES_REDIS=project.environment.pop("FEATURE_SYNC_REDIS_URL"),
    )
    migrated = project.run(str(AIRFLOW / "python"), "-m", "airflow", "db", "migrate")
    assert migrated.returncode == 0, migrated.stdout + migrated.stderr
    return project


@pytest.fixture
def schedulers(project, tmp_path):
    """The same as `project`, with the homes of Dagster and Prefect."""
    assert SCHEDULERS.exists(), f"{SCHEDULERS} is missing: make .venv-schedulers/.made"
    (tmp_path / "prefect").mkdir()
    project.environment.update(
        DBT_PROJECT_DIR=str(project.folder), PREFECT_HOME=str(tmp_path / "prefect"), PREFECT_LOGGING_LEVEL="WARNING"
    )
    return project


def answer(project: BuiltProject, python: Path, module: str, *arguments: str) -> dict:
    """What a worker printed last."""
    done = project.run(str(python / "python"), "-m", f"tests.support.{module}", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    said["output"] = done.stdout + done.stderr
    return said


def lose_aircraft(project: BuiltProject) -> None:
    """Leave a tenth of the aircraft: dbt's tests pass, but a push would remove nine tenths, and is held back."""
    seed = project.folder / "seeds" / "planes.csv"
    lines = seed.read_text().splitlines(keepends=True)
    seed.write_text("".join(lines[:1] + lines[1::10]))


def break_a_test(project: BuiltProject) -> None:
    """Give the first aircraft nine engines, which a test of aircraft_profile refuses."""
    model = project.folder / "models" / "features" / "aircraft_profile.sql"
    model.write_text(model.read_text().replace("cast(engines as integer)", "9"))


def spoil_redis(project: BuiltProject) -> None:
    """Remove the row of one airport behind the push's back, which it cannot notice."""
    url = project.environment.get("FEATURE_SYNC_REDIS_URL") or project.environment["AIRFLOW_CONN_FEATURES_REDIS"]
    with redis.Redis.from_url(url) as client:
        assert client.delete("feature_sync:airport_weather:{JFK}") == 1


def training_sets(project: BuiltProject) -> list[Path]:
    return sorted(project.folder.glob("target/training_set*.parquet"))


def test_airflow_loads_the_dag(airflow):
    tasks = answer(airflow, AIRFLOW, "airflow_worker", "parse")
    tasks.pop("output")
    assert {name: task["after"] for name, task in tasks.items()} == {
        "check": [],
        "build": ["check"],
        "push": ["build", "check"],
        "verify": ["push"],
        "train": ["build", "verify"],
    }
    assert {name: task["retries"] for name, task in tasks.items() if task["retries"]} == {"push": 3, "train": 2}


def test_airflow_fails_where_redis_differs_and_skips_what_follows_a_push_that_is_held_back(airflow):
    ended = answer(airflow, AIRFLOW, "airflow_worker", "run")
    once = ["success", 1]
    assert ended["tasks"] == dict.fromkeys(("check", "build", "push", "verify", "train"), once), ended["output"]
    assert ended["run"] == "success"
    with closing(sqlite3.connect(Path(airflow.environment["AIRFLOW_HOME"], "airflow.db"))) as database:
        rendered = [json.loads(each) for (each,) in database.execute(RENDERED)]
    assert [each["env"]["FEATURE_SYNC_REDIS_URL"] for each in rendered] == ["***"] * 5
    (written,) = training_sets(airflow)
    assert pyarrow.parquet.read_metadata(written).num_rows > 20_000

    spoil_redis(airflow)
    ended = answer(airflow, AIRFLOW, "airflow_worker", "run", "check|build")
    assert ended["tasks"]["push"] == ["success", 1], ended["output"]
    assert ended["tasks"]["verify"] == ["failed", 1]
    assert ended["tasks"]["train"][0] == "upstream_failed"
    assert ended["run"] == "failed"

    lose_aircraft(airflow)
    ended = answer(airflow, AIRFLOW, "airflow_worker", "run", "check")
    states = {name: state for name, (state, _) in ended["tasks"].items()}
    assert states == {
        "check": "success", "build": "success", "push": "skipped", "verify": "skipped", "train": "skipped"
    }, ended["output"]  # fmt: skip
    assert ended["tasks"]["push"] == ["skipped", 1]
    assert training_sets(airflow) == [written]


def test_airflow_pushes_what_passed_and_fails_a_run_whose_build_failed(airflow):
    airflow.environment.pop("AIRFLOW_VAR_FEATURES_TARGET")  # the profile has a default
    break_a_test(airflow)
    ended = answer(airflow, AIRFLOW, "airflow_worker", "run", "check")
    states = {name: state for name, (state, _) in ended["tasks"].items()}
    assert states == {
        "check": "success", "build": "failed", "push": "skipped", "verify": "skipped", "train": "upstream_failed"
    }, ended["output"]  # fmt: skip
    assert ended["run"] == "failed"


def test_dagster_materializes_and_checks_each_view_that_is_not_held_back(schedulers):
    ended = answer(schedulers, SCHEDULERS, "dagster_worker", "all")
    assert ended["success"], ended["output"]
    assert set(ended["assets"]) == {"dbt_build", "training_set"} | {f"redis/{view}" for view in VIEWS}
    assert ended["checks"] == {"dbt_build": True} | {f"redis/{view}": True for view in VIEWS}
    aircraft = ended["assets"]["redis/aircraft_profile"]
    assert aircraft["dagster/row_count"] == aircraft["written"] > 2000
    assert len(training_sets(schedulers)) == 1

    break_a_test(schedulers)
    ended = answer(schedulers, SCHEDULERS, "dagster_worker", "all")
    others = VIEWS - {"aircraft_profile"}
    assert set(ended["assets"]) == {"dbt_build"} | {f"redis/{view}" for view in others}, ended["output"]
    assert list(ended["held back"]) == ["redis/aircraft_profile"]
    assert ended["checks"] == {"dbt_build": False} | {f"redis/{view}": True for view in others}
    assert ended["failures"] == []


def test_dagster_makes_no_training_set_where_redis_differs_and_does_not_retry_a_wrong_setting(schedulers):
    assert schedulers.feature_sync("push").returncode == 0
    spoil_redis(schedulers)
    ended = answer(schedulers, SCHEDULERS, "dagster_worker", "online")
    assert ended["checks"] == {f"redis/{view}": view != "airport_weather" for view in VIEWS}, ended["output"]
    assert ended["failures"] == [["redis__airport_weather_redis_equals_warehouse", "STEP_FAILURE"]]
    assert "training_set" not in ended["assets"]

    schedulers.environment["DBT_TARGET"] = "nowhere"
    ended = answer(schedulers, SCHEDULERS, "dagster_worker", "online")
    assert ended["failures"] == [["push", "STEP_FAILURE"]], ended["output"]


@contextmanager
def prefect(project: BuiltProject) -> Iterator[Callable[[str], dict]]:
    """Start the worker for Prefect; yields what asks it."""
    command = [SCHEDULERS / "python", "-m", "tests.support.prefect_worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, cwd=project.folder, env=project.variables, text=True, **pipes) as worker:

        def ask(line: str) -> dict:
            worker.stdin.write(f"{line}\n")
            worker.stdin.flush()
            said = []
            for each in worker.stdout:
                said.append(each)
                if each.startswith("{"):
                    return {**json.loads(each), "output": "".join(said)}
            raise AssertionError("".join(said))

        yield ask


def test_prefect_ends_the_flow_where_a_push_is_held_back_and_fails_it_where_the_build_failed(schedulers):
    with prefect(schedulers) as ask:
        ended = ask("run")
        assert ended["run"] == "Completed", ended["output"]
        assert ended["tasks"] == {name: ["Completed", 1] for name in ("build", "push", "verify", "train")}
        assert len(training_sets(schedulers)) == 1

        lose_aircraft(schedulers)
        ended = ask("run")
        assert (ended["run"], ended["message"]) == ("HeldBack", "aircraft_profile"), ended["output"]
        assert set(ended["tasks"]) == {"build", "push"}

        break_a_test(schedulers)
        ended = ask("run")
        assert ended["run"] == "Failed", ended["output"]
        assert ended["tasks"] == {"build": ["Failed", 1], "push": ["Completed", 1]}


def test_prefect_retries_a_push_only_where_it_may_help(schedulers):
    right = schedulers.environment["FEATURE_SYNC_REDIS_URL"]
    with prefect(schedulers) as ask:
        down = ask("push FEATURE_SYNC_REDIS_URL=redis://localhost:1/0")
        assert down["push"] == ["Failed", 4], down["output"]
        wrong = ask(f"push FEATURE_SYNC_REDIS_URL={right} DBT_TARGET=nowhere")
        assert wrong["push"] == ["Failed", 1], wrong["output"]


def test_the_workflow_is_one_that_github_accepts(tmp_path):
    files = [FOLDER / "github_actions.yml", *sorted((EXAMPLE / ".github" / "workflows").glob("*.yml"))]
    check = [SCHEDULERS / "check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run([*check, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "wrong.yml"
    wrong.write_text((FOLDER / "github_actions.yml").read_text().replace("runs-on:", "runs_on:"))
    assert subprocess.run([*check, wrong], capture_output=True, check=False).returncode == 1


def test_the_steps_of_the_workflow_run_and_a_held_back_push_is_a_warning(project, tmp_path):
    workflow = yaml.safe_load((FOLDER / "github_actions.yml").read_text())
    steps = {step["name"]: step["run"] for step in workflow["jobs"]["features"]["steps"] if "run" in step}
    assert list(steps) == ["Install", "Check", "Build", "Push", "Verify", "Extract"]
    output = tmp_path / "github_output"

    def run(name: str) -> subprocess.CompletedProcess[str]:
        output.write_text("")
        return project.run("bash", "-e", "-c", steps[name], GITHUB_OUTPUT=str(output))

    for name in ("Check", "Push", "Verify", "Extract"):
        done = run(name)
        assert done.returncode == 0, done.stdout + done.stderr
        assert output.read_text() == ""
    assert (project.folder / "training_set.parquet").exists()

    lose_aircraft(project)
    assert run("Build").returncode == 0
    done = run("Push")
    assert done.returncode == 0, done.stderr
    assert "::warning title=Held back::" in done.stdout
    assert output.read_text() == "held_back=true\n"
    project.environment["FEATURE_SYNC_REDIS_URL"] = "redis://localhost:1/0"
    assert run("Push").returncode == 1


def cron_lines() -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The settings of the crontab, and its entries: when, and what."""
    lines = [line for line in (FOLDER / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    settings = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]+=", line))
    entries = [re.fullmatch(r"((?:\S+ ){4}\S+)  (.*)", line).groups() for line in lines if line[0].isdigit()]
    assert len(settings) + len(entries) == len(lines)
    return settings, entries


def test_cron_understands_when():
    _, entries = cron_lines()
    program = "import croniter, sys; sys.exit(not all(croniter.croniter.is_valid(each) for each in sys.argv[1:]))"
    whens = [when for when, _ in entries]
    assert subprocess.run([SCHEDULERS / "python", "-c", program, *whens], check=False).returncode == 0
    assert subprocess.run([SCHEDULERS / "python", "-c", program, "61 * * * *"], check=False).returncode == 1
    assert not any("%" in command for _, command in entries), "cron reads % as the end of the line"


def test_cron_lines_run_and_print_only_what_someone_should_read(project):
    settings, [(_, push), (_, verify), (_, extract)] = cron_lines()
    names = ("FEATURE_SYNC_REDIS_URL", "DBT_TARGET", "DBT_PROFILES_DIR")
    (project.folder / ".env").write_text("".join(f"{name}={project.variables[name]}\n" for name in names))

    def mail(command: str) -> str:
        """What cron would mail: it runs a line by SHELL, with few variables."""
        few = {"PATH": project.variables["PATH"], "PYTHONPATH": str(EXAMPLE), "PROJECT": str(project.folder)}
        shell = [settings["SHELL"], "-c", command]
        done = subprocess.run(shell, env=few, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    assert [mail(line) for line in (push, verify, extract)] == ["", "", ""]
    assert (project.folder / "training_set.parquet").exists()

    spoil_redis(project)
    assert mail(verify).startswith("Redis differs from the warehouse")
    lose_aircraft(project)
    assert mail(push) == "held back, see features.log: Redis keeps its old rows\n"
    with subprocess.Popen(["flock", ".lock", "sleep", "60"], cwd=project.folder) as busy:
        try:
            assert mail(push) == ""
        finally:
            busy.terminate()
