"""The examples run as their pages say, in the libraries themselves, and show what the pages promise."""

from __future__ import annotations

import json
import re
import subprocess
import time

import httpx
import pytest

from feature_sync.online.redis.server import _free_port
from tests.support.projects import EXAMPLE, own_copy

pytestmark = pytest.mark.slow
PYTHON = EXAMPLE / ".venv-models" / "bin" / "python"
FOLDER = EXAMPLE / "examples" / "departure_delay"
SCORE = re.compile(r"^(0\.\d{3})  (\w+)", re.MULTILINE)
SECONDS_TO_START = 60


@pytest.fixture
def pushed(example, redis_url, tmp_path):
    """A copy of the example, pushed."""
    assert PYTHON.exists(), f"{PYTHON} is missing: make .venv-models/.made"
    project = own_copy(example, tmp_path / "copy")
    project.environment.update(FEATURE_SYNC_REDIS_URL=redis_url, PYTHONPATH=str(EXAMPLE))
    assert project.feature_sync("push").returncode == 0
    return project


def test_departures_are_learned_scored_and_predicted(pushed):
    asked = pushed.run(str(PYTHON), str(FOLDER / "predict.py"))
    assert "there is no run yet" in asked.stderr
    outputs = []
    for _ in range(2):
        done = pushed.run(str(PYTHON), str(FOLDER / "train.py"))
        assert done.returncode == 0, done.stderr
        outputs.append(re.sub(r"models:/\S+,", "", done.stdout))
    assert outputs[0] == outputs[1]  # the same rows, the same hash, the same model
    honest, at_random, leaking = (float(score) for score, _ in SCORE.findall(outputs[0]))
    assert 0.6 < honest < at_random < leaking < 0.9
    page = (FOLDER / "README.md").read_text()
    assert all(f"| {score:.3f} |" in page for score in (honest, at_random, leaking))
    done = pushed.run(str(PYTHON), str(FOLDER / "predict.py"))
    assert done.returncode == 0, done.stderr
    assert re.match(r"0\.\d{3}  is the risk of delay of \{'carrier': 'B6'", done.stdout)
    assert "flights of the day scored" in done.stdout


def test_the_notebook_runs_from_its_first_cell_to_the_last(pushed):
    cells = json.loads((FOLDER / "explore.ipynb").read_text())["cells"]
    program = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    done = pushed.run(str(PYTHON), "-c", f"{program}\nassert 0.6 < score < 0.8\nassert 0 < risk < 1\n")
    assert done.returncode == 0, done.stderr


def test_one_process_serves_several_services(pushed):
    port = str(_free_port())
    command = [str(PYTHON), "-m", "uvicorn", "app:app", "--port", port, "--log-level", "warning"]
    server = subprocess.Popen(command, cwd=EXAMPLE / "examples" / "several_services", env=pushed.variables)
    url = f"http://127.0.0.1:{port}"
    try:
        flight = {"carrier": "B6", "tailnum": "N552JB", "origin": "JFK"}
        answer = answer_of(server, f"{url}/departure_delay_model", [flight, flight])
        assert len(answer["seats"]) == 2
        assert answer_of(server, f"{url}/crew_standby_model", [{"carrier": "B6"}])["flights_24h"][0] > 0
        assert httpx.post(f"{url}/other", json=[]).status_code == 404
        assert httpx.post(f"{url}/crew_standby_model", json=[{"tailnum": "N1"}]).status_code == 422
    finally:
        server.terminate()
        server.wait()


def answer_of(server: subprocess.Popen, url: str, entities: list[dict[str, str]]) -> dict[str, list]:
    end = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            answer = httpx.post(url, json=entities)
        except httpx.ConnectError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.1)
        else:
            assert answer.status_code == 200, answer.text
            return answer.json()
