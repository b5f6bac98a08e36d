"""The images of deploy/docker, built by buildah from the wheel, and run as Kubernetes would: not root, read-only."""

from __future__ import annotations

import json
import os
import shutil
import signal

import httpx
import pytest
import redis

from feature_sync import __version__
from feature_sync.online.redis.server import _free_port
from tests.support.images import BASE, Images
from tests.support.projects import PROJECTS
from tests.support.redis_server import RedisServer
from tests.test_deploy import commands

pytestmark = pytest.mark.slow
MEGABYTE = 1_000_000
MOST_OF_SERVE, MOST_OF_JOB = 40, 500
"""In /opt/feature-sync. Measured: 28 MB, and 390 MB with dbt and DuckDB."""
WRITABLE = "find / -xdev -writable -not -type l 2>/dev/null || true"
COMPILERS = "command -v cc gcc g++ clang make rustc"


@pytest.fixture(scope="module")
def images():
    assert (BASE / "base.tar").exists(), f"{BASE} is missing: make .image-base/.made"
    assert os.geteuid() == 0, "only root may mount what a container sees read-only: sudo make proof"
    built = Images()
    yield built
    built.close()


@pytest.fixture(scope="module")
def serve(images):
    return images.build("serve")


@pytest.fixture(scope="module")
def job(images):
    return images.build("job")


@pytest.fixture(scope="module")
def project(images, job, tmp_path_factory):
    """The image of a dbt project, beside whose files lie a secret and what a build left."""
    folder = tmp_path_factory.mktemp("parcels") / "project"
    shutil.copytree(PROJECTS / "parcels", folder)
    (folder / ".env").write_text("PGPASSWORD=hush")
    (folder / "target").mkdir()
    (folder / "target" / "run_results.json").write_text("{}")
    return images.build_project(folder)


@pytest.fixture(scope="module")
def server():
    """A Redis that containers reach by its port."""
    with_port = RedisServer()
    with_port.start()
    yield with_port
    with_port.stop()


@pytest.fixture
def redis_url(server):
    with server.client() as client:
        client.flushall()
    return f"redis://127.0.0.1:{server.port}/0"


def end(process) -> tuple[int, str]:
    """The exit code of a process and what it said."""
    said, _ = process.communicate(timeout=300)
    return process.returncode, said


def size(container) -> float:
    """Megabytes of what we install."""
    files = (container.root / "opt" / "feature-sync").rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink()) / MEGABYTE


@pytest.mark.parametrize("name", ["serve", "job"])
def test_an_image_runs_as_a_numbered_user_who_can_change_nothing_and_holds_no_compiler(name, images):
    image = images.build(name)
    assert image.settings["User"] == "10001:10001"
    assert image.settings["Labels"]["org.opencontainers.image.version"] == "tested"
    assert image.run("id", "-u") == "10001"
    assert image.run("feature-sync", "--version") == f"feature-sync, version {__version__}"
    assert image.run("sh", "-c", f"{COMPILERS} || echo none") == "none"
    assert set(image.run("sh", "-c", WRITABLE).split()) <= {"/run/lock", "/tmp", "/var/tmp", "/work"}
    assert size(image) < (MOST_OF_SERVE if name == "serve" else MOST_OF_JOB)
    code, said = end(image.read_only("sh", "-c", "id -u; touch /opt/feature-sync/x"))
    assert (code, said.splitlines()[0]) == (1, "10001")
    assert "Read-only file system" in said


def test_an_image_of_a_project_holds_no_secret_and_no_earlier_results(project):
    names = {file.name for file in (project.root / "project").iterdir()}
    assert names == {"dbt_project.yml", "profiles.yml", "models"}


def test_the_job_builds_and_pushes_and_a_view_whose_test_fails_is_held_back_alone(project, redis_url):
    variables = {"FEATURE_SYNC_REDIS_URL": redis_url, "DBT_USE_COLORS": "false", "PARCELS_PATH": "/work/parcels.duckdb"}
    code, said = end(project.read_only(**variables))
    assert code == 0, said
    with redis.Redis.from_url(redis_url) as client:
        assert len(client.keys("parcels:depot_load:{*}")) == 2
        client.flushall()
        code, said = end(project.read_only("build-and-push", "--vars", "most_parcels: 50", **variables))
        assert code == 3, said
        assert "held back" in said
        assert client.keys("parcels:depot_load:{*}") == []
        assert len(client.keys("parcels:couriers:{*}")) == 2


def test_the_job_ends_with_an_error_where_redis_is_down_or_the_project_is_wrong(project):
    variables = {"DBT_USE_COLORS": "false", "PARCELS_PATH": "/work/parcels.duckdb"}
    code, said = end(project.read_only(FEATURE_SYNC_REDIS_URL="redis://127.0.0.1:1", **variables))
    assert code == 1, said
    assert "127.0.0.1:1 cannot be reached" in said
    code, said = end(project.read_only(FEATURE_SYNC_REDIS_URL="redis://127.0.0.1:1", DBT_TARGET="nowhere", **variables))
    assert code == 1, said
    assert "does not have a target named 'nowhere'" in said
    assert "cannot be reached" not in said


def test_a_job_that_is_stopped_ends_at_once_and_the_next_one_pushes(project, redis_url):
    variables = {"FEATURE_SYNC_REDIS_URL": redis_url, "PARCELS_PATH": "/work/parcels.duckdb"}
    job = project.read_only(**variables)
    assert "Running with dbt" in job.stdout.readline()
    os.kill(job.pid, signal.SIGTERM)
    code, said = end(job)
    assert (code, "written" in said) == (143, False), said
    assert end(project.read_only(**variables))[0] == 0


def test_what_the_job_pushed_is_served_and_a_stop_is_orderly(project, serve, redis_url):
    variables = {"FEATURE_SYNC_REDIS_URL": redis_url, "PARCELS_PATH": "/work/parcels.duckdb"}
    assert end(project.read_only(**variables))[0] == 0
    port = _free_port()
    settings = {**variables, "FEATURE_SYNC_KEY_PREFIX": "parcels", "FEATURE_SYNC_TOKEN": "hush"}
    words = [str(port) if word == "8080" else word for word in commands()["kubernetes: serve"]]
    assert "--workers" in words
    server = serve.read_only(*words, **settings)
    assert server.stdout.readline().strip() == f"http://0.0.0.0:{port}"
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, headers={"Authorization": "Bearer hush"}, timeout=30) as client:
        assert client.get("/ready").status_code == 200
        asked = {"feature_service": "parcel_time_model", "entities": {"depot": ["north"], "courier": ["bo"]}}
        answer = client.post("/get-online-features", content=json.dumps(asked)).json()
    assert [result["values"] for result in answer["results"]] == [["north"], ["bo"], [55], [2]]
    os.kill(server.pid, signal.SIGTERM)
    assert end(server)[0] == 0


def test_the_health_check_of_the_image_is_one_that_fails_where_nothing_serves(serve):
    kind, *command = serve.settings["Healthcheck"]["Test"]
    assert kind == "CMD"
    assert end(serve.read_only(*command))[0] == 1
    assert serve.settings["Cmd"] == ["serve", "--host", "0.0.0.0", "--port", "8080"]
