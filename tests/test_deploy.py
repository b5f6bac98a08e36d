"""What stands in deploy/ is what commands take: words, environment, routes; and it names no account and no secret."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
import yaml

from feature_sync.cli import cli
from feature_sync.serving.server import create_app
from tests.support.projects import EXAMPLE

DEPLOY = EXAMPLE / "deploy"
RESOURCES = DEPLOY / "kubernetes" / "base" / "resources"
ROLE = DEPLOY / "ansible" / "roles" / "feature_sync"
OF_DBT = {"DBT_LOG_PATH", "DBT_SEND_ANONYMOUS_USAGE_STATS"}
"""Variables that dbt alone reads; test_deploy_tools.py asks dbt."""
COMMAND = re.compile(r"^(?:run |exec |ExecStart=.*/)(feature-sync .*)$", re.MULTILINE)
DOCKER_WORDS = re.compile(r"^(ENTRYPOINT|CMD) (\[.*\])$", re.MULTILINE)
VARIABLE = re.compile(r"\b(?:FEATURE_SYNC|DBT)_[A-Z_]+\b")
ACCOUNT = re.compile(r"(?<!\d)\d{12}(?!\d)")
REGION = re.compile(r"\b(?:us|eu|ap|sa|ca|me|af|europe|asia)-(?:[a-z]+-\d|(?:north|south|east|west|central)[a-z]*\d)\b")
SECRET = re.compile(
    r"(?i)(?:password|token|secret)\w*\"?\s*[:=]\s*[\"']?(?=\S*\d)[A-Za-z0-9+/]{12,}[\"']?\s*$", re.MULTILINE
)


def files() -> list[Path]:
    """All files of deploy/ that a person wrote."""
    return sorted(file for file in DEPLOY.rglob("*") if file.is_file() and ".terraform" not in file.parts)


def manifests() -> Iterator[dict[str, Any]]:
    """Every object of the Kubernetes base."""
    for file in sorted(RESOURCES.glob("*.yaml")):
        yield from yaml.safe_load_all(file.read_text())


def containers() -> Iterator[dict[str, Any]]:
    """Every container of the Kubernetes base."""
    for manifest in manifests():
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        yield from spec.get("template", {}).get("spec", {}).get("containers", [])


def commands() -> dict[str, list[str]]:
    """Every command line of feature-sync, by where it stands."""
    found = {}
    for container in containers():
        words = container.get("command", []) + container.get("args", [])
        if words[0] == "feature-sync":
            found[f"kubernetes: {container['name']}"] = words
    blocks = DOCKER_WORDS.findall((DEPLOY / "docker" / "Dockerfile").read_text())
    entry, command = (yaml.safe_load(words) for _, words in blocks[:2])
    found["docker: serve"] = entry + command
    for file in (
        DEPLOY / "docker" / "build-and-push",
        DEPLOY / "docker" / "parse-and-stream",
        *sorted(ROLE.glob("templates/*.service.j2")),
    ):
        for line in COMMAND.findall(file.read_text()):
            found[file.name] = shlex.split(re.sub(r"\{\{.*?\}\}|\"\$@\"", "1", line))
    return found


def accept(words: list[str]) -> None:
    """Let click read a command line, and run nothing."""
    assert words[0] == "feature-sync"
    command = cli.commands[words[1]]
    command.make_context(words[1], words[2:])


def environment() -> set[str]:
    """Every variable that a command reads."""
    names = set()
    for command in cli.commands.values():
        for parameter in command.params:
            names |= {parameter.envvar} if isinstance(parameter.envvar, str) else set(parameter.envvar or ())
    return names


async def ask_without_redis(paths: list[str]) -> dict[str, int]:
    """What a server with a token, and without a Redis, answers to requests that bear no token."""
    transport = httpx.ASGITransport(create_app("redis://127.0.0.1:1", "shop", token="hush"))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        return {path: (await client.get(path)).status_code for path in paths}


def test_commands_of_deploy_are_found_where_they_stand():
    assert set(commands()) == {
        "kubernetes: serve", "docker: serve", "build-and-push", "parse-and-stream", "feature-sync-serve.service.j2"
    }  # fmt: skip


@pytest.mark.parametrize("where", commands())
def test_the_command_line_takes_every_command_of_deploy(where):
    accept(commands()[where])
    with pytest.raises(click.UsageError):
        accept([*commands()[where], "--an-option-of-yesterday"])


def test_every_variable_in_deploy_is_one_that_is_read():
    read = environment() | OF_DBT
    named = {(name, file.name) for file in files() for name in VARIABLE.findall(file.read_text())}
    assert {pair for pair in named if pair[0] not in read} == set()
    assert {name for name, _ in named} > {"FEATURE_SYNC_REDIS_URL", "FEATURE_SYNC_TOKEN", "DBT_TARGET_PATH"}


def test_probes_ask_for_routes_of_the_server_that_need_no_token():
    (serve,) = [container for container in containers() if container["name"] == "serve"]
    probes = {name: serve[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/ready"
    }  # fmt: skip
    paths = [*{probe["path"] for probe in probes.values()}, "/metrics"]
    answers = asyncio.run(ask_without_redis(paths))
    assert answers == {"/health": 200, "/ready": 503, "/metrics": 401}
    assert {probe["port"] for probe in probes.values()} == {serve["ports"][0]["name"]}


def test_all_pods_are_as_restricted_as_kubernetes_can_have_them():
    found = list(containers())
    assert {container["name"] for container in found} == {"push", "serve", "stream"}
    for container in found:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"].keys() == {"requests", "limits"}
        assert any(mount["mountPath"] == "/tmp" for mount in container["volumeMounts"])


def test_pods_find_the_settings_and_secrets_that_they_name():
    (settings,) = [manifest for manifest in manifests() if manifest["kind"] == "ConfigMap"]
    told = (RESOURCES / "settings.yaml").read_text()
    for container in containers():
        for variable in container["env"]:
            source = variable["valueFrom"]
            if "configMapKeyRef" in source:
                assert source["configMapKeyRef"]["key"] in settings["data"]
            else:
                name, key = source["secretKeyRef"]["name"], source["secretKeyRef"]["key"]
                assert re.search(rf"{name}\b.*\b{key}:", told), f"settings.yaml does not tell of {name}, {key}"


def test_kustomize_is_given_every_file_and_patches_what_exists():
    base = yaml.safe_load((DEPLOY / "kubernetes" / "base" / "kustomization.yaml").read_text())
    assert sorted(base["resources"]) == sorted(f"resources/{file.name}" for file in RESOURCES.glob("*.yaml"))
    overlay = yaml.safe_load((DEPLOY / "kubernetes" / "example" / "kustomization.yaml").read_text())
    there = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests()]
    for patch in overlay["patches"]:
        kind, name = patch["target"]["kind"], patch["target"]["name"]
        assert any(kind == each and re.fullmatch(name, called) for each, called in there), name
    images = {container["image"].partition(":")[0] for container in containers()}
    assert {image["name"] for image in overlay["images"]} == images


def test_terraform_and_cloudformation_give_the_task_the_same_environment():
    terraform = (DEPLOY / "terraform" / "aws" / "task.tf").read_text()
    template = (DEPLOY / "cloudformation" / "push.yaml").read_text()
    by_terraform = set(re.findall(r'\{ name = "([A-Z_]+)"', terraform))
    assert by_terraform == set(re.findall(r"\{Name: ([A-Z_]+),", template))
    assert len(by_terraform) == 8


def test_every_job_has_the_volumes_that_the_image_declares():
    (declared,) = re.findall(r"^VOLUME (.*)$", (DEPLOY / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    (push,) = [container for container in containers() if container["name"] == "push"]
    by_terraform = re.findall(r'containerPath = "([^"]+)"', (DEPLOY / "terraform" / "aws" / "task.tf").read_text())
    by_template = re.findall(r"ContainerPath: ([^,]+),", (DEPLOY / "cloudformation" / "push.yaml").read_text())
    expected = set(yaml.safe_load(declared))
    assert {mount["mountPath"] for mount in push["volumeMounts"]} == expected
    assert set(by_terraform) == set(by_template) == expected


@pytest.mark.parametrize("pattern", [ACCOUNT, REGION, SECRET], ids=["account", "region", "secret"])
def test_no_account_region_or_secret_stands_in_deploy(pattern):
    assert [(file.name, found) for file in files() for found in pattern.findall(file.read_text())] == []


@pytest.mark.parametrize(
    ("pattern", "planted"),
    [
        (ACCOUNT, "arn:aws:iam::123456789012:root"),
        (REGION, "region = eu-west-1"),
        (REGION, "location: europe-west4"),
        (SECRET, "PGPASSWORD: hunter2hunter2"),
        (SECRET, 'auth_token = "abcdefghijkl123"'),
    ],
)
def test_the_search_would_find_one(pattern, planted):
    assert pattern.search(planted)
