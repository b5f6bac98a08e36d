"""MLflow, LightGBM, XGBoost and scikit-learn take what is served as they took what they were trained on."""

from __future__ import annotations

import shlex
import subprocess
import time
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from feature_sync.online.redis.server import _free_port
from tests.support.page import commands_of, program_of
from tests.support.projects import EXAMPLE, own_copy

pytestmark = pytest.mark.slow
PYTHON = EXAMPLE / ".venv-models" / "bin" / "python"
PAGE = EXAMPLE / "docs" / "serving.md"
SECONDS_TO_START = 60


@pytest.fixture
def models(example, redis_url, tmp_path):
    """Runs the Python of `.venv-models` in a copy of the example that was pushed."""
    assert PYTHON.exists(), f"{PYTHON} is missing: make .venv-models/.made"
    project = own_copy(example, tmp_path / "copy")
    project.environment.update(
        FEATURE_SYNC_REDIS_URL=redis_url, PYTHONPATH=str(EXAMPLE), MLFLOW_DISABLE_TELEMETRY="true"
    )
    assert project.feature_sync("push").returncode == 0
    return project


@pytest.mark.parametrize(
    "check",
    [
        "mlflow_accepts_every_served_vector",
        "mlflow_predicts_by_a_logged_model",
        "predictions_are_those_of_the_training_rows_of_the_same_moment",
        "every_library_predicts_a_batch_with_an_unknown_entity",
    ],
)
def test_model_libraries_take_what_is_served(models, check):
    done = models.run(str(PYTHON), "-m", "tests.support.model_worker", check)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith((" vectors", " entities", " libraries"))


def test_the_page_runs_with_the_libraries_that_it_names(models):
    done = models.run(str(PYTHON), "-c", program_of(PAGE))
    assert done.returncode == 0, done.stderr
    (start,) = (line for line in commands_of(PAGE) if line.startswith("uvicorn "))
    (ask,) = (line for line in commands_of(PAGE) if line.startswith("curl "))
    port = str(_free_port())
    command = [str(PYTHON), "-m", *shlex.split(start.replace("8000", port))]
    server = subprocess.Popen(command, cwd=models.folder, env=models.variables)
    try:
        assert 0 < float(answer_of(shlex.split(ask.replace("8000", port))[1], server)) < 1
    finally:
        server.terminate()
        server.wait()


def answer_of(url: str, server: subprocess.Popen) -> str:
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            with urlopen(url) as answer:
                return answer.read().decode()
        except URLError:
            assert server.poll() is None
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.1)
