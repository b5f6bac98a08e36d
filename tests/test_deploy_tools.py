"""Linters pass deploy/ and refuse planted faults; the role installs; Redis users have the rights that they need."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import yaml

from feature_sync.online.redis.server import _free_port
from tests.support.deploy_tools import BIN, DEPLOY, TOOLS, Tool, copy_of_deploy
from tests.support.projects import EXAMPLE, PROJECTS, build_project
from tests.support.redis_server import RedisServer
from tests.test_deploy import OF_DBT

pytestmark = pytest.mark.slow
FAULTS = {f"{name}: {fault.says}": (tool, fault) for name, tool in TOOLS.items() for fault in tool.faults}
STACKS = ["aws", "google"]
WORKER = [BIN / "python", "-m", "tests.support.terraform_worker"]
ACCESS = {
    "terraform": (DEPLOY / "terraform" / "aws" / "redis.tf", r'access_string = "(on .*)"', "${var.key_prefix}"),
    "cloudformation": (DEPLOY / "cloudformation" / "redis.yaml", r'AccessString: !Sub "(on .*)"', "${KeyPrefix}"),
}
ODD_SECRET = """quote" back\\slash $HOME `id` #hash 'x"""
SERVE = (sys.executable, "-m", "feature_sync", "serve")


@pytest.fixture(autouse=True, scope="module")
def _tools():
    assert BIN.exists(), f"{BIN} is missing: make .venv-deploy/.made"


def run_tool(tool: Tool, deploy: Path) -> subprocess.CompletedProcess[str]:
    """Run a linter on a copy of deploy/: offline, and with nothing of the user's own."""
    folder = deploy / tool.folder
    path, home = f"{BIN}:{os.environ['PATH']}", str(deploy.parent / "ansible")
    variables = {**os.environ, "PATH": path, "ANSIBLE_HOME": home}
    return run_deaf(tool.words(folder), folder, variables)


def run_deaf(command: list[Any], folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command without an input: Ansible refuses one that does not block, which another process may leave us."""
    return subprocess.run(
        command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_finds_nothing_wrong_in_deploy(name, tmp_path):
    done = run_tool(TOOLS[name], copy_of_deploy(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", FAULTS)
def test_the_tool_refuses_a_planted_fault(name, tmp_path):
    tool, fault = FAULTS[name]
    copy = copy_of_deploy(tmp_path)
    fault.plant(copy)
    done = run_tool(tool, copy)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0, said
    assert fault.says in said


def terraform(folder: Path) -> dict[str, list[str]]:
    """What a folder of Terraform declares, and what it lacks."""
    done = subprocess.run([*WORKER, folder], cwd=EXAMPLE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("stack", STACKS)
def test_terraform_parses_and_refers_to_nothing_that_is_not_declared(stack, tmp_path):
    found = terraform(DEPLOY / "terraform" / stack)
    assert (found["missing"], found["unused"]) == ([], [])
    assert len(found["declared"]) > 40
    copy = copy_of_deploy(tmp_path) / "terraform" / stack
    (copy / "redis.tf").write_text((copy / "redis.tf").read_text().replace("var.name", "var.nmae", 1))
    (copy / "more.tf").write_text('variable "forgotten" {}\n')
    found = terraform(copy)
    assert (found["missing"], found["unused"]) == (["var.nmae"], ["var.forgotten"])


def test_dbt_reads_the_variables_that_deploy_sets_for_it_alone():
    program = "from dbt.cli.main import cli; print([p.envvar for c in cli.commands.values() for p in c.params])"
    known = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert {name for name in OF_DBT if f"'{name}'" not in known} == set()


@pytest.fixture(scope="module")
def parcels(tmp_path_factory):
    """A project with one service, built on DuckDB."""
    return build_project(PROJECTS / "parcels", tmp_path_factory.mktemp("parcels") / "project", target="duckdb")


@pytest.fixture
def server():
    with RedisServer() as started:
        yield started


@contextmanager
def serving(folder: Path, *command: str, **environment: str) -> Iterator[str]:
    """Start a server, and stop it as systemd and Kubernetes do; yields its URL."""
    variables = {**os.environ, **environment}
    with subprocess.Popen(command, cwd=folder, env=variables, text=True, stdout=subprocess.PIPE) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


def ask(url: str, token: str = "") -> list[Any]:
    """The values that a server answers for one depot and one courier."""
    asked = {"feature_service": "parcel_time_model", "entities": {"depot": ["north"], "courier": ["bo"]}}
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    answer = httpx.post(f"{url}/get-online-features", json=asked, headers=bearer, timeout=60)
    assert answer.status_code == 200, answer.text
    return [result["values"] for result in answer.json()["results"]]


@pytest.mark.parametrize("kind", ACCESS)
def test_the_redis_users_of_the_stacks_can_do_their_work_and_the_reader_no_more(kind, server, parcels, tmp_path):
    file, pattern, prefix = ACCESS[kind]
    writer, reader = (rule.replace(prefix, "parcels") for rule in re.findall(pattern, file.read_text()))
    with server.client() as client:
        for name, rule in (("writer", writer), ("reader", reader)):
            client.execute_command("ACL", "SETUSER", name, "reset", ">hush", *rule.split())
        client.execute_command("ACL", "SETUSER", "default", "off")
    urls = {name: f"redis://{name}:hush@127.0.0.1:{server.port}/0" for name in ("writer", "reader")}
    for command in ("push", "verify", "status"):
        done = parcels.feature_sync(command, FEATURE_SYNC_REDIS_URL=urls["writer"])
        assert done.returncode == 0, done.stderr
    environment = {"FEATURE_SYNC_REDIS_URL": urls["reader"], "FEATURE_SYNC_KEY_PREFIX": "parcels"}
    with serving(tmp_path, *SERVE, "--port", "0", "--timeout", "10", **environment) as url:
        assert ask(url) == [["north"], ["bo"], [55], [2]]
    with redis.Redis.from_url(urls["reader"]) as client:
        for refused in (
            ["SET", "parcels:x", "1"],
            ["DEL", "parcels:x"],
            ["MGET", "other:x"],
            ["KEYS", "*"],
            ["FLUSHALL"],
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*refused)
    with redis.Redis.from_url(urls["writer"]) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.set("other:x", 1)


class Host:
    """This machine as a host of the role, with all that it writes in one folder, and without systemd."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        self._deploy = copy_of_deploy(folder)
        wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(EXAMPLE)]
        subprocess.run(wheel, check=True, capture_output=True)
        (self.wheel,) = folder.glob("*.whl")
        self.variables = {
            "feature_sync_key_prefix": "parcels",
            **{f"feature_sync_{name}": str(folder / name) for name in ("home", "configuration", "units", "project")},
            "feature_sync_python": sys.executable,
            "feature_sync_create_user": False,
            "feature_sync_start": False,
            "feature_sync_serve_packages": [f"{self.wheel}[server]"],
            "feature_sync_push_packages": [f"{self.wheel}[duckdb]"],
            "feature_sync_pip_arguments": f"--constraint {EXAMPLE / 'constraints.txt'}",
            "feature_sync_build_arguments": ["--vars", "most_parcels: 50"],
            "feature_sync_streams": [
                {"view": "depots", "arguments": ["--from", "kafka://127.0.0.1:1", "--land", "landing.a b"]}
            ],
            "feature_sync_push_environment": {"FEATURE_SYNC_REDIS_URL": redis_url, "PGPASSWORD": ODD_SECRET},
            "feature_sync_serve_environment": {"FEATURE_SYNC_REDIS_URL": redis_url, "FEATURE_SYNC_TOKEN": ODD_SECRET},
        }

    def play(self, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run the playbook on this machine."""
        local = {
            "localhost": {
                "ansible_connection": "local",
                "ansible_become": False,
                "ansible_python_interpreter": sys.executable,
            }
        }
        groups = {name: {"hosts": {"localhost": {}}} for name in ("feature_sync_push", "feature_sync_serve")}
        inventory = {"all": {"hosts": local, "children": groups}}
        (self.folder / "inventory.yml").write_text(yaml.safe_dump(inventory))
        (self.folder / "variables.yml").write_text(yaml.safe_dump({**self.variables, **more}))
        command = [BIN / "ansible-playbook", "--inventory", self.folder / "inventory.yml", "playbook.yml"]
        environment = {**os.environ, "ANSIBLE_HOME": str(self.folder / "ansible"), "ANSIBLE_NOCOLOR": "1"}
        command += ["--extra-vars", f"@{self.folder / 'variables.yml'}"]
        return run_deaf(command, self._deploy / "ansible", environment)

    def environment(self, name: str) -> dict[str, str]:
        """The variables of a unit; a shell reads these quotes as systemd does."""
        asked = ["env", "-i", "sh", "-c", 'set -a; . "$1"; env -0', "sh", str(self.folder / "configuration" / name)]
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
        return dict(each.split("=", 1) for each in done.stdout.split("\0") if each)


def test_the_role_installs_once_and_its_server_answers(server, parcels, tmp_path):
    host = Host(tmp_path, f"redis://127.0.0.1:{server.port}/0")
    assert parcels.feature_sync("push", FEATURE_SYNC_REDIS_URL=server.url).returncode == 0
    done = host.play()
    assert done.returncode == 0, done.stdout + done.stderr
    assert ODD_SECRET not in done.stdout + done.stderr
    assert re.search(r"changed=0 .*failed=0", host.play().stdout), "a second run changes something"

    secrets = sorted((tmp_path / "configuration").iterdir())
    assert [(file.name, oct(file.stat().st_mode & 0o777)) for file in secrets] == [
        ("push.env", "0o600"), ("serve.env", "0o600")
    ]  # fmt: skip
    assert host.environment("push.env")["PGPASSWORD"] == ODD_SECRET
    unit = (tmp_path / "units" / "feature-sync-serve.service").read_text()
    command = shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1].replace("8080", str(_free_port())))
    with serving(tmp_path, *command, "--timeout", "10", **host.environment("serve.env")) as url:
        assert ask(url, ODD_SECRET) == [["north"], ["bo"], [55], [2]]
    stream = (tmp_path / "units" / "feature-sync-stream-depots.service").read_text()
    command = shlex.split(re.search(r"^ExecStart=(.*)$", stream, re.MULTILINE)[1])
    assert command[1:] == ["depots", "--from", "kafka://127.0.0.1:1", "--land", "landing.a b"]
    assert Path(command[0]).stat().st_mode & 0o777 == 0o755
    check_units(tmp_path / "units")


def check_units(folder: Path) -> None:
    """Let systemd read the units and judge how far they are shut off: 0 is shut, 10 is open."""
    assert shutil.which("systemd-analyze"), "systemd-analyze is missing: apt-get install systemd"
    units = [str(file) for file in sorted(folder.iterdir())]
    assert len(units) == 4
    verified = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    wrong = [line for line in verified.stderr.splitlines() if str(folder) in line]
    assert (verified.returncode, wrong) == (0, []), verified.stderr
    for unit in (each for each in units if each.endswith(".service")):
        judged = ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit]
        done = subprocess.run(judged, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_role_refuses_a_host_without_redis_or_with_a_warehouse_that_is_none(tmp_path):
    host = Host(tmp_path, "redis://127.0.0.1:1")
    done = host.play(feature_sync_push_environment={})
    assert done.returncode != 0
    assert "feature_sync_push_environment needs FEATURE_SYNC_REDIS_URL" in done.stdout
    assert not (tmp_path / "home").exists()
    done = host.play(feature_sync_warehouse="oracle")
    assert done.returncode != 0
    assert "must be one of: duckdb, postgres, bigquery" in done.stdout + done.stderr
